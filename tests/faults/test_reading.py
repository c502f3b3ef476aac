"""What the journal's reader cannot read is a fault of the store: nothing above it knows SQLite."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from faults.disk import Action, Disk, DiskError, Operation
from gateway.adapters.store.sqlite.database import open_for_writing, open_journal_reader
from gateway.core.errors import StoreFault

ROWS = 200
WAYS: dict[str, Callable[[apsw.Cursor], Any]] = {
    "one by one": lambda cursor: [next(cursor) for _ in range(ROWS)],
    "iterated": list,
    "all at once": lambda cursor: cursor.fetchall(),
    "fetched": lambda cursor: [cursor.fetchone() for _ in range(ROWS)],
}


class Unreadable:
    """A disk whose reads fail from `after` on; counts from when it is set."""

    def __init__(self) -> None:
        self.after: int | None = None

    def __call__(self, operation: Operation) -> None:
        if operation.action is Action.READ and self.after is not None:
            self.after -= 1
            if self.after < 0:
                raise DiskError(apsw.SQLITE_IOERR_READ, "unreadable")


def leave(disk: Unreadable, db: apsw.Connection) -> None:
    """The last reader of a WAL may not lock it for a checkpoint. SQLite passes over that; apsw's VFS in Python raises it."""
    disk.after = None
    with contextlib.suppress(apsw.IOError):
        db.close()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    db = open_for_writing(tmp_path / "journal.db", "test.example/log")
    for number in range(ROWS):
        db.execute("INSERT INTO entries VALUES (?, zeroblob(3000), zeroblob(32))", (number,))
    db.close()
    return tmp_path / "journal.db"


def test_a_query_that_cannot_begin_is_a_store_fault(journal: Path) -> None:
    disk = Unreadable()
    with Disk(disk):
        db = open_journal_reader(journal)
        disk.after = 0
        with pytest.raises(StoreFault, match="cannot be read"):
            db.execute("SELECT entry FROM entries")
        disk.after = 0
        with pytest.raises(StoreFault, match="cannot be read"):
            db.execute("SELECT count(*) FROM entries").get  # noqa: B018
        leave(disk, db)


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_cannot_be_read_is_a_store_fault(journal: Path, way: str) -> None:
    disk = Unreadable()
    with Disk(disk):
        db = open_journal_reader(journal)
        cursor = db.execute("SELECT entry FROM entries ORDER BY idx")
        disk.after = 10
        with pytest.raises(StoreFault, match="cannot be read"):
            WAYS[way](cursor)
        leave(disk, db)


def test_a_journal_that_can_be_read_is_read_as_ever(journal: Path) -> None:
    db = open_journal_reader(journal)
    assert db.execute("SELECT count(*) FROM entries").get == ROWS
    assert len(db.execute("SELECT idx FROM entries").fetchall()) == ROWS
    assert db.execute("SELECT idx FROM entries ORDER BY idx").fetchone() == (0,)
    assert [row[0] for row in db.execute("SELECT idx FROM entries ORDER BY idx LIMIT 3")] == [0, 1, 2]
    db.close()
