"""How many calls a principal made lately, for policies that budget them. In memory: a restart forgives."""

from collections import deque

WINDOW_SECONDS = 60.0
MAX_COUNTED = 10_000


class RecentCalls:
    """Counts per principal over the last minute. Owned by the event loop."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def add(self, principal: str, now: float) -> int:
        """Count one more call at `now` (monotonic seconds); the calls of the last minute before it."""
        times = self._times.setdefault(principal, deque(maxlen=MAX_COUNTED))
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        earlier = len(times)
        times.append(now)
        return earlier
