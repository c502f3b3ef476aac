"""What the journal keeps of runs (`core/flow.py`): a row for each that read something untrusted, had an effect or an intent.

Rows stay as long as the log: a run whose row were dropped would look clean. They hold no values, and no run's name in clear.
"""

import apsw

from gateway.core.call import SealedCall
from gateway.core.flow import Flow


def flow_row(db: apsw.Connection, scope: str) -> Flow:
    """The state of a run; of one that has no row, the first state there is."""
    row = db.execute("SELECT tainted_at IS NOT NULL, effects, intent FROM flows WHERE scope = ?", (scope,)).fetchone()
    return Flow() if row is None else Flow(bool(row[0]), int(row[1]), None if row[2] is None else str(row[2]))


def taint(db: apsw.Connection, call: SealedCall, now: str) -> None:
    """The call's run has read a result that is not to be believed."""
    _make(db, call, now)
    db.execute(
        "UPDATE flows SET tainted_at = ?1, updated_at = ?1 WHERE scope = ?2 AND tainted_at IS NULL", (now, call.scope)
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
