"""The log as stored, for verification and reading, with or without a daemon beside it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from gateway.adapters.store.sqlite.database import open_for_reading
from gateway.core.errors import StoreFault, VerificationFailed
from gateway.core.merkle import Frontier
from gateway.core.verify import StoredEntry


class SqliteLog:
    """Implements `core.ports.LogReader` on a read-only connection. A snapshot: what is appended meanwhile is not seen.

    Columns are cast: SQLite keeps any type in any column, and a changed one must be found by verification, not crash it.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise StoreFault(f"there is no log at {path}", hint="sealgate up makes one.")
        self._db = open_for_reading(path)
        try:
            self._db.execute("BEGIN")
            self._db.execute("SELECT 1 FROM meta").fetchone()  # the snapshot is taken at the first read
        except apsw.Error as error:
            raise StoreFault(f"cannot read the log {path}: {error}") from error

    def entries(self, start: int = 0) -> Iterator[StoredEntry]:
        query = "SELECT idx, CAST(entry AS BLOB), CAST(leaf AS BLOB) FROM entries WHERE idx >= ? ORDER BY idx"
        for index, entry, leaf in self._rows(query, start):
            yield StoredEntry(int(index), bytes(entry), bytes(leaf))

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        for size, note in self._rows("SELECT size, CAST(note AS BLOB) FROM checkpoints ORDER BY size"):
            yield int(size), bytes(note).decode(errors="replace")

    def head(self) -> tuple[int, bytes]:
        for size, root in self._rows("SELECT CAST(size AS INTEGER), CAST(root AS BLOB) FROM head"):
            return int(size), bytes(root)
        return 0, Frontier().root()

    def _rows(self, query: str, *values: int) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self._db.execute(query, values)
        except apsw.Error as error:
            raise VerificationFailed(f"the log's file is damaged: {error}", hint="Restore the newest copy.") from error

    def close(self) -> None:
        """End the snapshot."""
        self._db.close()
