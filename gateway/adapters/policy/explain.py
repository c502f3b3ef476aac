"""Why a call was decided as it was: the decision made again on what policy saw, the rules behind it, what would change it.

The same policies run in a helper process that tells which of their lines were evaluated (regorus' coverage). A reason's rule
is the one whose evaluated lines hold its code. What would change the decision is found by trying (`probes.py`).
"""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway.adapters.policy.bundle import PolicyBundle
from gateway.adapters.policy.probes import Probe, probes
from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.core.canonical import canonical
from gateway.core.decision import Effect, Verdict, failed_verdict, read_verdict
from gateway.core.errors import ConfigError

LOAD_SECONDS = 10.0
DECISION_SECONDS = 2.0
ALL_SECONDS = 30.0
MAX_INPUT_PROBES = 2000
MAX_DATA_PROBES = 200


@dataclass(frozen=True, slots=True)
class Ruling:
    """A reason and where its rule stands: `file:line`, as many as could have given it; none where it cannot be told."""

    code: str
    message: str
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """One change that would change the effect; or, with the same `effect`, take away the reasons `gone`."""

    what: str
    effect: Effect
    reasons: tuple[str, ...]
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """`changes` change the effect, `steps` only take reasons away. `tried`: how many changes; `whole`: whether all were."""

    verdict: Verdict
    rulings: tuple[Ruling, ...]
    changes: tuple[Change, ...]
    steps: tuple[Change, ...]
    tried: int
    whole: bool


async def explain(bundle: PolicyBundle, seen: dict[str, Any]) -> Explanation:
    """Explain the decision on the input document `seen`. Raises `ConfigError` where the policies cannot be loaded."""
    trying = _Trying(bundle, seen)
    try:
        verdict, covered = await trying.with_coverage()
        changes = await trying.all(probes(seen, bundle.data), verdict)
    finally:
        await trying.stop()
    rulings = tuple(Ruling(one.code, one.message, tuple(_places(bundle, covered, one.code))) for one in verdict.reasons)
    flips = tuple(change for change in changes if change.effect is not verdict.effect)
    steps = tuple(change for change in changes if change.effect is verdict.effect)
    return Explanation(verdict, rulings, flips, steps, trying.tried, trying.whole)


class _Trying:
    """One helper process at a time; a fresh one after a change that made the policies not end."""

    def __init__(self, bundle: PolicyBundle, seen: dict[str, Any]) -> None:
        self._bundle = bundle
        self._seen = seen
        self._process: PolicyProcess | None = None
        self._loaded: PolicyBundle | None = None
        self._until = asyncio.get_running_loop().time() + ALL_SECONDS
        self.tried = 0
        self.whole = True

    async def with_coverage(self) -> tuple[Verdict, dict[str, list[int]]]:
        """The decision, and the lines of each module that were evaluated for it. Raises `ConfigError`."""
        answer = await self._ask(b"C", self._bundle, self._seen)
        if isinstance(answer, Fault):
            return failed_verdict(answer.where()), {}
        told = orjson.loads(answer)
        return read_verdict(told["value"], str), told["covered"]

    async def all(self, changes: Iterable[Probe], verdict: Verdict) -> list[Change]:
        """Try each; those that make a difference."""
        found: list[Change] = []
        done: set[str] = set()
        counts = {"input": 0, "data": 0}
        for probe in changes:
            kind, most = ("input", MAX_INPUT_PROBES) if probe.data is None else ("data", MAX_DATA_PROBES)
            if probe.group in done:
                continue
            if counts[kind] >= most or asyncio.get_running_loop().time() > self._until:
                self.whole = False
                break
            counts[kind] += 1
            change = await self._try(probe, verdict)
            if change is None:
                continue
            found.append(change)
            if probe.group is not None and change.effect is not verdict.effect:
                done.add(probe.group)
        return found

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop()

    async def _try(self, probe: Probe, verdict: Verdict) -> Change | None:
        self.tried += 1
        bundle = self._bundle if probe.data is None else replace(self._bundle, written_data=canonical(probe.data))
        try:
            answer = await self._ask(b"D", bundle, self._seen if probe.input is None else probe.input)
        except ConfigError:  # such data does not load
            return None
        if isinstance(answer, Fault):
            return None
        other = read_verdict(orjson.loads(answer), str)
        if other.cause is not None:
            return None
        before, after = ({reason.code for reason in one.reasons} for one in (verdict, other))
        if other.effect is not verdict.effect:
            return Change(probe.what, other.effect, tuple(sorted(after)))
        if after < before and after:
            return Change(probe.what, other.effect, tuple(sorted(after)), tuple(sorted(before - after)))
        return None

    async def _ask(self, kind: bytes, bundle: PolicyBundle, seen: dict[str, Any]) -> bytes | Fault:
        process = self._process
        if process is None or process.fault is not None:
            await self.stop()
            process = self._process = await PolicyProcess.start(lambda ended: None)
            self._loaded = None
        if self._loaded is not bundle:
            self._loaded = None
            await process.load(bundle, LOAD_SECONDS)
            process.patience = DECISION_SECONDS
            self._loaded = bundle
        return await process.ask(kind, orjson.dumps(seen), asyncio.get_running_loop().time() + DECISION_SECONDS)


def _places(bundle: PolicyBundle, covered: dict[str, list[int]], code: str) -> Iterator[str]:
    """Evaluated lines that hold the code as a string."""
    for module, numbers in sorted(covered.items()):
        lines = bundle.modules.get(module, "").split("\n")
        for number in numbers:
            if number <= len(lines) and f'"{code}"' in lines[number - 1]:
                yield f"{module}:{number}"
