"""A clock that stands still until a test moves it."""

import os
from datetime import UTC, datetime, timedelta

from gateway.core.ids import uuid7


class SetClock:
    """Implements `core.ports.Clock`. Starts at 2026-11-22T10:00:00.000Z; owned by the test's event loop."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 10, tzinfo=UTC)
        self._monotonic = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def now(self) -> str:
        return _rfc3339(self._now)

    def later(self, seconds: float) -> str:
        return _rfc3339(self._now + timedelta(seconds=seconds))

    def new_id(self) -> str:
        return uuid7(round(self._now.timestamp() * 1000), os.urandom(10))

    def monotonic(self) -> float:
        return self._monotonic


def _rfc3339(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
