"""The values of calls: arguments, results and the arguments that approvers look at, encrypted under their subject's key.

Sealing happens on the event loop, before the transaction that stores it, with a key that is durable by then. What a row
holds may be gone later, by retention (the row) or by erasure (its values); the call's row in `calls` and its entries stay.
"""

from dataclasses import dataclass, replace
from typing import Any

import apsw
import orjson

from gateway.core.approval import ApprovalRequest
from gateway.core.call import SealedCall
from gateway.core.capability import TrustLevel
from gateway.core.commitment import Disclosure, Kept, Missing, read_kept, whole
from gateway.core.envelope import Answered
from gateway.core.errors import Erased
from gateway.core.hidden import Hidden
from gateway.core.outcome import Reason
from gateway.core.ports import OpeningKeys, SealingKey, Vault, VaultFile

KEY_BYTES = 4
"""A sealed value begins with the number of its subject's key (`SealingKey.seal`)."""

_TRUSTED = b"+"  # before a trusted result; what is kept of a value never begins with it


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
    """What an approval request is about, encrypted: arguments, and in the place of a result policy's sentences with
    what is hidden in the arguments."""

    arguments: bytes
    messages: bytes


def seal_arguments(key: SealingKey, call: SealedCall) -> bytes:
    """What is kept of the call's arguments."""
    kept = orjson.dumps([disclosure.to_keep().decode() for disclosure in call.disclosures])
    return key.seal(kept, _context(call.envelope_id, "arguments"))


def seal_result(key: SealingKey, call: SealedCall, answered: Answered) -> bytes:
    """What is kept of the call's result, and whether it is believed."""
    mark = _TRUSTED if answered.evidence.trust_level is TrustLevel.TRUSTED else b""
    return key.seal(mark + answered.disclosure.to_keep(), _context(call.envelope_id, "result"))


def seal_question(
    key: SealingKey, arguments: bytes, request: ApprovalRequest, hidden: tuple[Hidden, ...] = ()
) -> SealedQuestion:
    """What a person is asked about: the arguments as they may be stored, what is hidden in them, and policy's sentences,
    which may quote them."""
    messages = [reason.message for reason in request.reasons]
    told = orjson.dumps({"messages": messages, "hidden": [one.document() for one in hidden]})
    return SealedQuestion(
        key.seal(arguments, _context(request.approval_id, "pending")),
        key.seal(told, _context(request.approval_id, "reasons")),
    )


def seal_told_result(key: SealingKey, envelope_id: str, result: Disclosure) -> tuple[bytes, bytes]:
    """What is kept of a result that came with a verdict, and, for where retention took the row: no arguments."""
    return key.seal(result.to_keep(), _context(envelope_id, "result")), key.seal(b"[]", _context(envelope_id, "arguments"))


class StoredValues:
    """What is stored under the id of an envelope or an approval request, and the keys of its subject.

    Each blob is bound to its id and its place in the row. Methods raise `KeyFault` where one was changed.
    """

    def __init__(self, key: str, row: EvidenceRow | None, keys: OpeningKeys | None) -> None:
        self._key = key
        self._row = row
        self._keys = keys

    def arguments(self) -> tuple[Kept, ...] | Missing:
        """What is kept of a call's arguments, one for each commitment."""
        opened = self._opened("arguments")
        return opened if isinstance(opened, Missing) else tuple(read_kept(kept.encode()) for kept in orjson.loads(opened))

    def result(self) -> Kept | Missing:
        """What is kept of a call's result; its value is an MCP document."""
        opened = self._opened("result")
        return opened if isinstance(opened, Missing) else read_kept(opened.removeprefix(_TRUSTED))

    def has_trusted_result(self) -> bool:
        """Whether a result is kept that was believed when it came. None is that somebody else told."""
        opened = self._opened("result")
        return not isinstance(opened, Missing) and opened.startswith(_TRUSTED)

    def whole_arguments(self) -> dict[str, Any] | None:
        """A call's arguments as they were; None where that is not kept, or not all of it."""
        kept = self.arguments()
        if isinstance(kept, Missing) or not kept or any(one.redacted for one in kept):
            return None
        return whole(kept)

    def all(self) -> KeptValues | None:
        """All that is kept of a call; None where it has no row of values (any more)."""
        return None if self._row is None else KeptValues(self._row.subject, self.arguments(), self.result())

    def pending(self) -> bytes | Missing:
        """The JSON bytes of the arguments a request is about."""
        return self._opened("pending")

    def with_messages(self, request: ApprovalRequest) -> ApprovalRequest:
        """The request with policy's sentences, where they are still kept."""
        opened = self._opened("reasons")
        if isinstance(opened, Missing):
            return request
        kept = orjson.loads(opened)
        messages = kept if isinstance(kept, list) else kept["messages"]  # a list: before hidden values were told
        told = tuple(Reason(reason.code, text) for reason, text in zip(request.reasons, messages, strict=True))
        return replace(request, reasons=told)

    def hidden(self) -> tuple[Hidden, ...]:
        """What of the arguments a request is about approvers are not shown."""
        opened = self._opened("reasons")
        kept = [] if isinstance(opened, Missing) else orjson.loads(opened)
        return () if isinstance(kept, list) else tuple(Hidden(**one) for one in kept["hidden"])

    def _opened(self, what: str) -> bytes | Missing:
        if self._row is None or self._keys is None:
            return Missing.NOT_KEPT
        sealed = self._row.result if what in ("result", "reasons") else self._row.arguments
        if self._row.arguments == b"":
            return Missing.ERASED
        if sealed is None:
            return Missing.NOT_KEPT
        try:
            return self._keys.open(sealed, _context(self._key, what))
        except Erased:
            return Missing.ERASED


async def stored_values(vault: Vault, db: apsw.Connection, key: str) -> StoredValues:
    """What is stored under `key`. Raises `StoreFault` where the vault cannot be read."""
    row = evidence_row(db, key)
    return StoredValues(key, row, None if row is None else await vault.keys(row.subject))


def read_values(vault: VaultFile, db: apsw.Connection, key: str) -> StoredValues:
    """The same for a command."""
    row = evidence_row(db, key)
    return StoredValues(key, row, None if row is None else vault.keys(row.subject))


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


def is_sealed_alike(db: apsw.Connection, key: str, sealed: bytes) -> bool:
    """Whether what is kept under `key` has the same key of its subject as `sealed`: no erasure came between the two."""
    row = evidence_row(db, key)
    return row is not None and row.arguments != b"" and row.arguments[:KEY_BYTES] == sealed[:KEY_BYTES]


def drop_evidence_before(db: apsw.Connection, oldest_id: str, most: int, *, now: str) -> int:
    """Delete rows of ids below `oldest_id`, at most so many; how many.

    Spared is what a pending request is about, and until it expires, a changed call that was approved: it is made from here.
    """
    db.execute(
        "DELETE FROM evidence WHERE envelope_id IN (SELECT e.envelope_id FROM evidence AS e WHERE e.envelope_id < ?"
        " AND NOT EXISTS (SELECT 1 FROM approvals AS a WHERE a.approval_id = e.envelope_id AND (a.state = 'pending' OR"
        " (a.state = 'approved' AND a.expires_at > ? AND json_extract(a.request, '$.modified_from') IS NOT NULL)))"
        " LIMIT ?)",
        (oldest_id, now, most),
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
