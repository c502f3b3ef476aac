"""The log as stored, for verification and reading, with or without a daemon beside it."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from gateway.adapters.store.sqlite.database import open_for_reading
from gateway.adapters.store.sqlite.rows import SELECT_ANCHORS, anchor_row
from gateway.adapters.store.sqlite.tiles import read_tile
from gateway.core.anchor import Anchor, AnchoredCheckpoint
from gateway.core.errors import StoreFault, VerificationFailed
from gateway.core.merkle import Frontier
from gateway.core.tiles import TileName
from gateway.core.verify import StoredEntry


class LogTables:
    """The log as a connection sees it inside its transaction, whatever the schema version; whoever opened it closes it.

    Columns are cast: SQLite keeps any type in any column, and a changed one must be found by verification, not crash it.
    """

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def entries(self, start: int = 0) -> Iterator[StoredEntry]:
        query = (
            "SELECT CAST(idx AS INTEGER), CAST(entry AS BLOB), CAST(leaf AS BLOB) FROM entries WHERE idx >= ? ORDER BY idx"
        )
        for index, entry, leaf in self._rows(query, start):
            yield StoredEntry(int(index), bytes(entry), bytes(leaf))

    def checkpoints(self, start: int | None = None) -> Iterator[tuple[int, str]]:
        """Those of `start` entries or more."""
        query = "SELECT CAST(size AS INTEGER), CAST(note AS BLOB) FROM checkpoints{} ORDER BY size"
        chosen = ("", ()) if start is None else (" WHERE size >= ?", (start,))
        for size, note in self._rows(query.format(chosen[0]), *chosen[1]):
            yield int(size), bytes(note).decode(errors="replace")

    def entries_naming(self, text: str) -> Iterator[StoredEntry]:
        # Found without a parse: base64 spells a text in three ways.
        one, two, three = _spellings(text.encode())
        for stored in self.entries():
            if one in stored.entry or two in stored.entry or three in stored.entry:
                yield stored

    def checkpoint(self, *, cosigned: bool = False) -> str | None:
        for size, note in self._rows(_NEWEST_COSIGNED if cosigned else _NEWEST):
            query = "SELECT CAST(proof AS BLOB) FROM anchors WHERE size = ? AND kind = 'cosignature' ORDER BY who"
            lines = [bytes(line).rstrip(b"\n") + b"\n" for (line,) in self._rows(query, size)]
            return b"".join([bytes(note), *lines]).decode(errors="replace")
        return None

    def anchored(self, below: int | None = None) -> Iterator[AnchoredCheckpoint]:
        """Those of fewer entries than `below`."""
        query = (
            "SELECT size, CAST(note AS BLOB) FROM checkpoints WHERE size IN (SELECT size FROM anchors){} ORDER BY size DESC"
        )
        chosen = ("", ()) if below is None else (" AND size < ?", (below,))
        for size, note in self._rows(query.format(chosen[0]), *chosen[1]):
            yield AnchoredCheckpoint(bytes(note).decode(errors="replace"), tuple(self._anchors(size)))

    def _anchors(self, size: int) -> Iterator[Anchor]:
        for row in self._rows(SELECT_ANCHORS, size):
            try:
                yield anchor_row(row)
            except ValueError as error:
                raise _damaged(error) from error

    def tile(self, name: TileName) -> bytes | None:
        try:
            return read_tile(self._db, name)
        except (apsw.Error, ValueError) as error:
            raise _damaged(error) from error

    def head(self) -> tuple[int, bytes]:
        for size, root in self._rows("SELECT CAST(size AS INTEGER), CAST(root AS BLOB) FROM head"):
            return int(size), bytes(root)
        return 0, Frontier().root()

    def _rows(self, query: str, *values: int) -> Iterator[tuple[Any, ...]]:
        try:
            for row in self._db.execute(query, values):
                if None in row:
                    raise ValueError("a value is missing")
                yield row
        except (apsw.Error, ValueError) as error:
            raise _damaged(error) from error


_NEWEST = "SELECT size, CAST(note AS BLOB) FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)"
_NEWEST_COSIGNED = (
    "SELECT size, CAST(note AS BLOB) FROM checkpoints"
    " WHERE size = (SELECT max(size) FROM anchors WHERE kind = 'cosignature')"
)


class SqliteLog(LogTables):
    """Implements `core.ports.LogReader` on a read-only connection. A snapshot: what is appended meanwhile is not seen."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise StoreFault(f"there is no log at {path}", hint="sealgate up makes one.")
        super().__init__(open_for_reading(path))
        try:
            self._db.execute("BEGIN")
            self._db.execute("SELECT 1 FROM meta").fetchone()  # the snapshot is taken at the first read
            views = self._db.execute("SELECT name FROM sqlite_schema WHERE type = 'view'").fetchall()
        except apsw.Error as error:
            raise StoreFault(f"cannot read the log {path}: {error}") from error
        if views:  # one may compute for ever
            self._db.close()
            raise _damaged(ValueError(f"{views[0][0]} is no table"))

    def close(self) -> None:
        """End the snapshot."""
        self._db.close()


def _damaged(error: Exception) -> VerificationFailed:
    return VerificationFailed(f"the log's file is damaged: {error}", hint="Restore the newest copy.")


def _spellings(text: bytes) -> list[bytes]:
    """What of `text` is in the base64 of any bytes around it, for each place it can have in a group of three."""
    found = []
    for before in range(3):
        padded = bytes(before) + text
        whole = padded[: len(padded) - len(padded) % 3]
        found.append(b64encode(whole)[(0, 2, 3)[before] :])
    return found
