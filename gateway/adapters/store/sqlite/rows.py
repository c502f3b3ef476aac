"""What the journal's tables hold, as values, and the statements over them. Used inside transactions and by readers."""

from typing import Any

import apsw
import orjson

from gateway.core.anchor import Anchor, AnchorKind
from gateway.core.answer import Answer, SignedAnswer
from gateway.core.approval import ApprovalRequest, ApprovalRow, ApprovalState
from gateway.core.errors import StoreFault
from gateway.core.idempotency import CallRow, State
from gateway.core.obligations import ApproveFor, Route

_SELECT_CALL = (
    "SELECT reservation, state, envelope_id, fingerprint, call_digest, capability_id, subject, approval_id,"
    " principal_chain, fence, updated_at, compensated_by, reason FROM calls "
)


def call_row(db: apsw.Connection, reservation: str) -> CallRow | None:
    """The reservation of this id."""
    row = db.execute(_SELECT_CALL + "WHERE reservation = ?", (reservation,)).fetchone()
    return None if row is None else _call(row)


def call_of(db: apsw.Connection, envelope_id: str) -> CallRow | None:
    """The reservation that this envelope's call holds or held."""
    row = db.execute(_SELECT_CALL + "WHERE envelope_id = ?", (envelope_id,)).fetchone()
    return None if row is None else _call(row)


def undone_by(db: apsw.Connection, envelope_id: str) -> CallRow | None:
    """The call that this envelope's call undoes or undid."""
    row = db.execute(_SELECT_CALL + "WHERE compensated_by = ?", (envelope_id,)).fetchone()
    return None if row is None else _call(row)


def doubtful_rows(db: apsw.Connection) -> list[CallRow]:
    """Calls whose end is unknown, oldest first."""
    query = _SELECT_CALL + "WHERE state = 'in_doubt' ORDER BY envelope_id"
    return [_call(row) for row in db.execute(query).fetchall()]


def started_rows(db: apsw.Connection) -> list[CallRow]:
    """Calls that were begun and have no end."""
    return [_call(row) for row in db.execute(_SELECT_CALL + "WHERE state = 'started'").fetchall()]


def put_call(db: apsw.Connection, row: CallRow) -> None:
    """Insert or replace a reservation."""
    db.execute(
        "INSERT OR REPLACE INTO calls (reservation, state, envelope_id, fingerprint, call_digest, capability_id, subject,"
        " approval_id, principal_chain, fence, updated_at, compensated_by, reason)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.reservation,
            row.state.value,
            row.envelope_id,
            row.fingerprint,
            row.call_digest,
            row.capability_id,
            row.subject,
            row.approval_id,
            orjson.dumps(row.principal_chain).decode(),
            row.fence,
            row.updated_at,
            row.compensated_by,
            row.reason,
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


def modified_before(db: apsw.Connection, request: ApprovalRequest, most: int) -> int:
    """How often people changed the call before this request about it; counted up to `most`.

    Of the requests before it, some were filed anew without a change: the policies were others by then.
    """
    count, before = 0, request.modified_from
    passed: set[str] = set()  # a file that somebody changed may lead in a circle
    while before is not None and before not in passed and count < most:
        passed.add(before)
        row = approval_row(db, before)
        count += row is None or row.state is ApprovalState.MODIFIED
        before = None if row is None else row.request.modified_from
    return count


def pending_approvals(db: apsw.Connection) -> list[str]:
    """Ids of pending requests, oldest first."""
    query = "SELECT approval_id FROM approvals WHERE state = 'pending' ORDER BY approval_id"
    return [str(row[0]) for row in db.execute(query)]


def due_approvals(db: apsw.Connection, now: str) -> list[str]:
    """Ids of pending requests whose time is over."""
    query = "SELECT approval_id FROM approvals WHERE state = 'pending' AND expires_at <= ?"
    return [str(row[0]) for row in db.execute(query, (now,))]


def put_approval(db: apsw.Connection, request: ApprovalRequest, reservation: str) -> None:
    """File a new, pending request. Policy's sentences may quote an argument: they are kept with the arguments."""
    document = request.document()
    document["reasons"] = [{"code": reason.code, "message": ""} for reason in request.reasons]
    db.execute(
        "INSERT INTO approvals VALUES (?, ?, 'pending', ?, ?, NULL)",
        (request.approval_id, reservation, request.expires_at, orjson.dumps(document).decode()),
    )


def move_approval(db: apsw.Connection, approval_id: str, now: ApprovalState, then: ApprovalState) -> bool:
    """Change the state if it still is `now`; whether it was."""
    db.execute("UPDATE approvals SET state = ? WHERE approval_id = ? AND state = ?", (then.value, approval_id, now.value))
    return db.changes() == 1


def put_answers(db: apsw.Connection, approval_id: str, answers: tuple[SignedAnswer, ...]) -> None:
    """Keep the signed answers with their request: all it has, the newest last."""
    documents = [
        {
            "approval_id": answer.approval_id,
            "answer": answer.answer.value,
            "approver": answer.approver,
            "keyid": answer.keyid,
            "comment": answer.comment,
            "envelope": answer.envelope,
            "route": answer.route.value,
            "reach": answer.reach.value,
            **({} if answer.modified_into is None else {"modified_into": answer.modified_into}),
        }
        for answer in answers
    ]
    db.execute("UPDATE approvals SET answer = ? WHERE approval_id = ?", (orjson.dumps(documents).decode(), approval_id))


def _call(row: tuple[Any, ...]) -> CallRow:
    reservation, state, envelope_id, fingerprint, digest, capability, subject, approval_id, chain, *rest = row
    identity = (reservation, State(state), envelope_id, fingerprint, digest, capability, subject, approval_id)
    return CallRow(*identity, tuple(orjson.loads(chain)), *rest)


def _approval(row: tuple[Any, ...]) -> ApprovalRow:
    request, reservation, state, answer = row
    try:
        return ApprovalRow(
            ApprovalRequest.from_document(orjson.loads(request)),
            reservation,
            ApprovalState(state),
            () if answer is None else _answers(orjson.loads(answer)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise StoreFault(
            f"a stored approval request is damaged: {type(error).__name__}",
            hint="sealgate state check names it. Restore a backup.",
            code="store.damaged",
        ) from error


def _answers(kept: list[dict[str, Any]] | dict[str, Any]) -> tuple[SignedAnswer, ...]:
    """The answers of a request. Before there were quorums, one was kept by itself."""
    return tuple(map(_answer, kept if isinstance(kept, list) else [kept]))


def _answer(document: dict[str, Any]) -> SignedAnswer:
    fields = dict(document)
    fields["answer"] = Answer(fields["answer"])
    fields["route"] = Route(fields.get("route", Route.CLI))
    fields["reach"] = ApproveFor(fields.get("reach", ApproveFor.ONCE))
    return SignedAnswer(**fields)


SELECT_ANCHORS = (
    "SELECT size, CAST(kind AS TEXT), CAST(who AS TEXT), CAST(at AS TEXT), CAST(proof AS BLOB) FROM anchors"
    " WHERE size = ? ORDER BY kind, who"
)


def anchor_row(row: tuple[Any, ...]) -> Anchor:
    """A row of `SELECT_ANCHORS`. Raises ValueError where it is damaged."""
    size, kind, who, at, proof = row
    return Anchor(int(size), AnchorKind(kind), str(who), str(at), bytes(proof))
