"""One cell of the measurement: one contender, one era, one concurrency, in one round."""

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from bench.calls import Era
from bench.contenders import Contender
from bench.load import load
from bench.processes import cpu_seconds


@dataclass(frozen=True, slots=True)
class Cell:
    """`cpu_us` is CPU time per call of the process under test, `cpu_all_us` with its helper processes. Failed calls count
    in both, but not in the latencies (ms) or the rate."""

    round: int
    contender: str
    era: str
    concurrency: int
    calls: int
    failures: int
    first_failure: str | None
    seconds: float
    p50_ms: float
    p99_ms: float
    calls_per_second: float
    cpu_us: float
    cpu_all_us: float


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run consists of. Seconds are for one cell."""

    rounds: int
    eras: Sequence[Era]
    concurrencies: Sequence[int]
    seconds: float
    warm_seconds: float

    def length(self, contenders: int) -> int:
        """How many cells."""
        return self.rounds * len(self.eras) * len(self.concurrencies) * contenders


async def measure(plan: Plan, contenders: Sequence[Contender]) -> AsyncIterator[Cell]:
    """All cells, interleaved: in each round every contender has its turn under the same conditions, one after the other."""
    for number in range(1, plan.rounds + 1):
        for era in plan.eras:
            for concurrency in plan.concurrencies:
                for contender in contenders:
                    yield await _cell(plan, number, era, concurrency, contender)


async def _cell(plan: Plan, number: int, era: Era, concurrency: int, contender: Contender) -> Cell:
    process = contender.process
    process.check()
    helpers = process.helpers()
    before: list[float] = []
    tally = await load(
        contender.door,
        era,
        contender.session_id if era is Era.HANDSHAKE else None,
        concurrency=concurrency,
        seconds=plan.seconds,
        warm_seconds=plan.warm_seconds,
        on_warm=lambda: before.extend(map(cpu_seconds, (process.pid, *helpers))),
    )
    after = map(cpu_seconds, (process.pid, *helpers))
    own, *others = (now - then for now, then in zip(after, before, strict=True))
    made = tally.calls + tally.failures
    return Cell(
        round=number,
        contender=contender.name,
        era=era.name.lower(),
        concurrency=concurrency,
        calls=tally.calls,
        failures=tally.failures,
        first_failure=tally.first_failure,
        seconds=tally.seconds,
        p50_ms=tally.percentile(0.5),
        p99_ms=tally.percentile(0.99),
        calls_per_second=tally.calls / tally.seconds,
        cpu_us=own / made * 1e6 if made else math.nan,
        cpu_all_us=(own + sum(others)) / made * 1e6 if made else math.nan,
    )
