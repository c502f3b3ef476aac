"""The system clock and its identifiers."""

import os
import time
from datetime import UTC, datetime

from gateway.core.ids import oldest_uuid7, uuid7


class SystemClock:
    """Wall time for records, monotonic time for durations."""

    def now(self) -> str:
        return _rfc3339(time.time())

    def later(self, seconds: float) -> str:
        return _rfc3339(time.time() + seconds)

    def new_id(self) -> str:
        return uuid7(time.time_ns() // 1_000_000, os.urandom(10))

    def oldest_id(self, seconds: float) -> str:
        """An id that sorts before all made in the last so many seconds, and after all made earlier."""
        return oldest_uuid7(max(0, round((time.time() - seconds) * 1000)))

    def monotonic(self) -> float:
        return time.monotonic()


def _rfc3339(unix_seconds: float) -> str:
    moment = datetime.fromtimestamp(unix_seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
