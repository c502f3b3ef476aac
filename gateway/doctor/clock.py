"""The clock, held against what was written down before: it may never be behind the newest entry, or the newest file.

Times of entries, expiries of approvals and delegations all come from it. No other machine is asked.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import orjson

from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.dsse import NotVerified, read_envelope
from gateway.core.entry import PAYLOAD_TYPE
from gateway.core.errors import GatewayError
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok

SLACK_SECONDS = 2.0
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""Before this program was written."""

_SET_IT = "timedatectl set-ntp true"


def look(deployment: Deployment, now: float | None = None) -> Iterator[Finding]:
    """`now`: what the clock says (Unix seconds); None: what it says."""
    now = time.time() if now is None else now
    if now < EARLIEST:
        yield fail("clock", f"it says {_told(now)}, before this program was written", _SET_IT)
        return
    behind = [(ahead, what) for ahead, what in _written(deployment) if ahead > now + SLACK_SECONDS]
    if behind:
        ahead, what = max(behind)
        yield fail(
            "clock",
            f"it says {_told(now)}, {ahead - now:.0f} s before {what}",
            f"{_SET_IT}; if the clock is right now, it was wrong then",
        )
    else:
        yield ok("clock", f"it says {_told(now)}, after all that was written")


def _written(deployment: Deployment) -> Iterator[tuple[float, str]]:
    """When something was written, as far as that can be told, and what."""
    state = deployment.state
    for file in (state.journal, state.journal.with_name("journal.db-wal"), state.path / "lock"):
        if file.exists():
            yield file.stat().st_mtime, f"{file.name} was changed"
    try:
        log = SqliteLog(state.journal)
    except GatewayError:
        return  # `log` and `state` tell
    try:
        size, _ = log.head()
        for stored in log.entries(max(0, size - 1)):
            payload = orjson.loads(read_envelope(stored.entry, PAYLOAD_TYPE).payload)
            at = datetime.fromisoformat(payload["predicate"]["recorded_at"]).timestamp()
            yield at, f"entry {stored.index} was written"
    except (GatewayError, NotVerified, ValueError, KeyError, TypeError):
        return
    finally:
        log.close()


def _told(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
