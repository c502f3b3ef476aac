"""A full log, written once, and a copy of it for each test."""

from pathlib import Path

import pytest

from tests.store.full_log import Copy, Original, full_log


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    return full_log(tmp_path_factory.mktemp("log"))


@pytest.fixture
def copy(original: Original, tmp_path: Path) -> Copy:
    return Copy(original, tmp_path)
