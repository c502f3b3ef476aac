"""What the journal keeps of runs (`core/flow.py`): a row for each that read something untrusted, had an effect or an intent.

Rows stay as long as the log: a run whose row were dropped would look clean. They hold no values, and no run's name in clear.
"""

import apsw

from gateway.core.call import SealedCall
from gateway.core.flow import FADES_SECONDS, RENEWED_SECONDS, Flow, has_run
from gateway.core.ports import Clock


def flow_row(db: apsw.Connection, call: SealedCall, clock: Clock) -> Flow:
    """The state of the call's run; of one that has no row, the first state there is."""
    row = db.execute("SELECT tainted_at, effects, intent FROM flows WHERE scope = ?", (call.scope,)).fetchone()
    if row is None:
        return Flow()
    tainted_at, effects, intent = row
    tainted = tainted_at is not None and (has_run(call.run) or str(tainted_at) > clock.later(-FADES_SECONDS))
    return Flow(tainted, int(effects), None if intent is None else str(intent), is_kept=True)


def taint(db: apsw.Connection, call: SealedCall, clock: Clock) -> None:
    """The call's run has read a result that is not to be believed."""
    now = clock.now()
    _make(db, call, now)
    db.execute(
        "UPDATE flows SET tainted_at = ?1, updated_at = ?1 WHERE scope = ?2 AND (tainted_at IS NULL OR tainted_at <= ?3)",
        (now, call.scope, clock.later(-RENEWED_SECONDS)),
    )


def count_effect(db: apsw.Connection, call: SealedCall, now: str) -> None:
    """The call, which may have an effect, is begun."""
    _make(db, call, now)
    db.execute("UPDATE flows SET effects = effects + 1, updated_at = ? WHERE scope = ?", (now, call.scope))


def put_intent(db: apsw.Connection, call: SealedCall, now: str) -> None:
    """The call's run registered its intent. Whether it may was decided."""
    _make(db, call, now)
    db.execute("UPDATE flows SET intent = ?, updated_at = ? WHERE scope = ?", (call.intent, now, call.scope))


def _make(db: apsw.Connection, call: SealedCall, now: str) -> None:
    db.execute("INSERT OR IGNORE INTO flows VALUES (?, ?, NULL, 0, NULL, ?)", (call.scope, call.run.subject, now))
