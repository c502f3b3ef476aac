"""The SQLite journal keeps the contract of every journal, and its own: what is on disk, and what a changed disk does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.contract import JournalContract
from tests.store.contract_of_ends import EndsContract
from tests.store.world import SqliteWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path)
    yield opened
    opened.close()
    assert not opened.deaths


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[SqliteWorld]:
    """Duplicates wait for 50 ms only."""
    opened = SqliteWorld(tmp_path, wait_seconds=0.05)
    yield opened
    opened.close()


class TestSqliteJournal(JournalContract, EndsContract):
    pass
