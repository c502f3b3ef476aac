"""The values of calls: arguments, results and the arguments that approvers look at, encrypted under their subject's key.

Sealing happens on the event loop, before the transaction that stores it. What a row holds may be gone later, by retention
(the row) or by erasure (its values); the call's row in `calls` and its entries stay.
"""

from dataclasses import dataclass, replace
from typing import Any

import apsw
import orjson

from gateway.core.approval import ApprovalRequest
from gateway.core.call import SealedCall
from gateway.core.commitment import Disclosure, Kept, Missing, read_kept
from gateway.core.envelope import Answered
from gateway.core.errors import Erased
from gateway.core.outcome import Reason
from gateway.core.ports import Vault


@dataclass(frozen=True, slots=True)
class EvidenceRow:
    """What is stored about one envelope or approval request, encrypted. Empty `arguments`: it was erased."""

    subject: str
    arguments: bytes
    result: bytes | None


@dataclass(frozen=True, slots=True)
class KeptValues:
    """What is stored about a call, opened. `arguments`: one for each of its commitments."""

    subject: str
    arguments: tuple[Kept, ...] | Missing
    result: Kept | Missing

    def document(self) -> dict[str, Any]:
        """For an auditor: as JSON."""
        arguments = self.arguments
        return {
            "subject": self.subject,
            "arguments": arguments.value if isinstance(arguments, Missing) else [_document(kept) for kept in arguments],
            "result": self.result.value if isinstance(self.result, Missing) else _document(self.result),
        }


@dataclass(frozen=True, slots=True)
class SealedQuestion:
    """What an approval request is about, encrypted: arguments, and policy's sentences in the place of a result."""

    arguments: bytes
    messages: bytes


class EvidenceStore:
    """Seals and opens what the `evidence` table holds. Each blob is bound to its envelope and its place in the row."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    # --- before a transaction ---

    def seal_arguments(self, call: SealedCall) -> bytes:
        """What is kept of the call's arguments."""
        kept = orjson.dumps([disclosure.to_keep().decode() for disclosure in call.disclosures])
        return self._vault.seal(call.subject, kept, _context(call.envelope_id, "arguments"))

    def seal_result(self, call: SealedCall, answered: Answered) -> bytes:
        """What is kept of the call's result."""
        return self._vault.seal(call.subject, answered.disclosure.to_keep(), _context(call.envelope_id, "result"))

    def seal_question(self, call: SealedCall, request: ApprovalRequest) -> SealedQuestion:
        """What a person is asked about: the arguments, redacted, and policy's sentences, which may quote them."""
        messages = orjson.dumps([reason.message for reason in request.reasons])
        return SealedQuestion(
            self._vault.seal(call.subject, call.shown_arguments, _context(request.approval_id, "pending")),
            self._vault.seal(call.subject, messages, _context(request.approval_id, "reasons")),
        )

    def seal_told_result(self, subject: str, envelope_id: str, result: Disclosure) -> tuple[bytes, bytes]:
        """What is kept of a result that came with a verdict, and, for where retention took the row: no arguments."""
        kept = self._vault.seal(subject, result.to_keep(), _context(envelope_id, "result"))
        return kept, self._vault.seal(subject, b"[]", _context(envelope_id, "arguments"))

    # --- reading ---

    def arguments(self, db: apsw.Connection, envelope_id: str) -> tuple[Kept, ...] | Missing:
        """What is kept of a call's arguments, one for each commitment. Raises `KeyFault`."""
        opened = self._opened(evidence_row(db, envelope_id), "arguments", envelope_id)
        return opened if isinstance(opened, Missing) else tuple(read_kept(kept.encode()) for kept in orjson.loads(opened))

    def result(self, db: apsw.Connection, envelope_id: str) -> Kept | Missing:
        """What is kept of a call's result; its value is an MCP document. Raises `KeyFault`."""
        opened = self._opened(evidence_row(db, envelope_id), "result", envelope_id)
        return opened if isinstance(opened, Missing) else read_kept(opened)

    def values(self, db: apsw.Connection, envelope_id: str) -> KeptValues | None:
        """All that is kept of a call; None where it has no row of values (any more). Raises `KeyFault`."""
        row = evidence_row(db, envelope_id)
        if row is None:
            return None
        return KeptValues(row.subject, self.arguments(db, envelope_id), self.result(db, envelope_id))

    def pending(self, db: apsw.Connection, approval_id: str) -> bytes | Missing:
        """The JSON bytes of the arguments a request is about. Raises `KeyFault`."""
        return self._opened(evidence_row(db, approval_id), "pending", approval_id)

    def with_messages(self, db: apsw.Connection, request: ApprovalRequest) -> ApprovalRequest:
        """The request with policy's sentences, where they are still kept. Raises `KeyFault`."""
        opened = self._opened(evidence_row(db, request.approval_id), "reasons", request.approval_id)
        if isinstance(opened, Missing):
            return request
        messages = orjson.loads(opened)
        told = tuple(Reason(reason.code, text) for reason, text in zip(request.reasons, messages, strict=True))
        return replace(request, reasons=told)

    def _opened(self, row: EvidenceRow | None, what: str, key: str) -> bytes | Missing:
        if row is None:
            return Missing.NOT_KEPT
        sealed = row.result if what in ("result", "reasons") else row.arguments
        if row.arguments == b"":
            return Missing.ERASED
        if sealed is None:
            return Missing.NOT_KEPT
        try:
            return self._vault.open(row.subject, sealed, _context(key, what))
        except Erased:
            return Missing.ERASED


def put_arguments(db: apsw.Connection, key: str, subject: str, sealed: bytes) -> None:
    """Keep sealed arguments under an envelope's id."""
    db.execute("INSERT INTO evidence VALUES (?, ?, ?, NULL)", (key, subject, sealed))


def put_question(db: apsw.Connection, approval_id: str, subject: str, sealed: SealedQuestion) -> None:
    """Keep what a person is asked about."""
    db.execute("INSERT INTO evidence VALUES (?, ?, ?, ?)", (approval_id, subject, sealed.arguments, sealed.messages))


def put_result(db: apsw.Connection, envelope_id: str, sealed: bytes) -> None:
    """Keep a sealed result beside its arguments; not where these were erased or dropped meanwhile."""
    db.execute("UPDATE evidence SET result = ? WHERE envelope_id = ? AND arguments <> x''", (sealed, envelope_id))


def put_told_result(db: apsw.Connection, envelope_id: str, subject: str, sealed: tuple[bytes, bytes]) -> None:
    """Keep what `seal_told_result` sealed. Not beside erased arguments: the subject's values are not to be kept."""
    result, no_arguments = sealed
    put_result(db, envelope_id, result)
    db.execute("INSERT OR IGNORE INTO evidence VALUES (?, ?, ?, ?)", (envelope_id, subject, no_arguments, result))


def drop_evidence_before(db: apsw.Connection, oldest_id: str, most: int) -> int:
    """Delete rows of ids below `oldest_id`, at most so many, but for what a pending request is about; how many."""
    db.execute(
        "DELETE FROM evidence WHERE envelope_id IN (SELECT envelope_id FROM evidence WHERE envelope_id < ?"
        " AND envelope_id NOT IN (SELECT approval_id FROM approvals WHERE state = 'pending') LIMIT ?)",
        (oldest_id, most),
    )
    return db.changes()


def evidence_row(db: apsw.Connection, key: str) -> EvidenceRow | None:
    """What is stored under an envelope's or an approval request's id."""
    query = "SELECT subject, CAST(arguments AS BLOB), CAST(result AS BLOB) FROM evidence WHERE envelope_id = ?"
    row = db.execute(query, (key,)).fetchone()
    return None if row is None else EvidenceRow(*row)


def _document(kept: Kept) -> dict[str, Any]:
    return {"name": kept.name, "value": kept.value, "disclosure": kept.encoded, "redacted": list(kept.redacted)}


def _context(key: str, what: str) -> bytes:
    return f"{key}:{what}".encode()
