"""The circuit breaker of one upstream: after so many faults in a row nothing is sent for a while, then one call to try it.

A fault is a call without a usable answer. An error that the upstream answers with is an answer, and so is a question to the
client: a person may take long over it, and must keep nobody else out. Pure: the time is given.
"""

from collections import deque

WINDOW_SECONDS = 60.0
"""Faults in a row count together where they lie within this time."""

LONGEST_PAUSE_SECONDS = 60.0


class Pass:
    """One call that was let in."""


class Breaker:
    """Closed: all calls pass. Open: none does, for a pause that doubles. Half open: one may try, and decides.

    `failures`: so many faults open it; 0: it never opens. Times are seconds of one monotonic clock. Every call that `enter`
    lets in ends with one of `answered`, `failed` and `left`.
    """

    def __init__(self, failures: int, pause_seconds: float, longest_seconds: float = LONGEST_PAUSE_SECONDS) -> None:
        self._failures = failures
        self._first_pause = self._pause = pause_seconds
        self._longest = max(longest_seconds, pause_seconds)
        self._faults: deque[float] = deque(maxlen=max(failures, 1))
        self._open_until: float | None = None
        self._trying: Pass | None = None

    def refused_for(self, now: float) -> float | None:
        """None where a call may be sent now; else for how many seconds not, 0 where one is trying it just now."""
        if self._open_until is None or (now >= self._open_until and self._trying is None):
            return None
        return max(0.0, self._open_until - now)

    def enter(self, now: float) -> Pass | None:
        """Let a call in, or not. Where the circuit is half open, it is the one that tries."""
        if self.refused_for(now) is not None:
            return None
        entered = Pass()
        if self._open_until is not None:
            self._trying = entered
        return entered

    def answered(self) -> None:
        """There was an answer: the upstream works."""
        self._faults.clear()
        self._open_until, self._trying, self._pause = None, None, self._first_pause

    def failed(self, entered: Pass, now: float) -> None:
        """There was none."""
        self._faults.append(now)
        if self._trying is entered:
            self._trying = None
            self._pause = min(self._pause * 2, self._longest)
            self._open_until = now + self._pause
        elif self._open_until is None and self._failures and self._full(now):
            self._open_until = now + self._pause

    def left(self, entered: Pass) -> None:
        """The call ended without telling anything of the upstream: it was cancelled, or not sent for another reason."""
        if self._trying is entered:
            self._trying = None

    def _full(self, now: float) -> bool:
        return len(self._faults) == self._failures and now - self._faults[0] <= WINDOW_SECONDS
