"""What the log says of calls, approvals and runs, kept in temporary tables beside the journal's own and compared with them.

Temporary tables, since a log has millions of calls and `state check` must not need memory for them. They are this
connection's alone, also where it reads a journal that it must not change.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import apsw
import orjson

from gateway.adapters.store.sqlite import told_flows
from gateway.core.approval import ApprovalState
from gateway.core.entry import Entry
from gateway.core.idempotency import TRANSITIONS, State
from gateway.core.requests import Stage, after
from gateway.core.standing import (
    ApprovalTold,
    CallTold,
    ErasureTold,
    FlowTold,
    KeyTold,
    RefusalTold,
    Told,
    asked_digest,
    told,
)

CLOCK_SLACK = timedelta(seconds=5)
"""A row's time is taken a moment after its entry's; a clock may be set back a little between them."""

_TABLES = """
CREATE TEMP TABLE told_calls (
    envelope_id TEXT PRIMARY KEY, identity TEXT, reservation TEXT, derived INTEGER, state TEXT, call_digest TEXT,
    capability_id TEXT, principal_chain TEXT, reason TEXT, commitment TEXT, at TEXT, undone_by TEXT) WITHOUT ROWID;
CREATE TEMP TABLE told_keys (identity TEXT PRIMARY KEY, envelope_id TEXT) WITHOUT ROWID;
CREATE TEMP TABLE told_refusals (envelope_id TEXT PRIMARY KEY, identity TEXT) WITHOUT ROWID;
CREATE TEMP TABLE told_approvals (approval_id TEXT PRIMARY KEY, stage TEXT, state TEXT, asked TEXT) WITHOUT ROWID;
CREATE TEMP TABLE told_wrong (problem TEXT);
CREATE TEMP TABLE told_erasures (subject TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_NAMES = ("told_calls", "told_keys", "told_refusals", "told_approvals", "told_wrong", "told_erasures", told_flows.NAME)


@contextmanager
def keep_told(db: apsw.Connection, entries: Iterable[Entry]) -> Iterator[None]:
    """Fill the temporary tables from a verified log; they are gone afterwards."""
    db.execute(_TABLES + told_flows.TABLE)
    try:
        for entry in entries:
            for one in told(entry):
                _keep(db, one, str(entry.predicate.get("recorded_at")))
        db.execute("CREATE INDEX temp.told_calls_reservation ON told_calls (reservation)")
        yield
    finally:
        for name in _NAMES:
            db.execute(f"DROP TABLE temp.{name}")


def _keep(db: apsw.Connection, one: Told, at: str) -> None:
    match one:
        case CallTold(key=None):
            _keep_step(db, one)
            update = "UPDATE told_calls SET state = ?, reason = coalesce(?, reason), undone_by = ? WHERE envelope_id = ?"
            db.execute(update, (one.state.value, one.reason, one.undone_by, one.envelope_id))
        case CallTold(key=KeyTold() as key):
            if one.state is State.STARTED:
                _keep_repeat(db, one, key)
            _keep_step(db, one)
            chain = orjson.dumps(one.principal_chain).decode()
            db.execute(
                "INSERT OR REPLACE INTO told_calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
                (
                    *(one.envelope_id, key.identity, key.reservation, key.derived, one.state.value),
                    *(one.call_digest, one.capability_id, chain, one.reason, one.commitment, at),
                ),
            )
            db.execute("INSERT OR REPLACE INTO told_keys VALUES (?, ?)", (key.identity, one.envelope_id))
        case RefusalTold():
            db.execute("INSERT OR REPLACE INTO told_refusals VALUES (?, ?)", (one.envelope_id, one.key.identity))
        case ApprovalTold():
            _keep_approval(db, one)
        case FlowTold():
            told_flows.keep_flow(db, one, at)
        case ErasureTold():
            db.execute("INSERT OR IGNORE INTO told_erasures VALUES (?)", (one.subject,))


def _keep_approval(db: apsw.Connection, told: ApprovalTold) -> None:
    """Where the request stands now; a step that may not be taken there is a problem, and leads nowhere."""
    kept = db.execute("SELECT stage FROM told_approvals WHERE approval_id = ?", (told.approval_id,)).get
    before = None if kept is None else Stage(str(kept))
    stage = after(before, told.step)
    if stage is None:
        problem = f"approval {told.approval_id}: the log says {told.step} after {before or 'nothing'}"
        db.execute("INSERT INTO told_wrong VALUES (?)", (problem,))
        return
    db.execute(
        "INSERT INTO told_approvals VALUES (?, ?, ?, ?) ON CONFLICT (approval_id) DO UPDATE"
        " SET stage = excluded.stage, state = excluded.state, asked = coalesce(excluded.asked, asked)",
        (told.approval_id, stage.value, stage.state.value, told.asked),
    )


def _keep_repeat(db: apsw.Connection, call: CallTold, key: KeyTold) -> None:
    """A call that began under the key of one that may not run again. How long a derived key stands is not looked at."""
    query = "SELECT t.envelope_id, t.state FROM told_keys AS k JOIN told_calls AS t USING (envelope_id) WHERE k.identity = ?"
    before = db.execute(query, (key.identity,)).fetchone()
    if before is not None and not _may_be_free(str(before[1]), key.derived):
        problem = f"call {call.envelope_id}: began under the key of call {before[0]}, which was {before[1]}"
        db.execute("INSERT INTO told_wrong VALUES (?)", (problem,))


def _keep_step(db: apsw.Connection, call: CallTold) -> None:
    """A step that the state machine does not have."""
    now = db.execute("SELECT state FROM told_calls WHERE envelope_id = ?", (call.envelope_id,)).get
    if now is not None and call.state not in TRANSITIONS[State(str(now))]:
        db.execute("INSERT INTO told_wrong VALUES (?)", (f"call {call.envelope_id}: the log says {call.state} after {now}",))


def _may_be_free(state: str, derived: object) -> bool:
    """Whether the key of a call that ended so may be claimed anew, perhaps after some time."""
    return state == State.FAILED or (bool(derived) and state in (State.COMPLETED, State.COMPENSATED))


def check_rows(db: apsw.Connection) -> Iterator[str]:
    """Each row of `calls` and `approvals` that is not as the log says, each that is missing, and each effect done twice.

    Each row of `flows` that is less strict than the log.
    """
    for (problem,) in db.execute("SELECT problem FROM told_wrong"):
        yield str(problem)
    yield from _changed_calls(db)
    yield from _free_calls(db)
    yield from _missing_calls(db)
    yield from _approvals(db)
    yield from told_flows.check_flows(db, CLOCK_SLACK)


def _changed_calls(db: apsw.Connection) -> Iterator[str]:
    """Rows of calls that ran, beside the last word of the log about them."""
    rows = db.execute(
        "SELECT c.envelope_id, c.state, t.state, c.call_digest, t.call_digest, c.capability_id, t.capability_id,"
        " c.updated_at, t.at, t.derived, c.reservation, t.reservation, k.envelope_id IS NOT NULL"
        " FROM calls AS c JOIN told_calls AS t ON t.envelope_id = c.envelope_id"
        " LEFT JOIN told_keys AS k ON k.identity = t.identity AND k.envelope_id = t.envelope_id"
    )
    for envelope_id, state, said, digest, digest_said, tool, tool_said, at, at_said, derived, key, key_said, newest in rows:
        if state != said:
            yield f"call {envelope_id}: stands as {state}, and the log says {said}"
        if key_said is not None and key not in ((key_said,) if newest else ()) + (f"{key_said}:{envelope_id}",):
            yield f"call {envelope_id}: stands under another key than the log says"
        if (digest, tool) != (digest_said, tool_said):
            yield f"call {envelope_id}: stands as another call than the log says"
        if derived and state == State.COMPLETED and _earlier(at, at_said):
            yield f"call {envelope_id}: stands with the time {at}, and the log says {at_said}: its key is free too soon"
    query = (
        "SELECT c.envelope_id, c.compensated_by, t.undone_by FROM calls AS c JOIN told_calls AS t USING (envelope_id)"
        " WHERE c.compensated_by IS NOT t.undone_by"
    )
    for envelope_id, by, by_said in db.execute(query):
        yield f"call {envelope_id}: stands as undone by {by}, and the log says {by_said}"
    for (envelope_id,) in db.execute("SELECT envelope_id FROM calls GROUP BY envelope_id HAVING count(*) > 1"):
        yield f"call {envelope_id}: stands under several keys"


def _free_calls(db: apsw.Connection) -> Iterator[str]:
    """Rows of calls that did not run: the log must know the question."""
    rows = db.execute(
        "SELECT c.envelope_id, c.state, r.identity IS NOT NULL, a.state FROM calls AS c"
        " LEFT JOIN told_refusals AS r ON r.envelope_id = c.envelope_id"
        " LEFT JOIN told_approvals AS a ON a.approval_id = c.approval_id"
        " WHERE c.envelope_id NOT IN (SELECT envelope_id FROM told_calls)"
    )
    for envelope_id, state, refused, approval in rows:
        if state not in (State.AWAITING_APPROVAL, State.RELEASED) or not (refused or approval):
            yield f"call {envelope_id}: stands as {state}, and the log has no such call"
        elif state == State.AWAITING_APPROVAL and approval in (None, ApprovalState.CONSUMED, ApprovalState.MODIFIED):
            yield f"call {envelope_id}: waits for an approval that the log says is {approval or 'unknown'}"


def _missing_calls(db: apsw.Connection) -> Iterator[str]:
    """Calls that ran and have no row under their key: another run of them would not be noticed.

    A key that may be claimed anew can have the row of a question instead, which is found by key or by call.
    """
    rows = db.execute(
        "SELECT t.envelope_id, t.state, t.derived, EXISTS (SELECT 1 FROM calls AS c"
        " LEFT JOIN told_refusals AS r ON r.envelope_id = c.envelope_id WHERE c.state IN ('awaiting_approval', 'released')"
        " AND (c.reservation = t.reservation OR r.identity = t.identity OR c.call_digest = t.call_digest))"
        " FROM told_keys AS k JOIN told_calls AS t ON t.envelope_id = k.envelope_id WHERE NOT EXISTS (SELECT 1"
        " FROM calls AS c WHERE c.envelope_id = t.envelope_id AND c.reservation = coalesce(t.reservation, c.reservation))"
    )
    for envelope_id, state, derived, asked in rows:
        if not (asked and _may_be_free(state, derived)):
            yield f"call {envelope_id}: the log says {state}, and no row keeps its key: it could run again"


def _approvals(db: apsw.Connection) -> Iterator[str]:
    rows = db.execute(
        "SELECT p.approval_id, p.state, t.state, p.request, t.asked, p.expires_at"
        " FROM approvals AS p LEFT JOIN told_approvals AS t ON t.approval_id = p.approval_id"
    )
    for approval_id, state, said, request, asked, expires_at in rows:
        if state != said:
            yield f"approval {approval_id}: stands as {state}, and the log says {said or 'nothing'}"
        elif not _asks(request, asked, expires_at):
            yield f"approval {approval_id}: asks for something else than the log says"
    query = "SELECT approval_id FROM told_approvals WHERE approval_id NOT IN (SELECT approval_id FROM approvals)"
    for (approval_id,) in db.execute(query):
        yield f"approval {approval_id}: the log has it, and its row is gone"


def _asks(request: object, asked: str, expires_at: object) -> bool:
    try:
        document = orjson.loads(str(request))
        return asked_digest(document) == asked and document["expires_at"] == expires_at
    except (ValueError, AttributeError, KeyError, TypeError):
        return False


def _earlier(row: str, entry: str) -> bool:
    try:
        return datetime.fromisoformat(row) < datetime.fromisoformat(entry) - CLOCK_SLACK
    except (ValueError, TypeError):
        return True
