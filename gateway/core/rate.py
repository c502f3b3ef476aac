"""How many calls a principal made lately, for policies that budget them. In memory: a restart forgives."""

from collections import deque

WINDOW_SECONDS = 60.0
MAX_COUNTED = 10_000
MAX_PARTIES = 10_000


class RecentCalls:
    """Counts per party (a principal, an address) over the last minute. Owned by the event loop; bounded in memory."""

    def __init__(self) -> None:
        self._times: dict[str, deque[float]] = {}

    def add(self, party: str, now: float) -> int:
        """Count one more call at `now` (monotonic seconds); the calls of the last minute before it."""
        times = self._times.pop(party, None) or deque(maxlen=MAX_COUNTED)
        self._times[party] = times  # the one that called longest ago comes first
        if len(self._times) > MAX_PARTIES:
            del self._times[next(iter(self._times))]
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        earlier = len(times)
        times.append(now)
        return earlier
