"""How a process imports its code: what that makes stays as long as the process, so nobody looks for garbage in it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Import within it. The collector rests meanwhile, and looks at none of what is there afterwards again.

    Else it takes a quarter of the time of a start, and every full collection of a running gateway walks all its code.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
