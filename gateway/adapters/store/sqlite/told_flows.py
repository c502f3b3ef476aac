"""What the log says of runs, beside what the journal keeps of them (`flows.py`): a row must not be less strict than the log.

A row that is gone or that forgot something makes a run look cleaner than it is. Told by the log are untrusted results, begun
effects, and the intent of calls that ran. A row may know more: an intent is registered before its call's entry, so one that
the log does not name is no contradiction. Entries from before they named their run say nothing.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

import apsw

from gateway.core.flow import RENEWED_SECONDS
from gateway.core.standing import FlowTold

TABLE = """
CREATE TEMP TABLE told_flows (
    scope TEXT PRIMARY KEY, fades INTEGER, tainted_at TEXT, effects INTEGER, intent TEXT, subject TEXT, at TEXT)
    WITHOUT ROWID;
"""
NAME = "told_flows"


def keep_flow(db: apsw.Connection, one: FlowTold, at: str) -> None:
    """Add what one entry says."""
    db.execute(
        "INSERT INTO told_flows VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope) DO UPDATE SET"
        " tainted_at = coalesce(excluded.tainted_at, tainted_at), effects = effects + excluded.effects,"
        " intent = coalesce(excluded.intent, intent), at = excluded.at",
        (one.scope, one.fades, at if one.tainted else None, one.effect, one.intent, one.subject, at),
    )


def make_flows(db: apsw.Connection) -> None:
    """Rows for a journal that has none yet: as strict as the log says."""
    db.execute(
        "INSERT INTO flows (scope, subject, tainted_at, effects, intent, updated_at)"
        " SELECT scope, subject, tainted_at, effects, intent, at FROM told_flows"
        " WHERE tainted_at IS NOT NULL OR effects > 0 OR intent IS NOT NULL"
    )


def check_flows(db: apsw.Connection, slack: timedelta) -> Iterator[str]:
    """Each run whose row is less strict than the log. `slack`: by how much clocks may differ."""
    rows = db.execute(
        "SELECT t.scope, t.fades, t.tainted_at, t.effects, t.intent, f.scope IS NULL, f.tainted_at, f.effects, f.intent"
        " FROM told_flows AS t LEFT JOIN flows AS f ON f.scope = t.scope"
        " WHERE t.tainted_at IS NOT NULL OR t.effects > 0 OR t.intent IS NOT NULL"
    )
    for scope, fades, tainted_at, effects, intent, gone, tainted_row, effects_row, intent_row in rows:
        if gone:
            yield f"run {scope}: the log tells what it read, did or is for, and its row is gone: it would look clean"
            continue
        if tainted_at is not None and tainted_row is None:
            yield f"run {scope}: stands as clean, and the log says that it has an untrusted result"
        elif tainted_at is not None and fades and _ends_too_soon(tainted_row, tainted_at, slack):
            yield f"run {scope}: stands as tainted at {tainted_row}, and the log says {tainted_at}: its taint ends too soon"
        if not isinstance(effects_row, int) or effects_row < effects:
            yield f"run {scope}: stands with {effects_row} effects, and the log says {effects}"
        if intent is not None and intent_row != intent:
            yield f"run {scope}: stands with another intent than the log says"


def _ends_too_soon(row: object, said: object, slack: timedelta) -> bool:
    """A caller's taint is written anew at most every `RENEWED_SECONDS`."""
    try:
        written, read = datetime.fromisoformat(str(row)), datetime.fromisoformat(str(said))
        return written + timedelta(seconds=RENEWED_SECONDS) + slack < read
    except (ValueError, TypeError):
        return True
