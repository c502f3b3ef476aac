"""What a witness remembers: for each log the newest checkpoint it cosigned. One SQLite file, `<dir>/witness.db`.

This memory is what a witness is for. It only ever moves forward, one transaction at a time, and is on disk before a
cosignature leaves. A restored older copy would make the witness cosign what it cosigned otherwise before, and so would a
new one in the place of one that was lost: it is made once, with the witness's key.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from gateway.core.errors import StoreFault

Cosigned = tuple[int, str, str]
"""Size of a checkpoint, its note as the log signed it, and the witness's signature line."""


class WitnessStore:
    """Used by one thread. After a `StoreFault` nobody knows what is on disk: the process ends and starts anew."""

    def __init__(self, path: Path) -> None:
        """Open the memory that `make_memory` made. Raises `StoreFault`, also where it is gone."""
        try:
            self._db = _opened(path, apsw.SQLITE_OPEN_READWRITE)
            self._db.execute("SELECT 1 FROM newest").fetchone()
        except (apsw.Error, OSError) as error:
            raise StoreFault(
                f"cannot open the witness's memory {path}: {error}",
                hint="Where it is lost, this witness cannot go on: make another one, with another key.",
            ) from error

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def advance(self, origin: str, continued: Callable[[str | None], Cosigned]) -> str:
        """Replace the newest checkpoint of a log by what `continued` makes of it, in one durable transaction.

        `continued` gets `newest`; if it raises, nothing changes. Returns the new signature line.

        Raises:
            StoreFault: the memory cannot be read or written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                size, note, line = continued(self._newest(origin))
                self._db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?, ?)", (origin, size, note, line))
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
        except apsw.Error as error:
            raise StoreFault(f"the witness's memory cannot be used: {error}") from error
        return line

    def newest(self, origin: str) -> str | None:
        """The newest note of a log with the witness's line under it; None where it never cosigned one."""
        try:
            return self._newest(origin)
        except apsw.Error as error:
            raise StoreFault(f"the witness's memory cannot be read: {error}") from error

    def _newest(self, origin: str) -> str | None:
        row = self._db.execute(
            "SELECT CAST(note AS TEXT), CAST(cosignature AS TEXT) FROM newest WHERE origin = ?", (origin,)
        ).fetchone()
        return None if row is None else f"{row[0]}{row[1]}"


def make_memory(path: Path) -> None:
    """The empty memory of a new witness. Raises `StoreFault`, also where there is one."""
    try:
        if path.exists():
            raise FileExistsError("it is there already")
        with closing(_opened(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)) as db:
            db.execute(
                "CREATE TABLE newest (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL,"
                " cosignature TEXT NOT NULL) WITHOUT ROWID"
            )
    except (apsw.Error, OSError) as error:
        raise StoreFault(f"cannot make the witness's memory {path}: {error}") from error


def _opened(path: Path, flags: int) -> apsw.Connection:
    db = apsw.Connection(str(path), flags=flags)
    path.chmod(0o600)
    db.pragma("journal_mode", "delete")
    db.pragma("synchronous", "extra")
    db.set_busy_timeout(5000)
    return db
