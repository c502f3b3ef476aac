"""A full log for this folder's tests, written once, and a copy of it in the hands of someone who may write to it."""

from tests.crash.conftest import effects
from tests.store.conftest import copy, original

__all__ = ["copy", "effects", "original"]
