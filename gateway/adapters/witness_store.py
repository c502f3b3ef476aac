"""What a witness remembers: for each log the newest checkpoint it cosigned. One SQLite file, `<dir>/witness.db`.

This memory is what a witness is for. It only ever moves forward, one transaction at a time, and is on disk before a
cosignature leaves. A restored older copy would make the witness cosign what it cosigned otherwise before.
"""

from collections.abc import Callable
from pathlib import Path

import apsw

from gateway.core.checkpoint import Checkpoint, read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.errors import StoreFault

Cosigned = tuple[Checkpoint, str, str]
"""A checkpoint, its note as the log signed it, and the witness's signature line."""


class WitnessStore:
    """Used by one thread. After a `StoreFault` nobody knows what is on disk: the process ends and starts anew."""

    def __init__(self, path: Path) -> None:
        try:
            self._db = apsw.Connection(str(path))
            path.chmod(0o600)
            self._db.pragma("journal_mode", "delete")
            self._db.pragma("synchronous", "extra")
            self._db.set_busy_timeout(5000)
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS newest (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, note TEXT NOT NULL,"
                " cosignature TEXT NOT NULL) WITHOUT ROWID"
            )
        except (apsw.Error, OSError) as error:
            raise StoreFault(f"cannot open the witness's memory {path}: {error}") from error

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def advance(self, origin: str, continued: Callable[[Checkpoint | None], Cosigned]) -> str:
        """Replace the newest checkpoint of a log by what `continued` makes of it, in one durable transaction.

        `continued` gets the newest checkpoint (None: none yet); if it raises, nothing changes. Returns its signature line.

        Raises:
            StoreFault: the memory cannot be read or written.
        """
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                checkpoint, note, line = continued(self._newest(origin))
                self._db.execute("INSERT OR REPLACE INTO newest VALUES (?, ?, ?, ?)", (origin, checkpoint.size, note, line))
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
            row = self._db.execute("SELECT note, cosignature FROM newest WHERE origin = ?", (origin,)).fetchone()
        except apsw.Error as error:
            raise StoreFault(f"the witness's memory cannot be read: {error}") from error
        return None if row is None else row[0] + row[1]

    def _newest(self, origin: str) -> Checkpoint | None:
        row = self._db.execute("SELECT size, note FROM newest WHERE origin = ?", (origin,)).fetchone()
        if row is None:
            return None
        try:
            checkpoint = read_checkpoint(row[1]).checkpoint
        except (NotVerified, TypeError, AttributeError) as error:
            raise StoreFault(f"the witness's memory of {origin} is damaged: {error}") from error
        if (checkpoint.origin, checkpoint.size) != (origin, row[0]):
            raise StoreFault(f"the witness's memory of {origin} is damaged: it names another checkpoint")
        return checkpoint
