"""What the journal's tables hold, as values, and the statements over them. Used inside transactions and by readers."""

from dataclasses import dataclass
from typing import Any

import apsw
import orjson

from gateway.core.approval import Answer, ApprovalRequest, ApprovalState, SignedAnswer
from gateway.core.idempotency import State


@dataclass(frozen=True, slots=True)
class CallRow:
    """One reservation. `fence` counts how often its key was claimed anew; `compensated_by` is the envelope that undid it."""

    reservation: str
    state: State
    envelope_id: str
    fingerprint: str
    call_digest: str
    capability_id: str
    subject: str
    approval_id: str | None
    owner: str
    fence: int
    updated_at: str
    compensated_by: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """One approval request, its state and the signed answer where there is one."""

    request: ApprovalRequest
    reservation: str
    state: ApprovalState
    answer: SignedAnswer | None


_SELECT_CALL = (
    "SELECT reservation, state, envelope_id, fingerprint, call_digest, capability_id, subject, approval_id, owner, fence,"
    " updated_at, compensated_by FROM calls "
)


def call_row(db: apsw.Connection, reservation: str) -> CallRow | None:
    """The reservation of this id."""
    row = db.execute(_SELECT_CALL + "WHERE reservation = ?", (reservation,)).fetchone()
    return None if row is None else _call(row)


def started_rows(db: apsw.Connection) -> list[CallRow]:
    """Calls that were begun and have no end."""
    return [_call(row) for row in db.execute(_SELECT_CALL + "WHERE state = 'started'").fetchall()]


def put_call(db: apsw.Connection, row: CallRow) -> None:
    """Insert or replace a reservation."""
    db.execute(
        "INSERT OR REPLACE INTO calls (reservation, state, envelope_id, fingerprint, call_digest, capability_id, subject,"
        " approval_id, owner, fence, updated_at, compensated_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.reservation,
            row.state.value,
            row.envelope_id,
            row.fingerprint,
            row.call_digest,
            row.capability_id,
            row.subject,
            row.approval_id,
            row.owner,
            row.fence,
            row.updated_at,
            row.compensated_by,
        ),
    )


def approval_row(db: apsw.Connection, approval_id: str) -> ApprovalRow | None:
    """The approval request of this id."""
    row = db.execute(
        "SELECT request, reservation, state, answer FROM approvals WHERE approval_id = ?", (approval_id,)
    ).fetchone()
    return None if row is None else _approval(row)


def approval_rows(db: apsw.Connection, *, pending_only: bool) -> list[ApprovalRow]:
    """Approval requests, oldest first."""
    query = "SELECT request, reservation, state, answer FROM approvals WHERE state = 'pending' OR NOT ? ORDER BY approval_id"
    return [_approval(row) for row in db.execute(query, (pending_only,))]


def due_approvals(db: apsw.Connection, now: str) -> list[str]:
    """Ids of pending requests whose time is over."""
    query = "SELECT approval_id FROM approvals WHERE state = 'pending' AND expires_at <= ?"
    return [str(row[0]) for row in db.execute(query, (now,))]


def put_approval(db: apsw.Connection, request: ApprovalRequest, reservation: str) -> None:
    """File a new, pending request."""
    db.execute(
        "INSERT INTO approvals VALUES (?, ?, 'pending', ?, ?, NULL)",
        (request.approval_id, reservation, request.expires_at, orjson.dumps(request.document()).decode()),
    )


def move_approval(db: apsw.Connection, approval_id: str, now: ApprovalState, then: ApprovalState) -> bool:
    """Change the state if it still is `now`; whether it was."""
    db.execute("UPDATE approvals SET state = ? WHERE approval_id = ? AND state = ?", (then.value, approval_id, now.value))
    return db.changes() == 1


def put_answer(db: apsw.Connection, answer: SignedAnswer) -> None:
    """Keep the signed answer with its request."""
    document = {
        "approval_id": answer.approval_id,
        "answer": answer.answer.value,
        "approver": answer.approver,
        "keyid": answer.keyid,
        "comment": answer.comment,
        "envelope": answer.envelope,
    }
    db.execute(
        "UPDATE approvals SET answer = ? WHERE approval_id = ?", (orjson.dumps(document).decode(), answer.approval_id)
    )


def put_arguments(db: apsw.Connection, envelope_id: str, subject: str, sealed: bytes) -> None:
    """Keep a call's argument disclosures, encrypted."""
    db.execute("INSERT INTO evidence VALUES (?, ?, ?, NULL)", (envelope_id, subject, sealed))


def put_result(db: apsw.Connection, envelope_id: str, sealed: bytes) -> None:
    """Keep a call's result disclosure, encrypted, beside its arguments."""
    db.execute("UPDATE evidence SET result = ? WHERE envelope_id = ?", (sealed, envelope_id))


def evidence(db: apsw.Connection, envelope_id: str) -> tuple[str, bytes, bytes | None] | None:
    """Subject, encrypted arguments and encrypted result of one envelope."""
    query = "SELECT subject, CAST(arguments AS BLOB), CAST(result AS BLOB) FROM evidence WHERE envelope_id = ?"
    row = db.execute(query, (envelope_id,)).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def _call(row: tuple[Any, ...]) -> CallRow:
    return CallRow(row[0], State(row[1]), *row[2:])


def _approval(row: tuple[Any, ...]) -> ApprovalRow:
    request, reservation, state, answer = row
    return ApprovalRow(
        ApprovalRequest.from_document(orjson.loads(request)),
        reservation,
        ApprovalState(state),
        None if answer is None else _answer(orjson.loads(answer)),
    )


def _answer(document: dict[str, object]) -> SignedAnswer:
    fields = dict(document)
    fields["answer"] = Answer(str(fields["answer"]))
    return SignedAnswer(**fields)  # type: ignore[arg-type]
