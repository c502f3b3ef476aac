"""What policy saw of a call, kept to explain its decision later: the input document, encrypted under the subject's key.

It comes in the transaction of the call's first entry, and goes as other values do: by retention (the row) or by erasure (it
is emptied). Calls that never reached a decision have none.
"""

from dataclasses import dataclass
from typing import Any

import apsw
import orjson

from gateway.core.call import SealedCall
from gateway.core.commitment import Missing
from gateway.core.decision import PolicyDecision
from gateway.core.errors import Erased
from gateway.core.ports import OpeningKeys, SealingKey, Vault, VaultFile


@dataclass(frozen=True, slots=True)
class SealedInput:
    """An input document on its way to its row."""

    envelope_id: str
    subject: str
    sealed: bytes

    def put(self, db: apsw.Connection) -> None:
        """Keep it. The row of an envelope is written once."""
        db.execute("INSERT OR IGNORE INTO decisions VALUES (?, ?, ?)", (self.envelope_id, self.subject, self.sealed))


def seal_input(key: SealingKey, call: SealedCall, decision: PolicyDecision) -> SealedInput | None:
    """What is kept of a decision; None where its engine tells no input."""
    if not decision.input:
        return None
    return SealedInput(call.envelope_id, call.subject, key.seal(decision.input, _context(call.envelope_id)))


async def stored_input(vault: Vault, db: apsw.Connection, envelope_id: str) -> dict[str, Any] | Missing:
    """The input document that a call was decided on. Raises `KeyFault` where it was changed, `StoreFault`."""
    row = _row(db, envelope_id)
    return Missing.NOT_KEPT if row is None else _opened(await vault.keys(row[0]), envelope_id, row[1])


def read_input(vault: VaultFile, db: apsw.Connection, envelope_id: str) -> dict[str, Any] | Missing:
    """The same for a command."""
    row = _row(db, envelope_id)
    return Missing.NOT_KEPT if row is None else _opened(vault.keys(row[0]), envelope_id, row[1])


def newest_inputs(db: apsw.Connection, most: int) -> list[str]:
    """The envelope ids of calls whose input is kept, the newest first, at most so many."""
    query = "SELECT envelope_id FROM decisions WHERE length(input) > 0 ORDER BY envelope_id DESC LIMIT ?"
    return [str(row[0]) for row in db.execute(query, (most,))]


def drop_inputs_before(db: apsw.Connection, oldest_id: str, most: int) -> int:
    """Delete rows of ids below `oldest_id`, at most so many; how many."""
    db.execute(
        "DELETE FROM decisions WHERE envelope_id IN (SELECT envelope_id FROM decisions WHERE envelope_id < ? LIMIT ?)",
        (oldest_id, most),
    )
    return db.changes()


def _row(db: apsw.Connection, envelope_id: str) -> tuple[str, bytes] | None:
    query = "SELECT subject, CAST(input AS BLOB) FROM decisions WHERE envelope_id = ?"
    row: tuple[str, bytes] | None = db.execute(query, (envelope_id,)).fetchone()
    return row


def _opened(keys: OpeningKeys, envelope_id: str, sealed: bytes) -> dict[str, Any] | Missing:
    if sealed == b"":
        return Missing.ERASED
    try:
        document: dict[str, Any] = orjson.loads(keys.open(sealed, _context(envelope_id)))
    except Erased:
        return Missing.ERASED
    return document


def _context(envelope_id: str) -> bytes:
    return f"{envelope_id}:input".encode()
