"""How much one principal may ask of the gateway: requests in a minute, at once, and calls in a day.

Counts are kept per principal, whatever they were let in by and whoever acts for them. In memory: a restart forgives, and so
do `MAX_PARTIES` others that came since. What is refused is not counted against anybody.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

MAX_PARTIES = 10_000
CONCURRENCY_PAUSE_SECONDS = 1
TOLD_SECONDS = 60.0
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class CallLimits:
    """None: as much as they like. `requests_per_minute` may come in one burst; a day is one of UTC."""

    requests_per_minute: int | None = None
    concurrent: int | None = None
    calls_per_day: int | None = None


UNLIMITED = CallLimits()


class Exceeded(StrEnum):
    """Which limit it was."""

    RATE = "requests_per_minute"
    CONCURRENCY = "concurrent"
    BUDGET = "calls_per_day"


@dataclass(frozen=True, slots=True)
class Limited:
    """A refusal. `retry_after`: seconds until it may go better. `refused`: how many so far. `tell`: once in a minute."""

    which: Exceeded
    retry_after: int
    refused: int
    tell: bool


@dataclass(slots=True)
class _Party:
    """`tokens`: how many requests are left in the bucket, as of `at`; without end until a rate is asked about."""

    tokens: float
    at: float
    day: int
    calls: int = 0
    running: int = 0
    refused: int = 0
    told_at: float = -math.inf


class Budgets:
    """Counts per party. Owned by the event loop; bounded in memory."""

    def __init__(self) -> None:
        self._parties: OrderedDict[str, _Party] = OrderedDict()

    def begin(
        self, party: str, limits: CallLimits, *, calls: int, stands: bool = False, now: float, wall: float
    ) -> Limited | None:
        """Count one request that begins, and the calls that it makes; why it may not. `now` in monotonic seconds, `wall` in
        seconds since 1970.

        One that `stands` open until somebody ends it takes no place among those that run, and has no `end` here.
        """
        if limits == UNLIMITED:
            return None
        found = self._party(party, limits, now, wall)
        refusal = _exceeded(found, limits, calls, stands, wall)
        if refusal is not None:
            which, seconds = refusal
            found.refused += 1
            tell = now - found.told_at >= TOLD_SECONDS
            if tell:
                found.told_at = now
            return Limited(which, max(1, math.ceil(seconds)), found.refused, tell)
        found.running += not stands
        found.calls += calls
        if limits.requests_per_minute is not None:
            found.tokens -= 1
        return None

    def end(self, party: str, limits: CallLimits) -> None:
        """A request that was let begin under these limits has ended."""
        found = self._parties.get(party)
        if limits != UNLIMITED and found is not None:
            found.running -= 1

    def _party(self, party: str, limits: CallLimits, now: float, wall: float) -> _Party:
        day = int(wall // _DAY_SECONDS)
        found = self._parties.get(party)
        if found is None:
            self._forget_one()
            found = self._parties[party] = _Party(math.inf, now, day)
        self._parties.move_to_end(party)
        most = limits.requests_per_minute
        if most is not None:
            found.tokens = min(float(most), found.tokens + max(0.0, now - found.at) * most / 60)
            found.at = now
        if day > found.day:  # a clock that is set back forgives nothing
            found.day, found.calls = day, 0
        return found

    def _forget_one(self) -> None:
        """The idle one that came longest ago, where there are too many. Those that run something are bounded by that."""
        if len(self._parties) >= MAX_PARTIES:
            oldest = next((name for name, party in self._parties.items() if not party.running), None)
            if oldest is not None:
                del self._parties[oldest]


def _exceeded(party: _Party, limits: CallLimits, calls: int, stands: bool, wall: float) -> tuple[Exceeded, float] | None:
    """The limit that is reached, and the seconds until it is not."""
    if limits.concurrent is not None and not stands and party.running >= limits.concurrent:
        return Exceeded.CONCURRENCY, CONCURRENCY_PAUSE_SECONDS
    if limits.requests_per_minute is not None and party.tokens < 1:
        return Exceeded.RATE, (1 - party.tokens) * 60 / limits.requests_per_minute
    if calls and limits.calls_per_day is not None and party.calls + calls > limits.calls_per_day:
        return Exceeded.BUDGET, (party.day + 1) * _DAY_SECONDS - wall
    return None
