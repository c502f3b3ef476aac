"""The rule that the gateway is measured by: no check ends worse behind the gateway than it does directly.

1. A check that passes directly passes through the gateway. One that says nothing, is skipped or warns directly says the same
   through the gateway, or better.
2. Excused are the scenarios of the `tasks` extension (SEP-2663), which the server under the gateway does not have.
3. `http-header-validation` passes through the gateway whatever it does directly.
4. The measuring rod is straight: directly, nothing fails or warns but what is excused, and no fewer checks pass than when
   the suite was pinned. Else two broken runs would be equal.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.suite import CheckName, Found, Status

EXCUSED = "tasks-"
HEADERS = "http-header-validation"
FEWEST_PASSED = {"2025-11-25": 84, "2026-07-28": 168}
"""What the SDK's own server of this kind passes directly."""
FEWEST_HEADER_CHECKS = 14

_WORSE = (
    (Status.SUCCESS,),
    (Status.INFO, Status.ABSENT),
    (Status.SKIPPED,),
    (Status.WARNING,),
    (Status.FAILURE,),
)
_RANK = {status: rank for rank, statuses in enumerate(_WORSE) for status in statuses}
_ABSENT = Found(Status.ABSENT)


@dataclass(frozen=True)
class Pair:
    """One check in both runs."""

    check: CheckName
    direct: Found
    through: Found

    @property
    def excused(self) -> bool:
        return self.check.scenario.startswith(EXCUSED)

    @property
    def lacks(self) -> bool:
        """Whether it counts against parity."""
        if self.excused:
            return False
        if self.check.scenario == HEADERS and self.through.status is not Status.SUCCESS:
            return True
        return _RANK[self.through.status] > _RANK[self.direct.status]


@dataclass(frozen=True)
class Comparison:
    """One revision's requirements, directly and through a gateway in front of `upstream`."""

    revision: str
    upstream: str
    pairs: tuple[Pair, ...]

    @property
    def lacking(self) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.lacks)

    def counted(self, *, through: bool, excused: bool = False) -> Counter[Status]:
        """How many checks ended how, of those that are excused or of the others."""
        chosen = (pair.through if through else pair.direct for pair in self.pairs if pair.excused is excused)
        return Counter(found.status for found in chosen if found.status is not Status.ABSENT)

    def crooked(self) -> list[str]:
        """What is wrong with the measurement itself, in sentences."""
        wrong = [
            f"{pair.check.scenario} {pair.check.name} is {pair.direct.status} directly: {pair.direct.message}"
            for pair in self.pairs
            if not pair.excused and pair.direct.status in (Status.WARNING, Status.FAILURE)
        ]
        passed = sum(pair.direct.status is Status.SUCCESS for pair in self.pairs)
        if passed < FEWEST_PASSED[self.revision]:
            wrong.append(f"only {passed} checks pass directly, and there were {FEWEST_PASSED[self.revision]}")
        headers = sum(pair.check.scenario == HEADERS for pair in self.pairs)
        if self.revision == "2026-07-28" and headers < FEWEST_HEADER_CHECKS:
            wrong.append(f"{HEADERS} made only {headers} checks, and there were {FEWEST_HEADER_CHECKS}")
        return wrong


def compare(
    revision: str, upstream: str, direct: Mapping[CheckName, Found], through: Mapping[CheckName, Found]
) -> Comparison:
    """Check by check, over all that either run came to."""
    names = sorted(direct.keys() | through.keys())
    pairs = (Pair(name, direct.get(name, _ABSENT), through.get(name, _ABSENT)) for name in names)
    return Comparison(revision, upstream, tuple(pairs))
