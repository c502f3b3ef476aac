"""Candidate policies that decide beside those in force. Nothing they say is enforced.

They run in a helper process of their own, which gives way to others, after the decision in force was made. Calls wait for
them in a bounded queue; one that finds it full is not compared, and counted. A candidate that cannot be loaded, or fails,
is told and counted; it never changes what happens to a call.
"""

import asyncio
from collections import Counter, deque
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import orjson
import structlog

from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.in_force import PolicySource
from gateway.core.call import SealedCall
from gateway.core.circumstances import Circumstances
from gateway.core.decision import Effect, PolicyDecision, Verdict, policy_input
from gateway.core.errors import GatewayError
from gateway.core.ports import Clock

MAX_WAITING = 256
MAX_DIFFERENCES = 1000
MIN_DEADLINE_SECONDS = 1.0
NICENESS = 10
LOOK_SECONDS = 3.0
_STRICTNESS = {Effect.ALLOW: 0, Effect.ASK: 1, Effect.DENY: 2}

_log = structlog.get_logger("sealgate.policy")


class Comparison(StrEnum):
    """How the candidate's decision differs. `reasons`: the same effect, for other reasons or with other obligations."""

    SAME = "same"
    STRICTER = "stricter"
    LOOSER = "looser"
    REASONS = "reasons"
    FAILED = "failed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Difference:
    """One call that the candidate decides differently. No value of the call is in it: codes of reasons, not sentences."""

    envelope_id: str
    capability_id: str
    how: Comparison
    effect: Effect
    reasons: tuple[str, ...]
    candidate_effect: Effect
    candidate_reasons: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "envelope_id": self.envelope_id,
            "capability_id": self.capability_id,
            "how": self.how,
            "effect": self.effect,
            "reasons": self.reasons,
            "candidate_effect": self.candidate_effect,
            "candidate_reasons": self.candidate_reasons,
        }


class Shadow:
    """Use as `async with Shadow(source, clock, dev=False) as shadow`. The candidate is loaded after that, by and by."""

    def __init__(self, source: PolicySource, clock: Clock, *, dev: bool, deadline_seconds: float = 0.25) -> None:
        self._source = source
        self._clock = clock
        self._dev = dev
        self._deadline_seconds = max(deadline_seconds, MIN_DEADLINE_SECONDS)  # it gives way, so it may take longer
        self._waiting: asyncio.Queue[tuple[SealedCall, Circumstances, PolicyDecision]] = asyncio.Queue(MAX_WAITING)
        self._counts: Counter[Comparison] = Counter()
        self._differences: deque[Difference] = deque(maxlen=MAX_DIFFERENCES)
        self._engine: EmbeddedEngine | None = None
        self._stack = AsyncExitStack()
        self._one = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._looked: object = None
        self._found = ""  # the candidate's revision when it was last looked at, or why it cannot be loaded
        self._trouble: str | None = None
        self._told_failure = False

    def show(self, call: SealedCall, around: Circumstances, decision: PolicyDecision) -> None:
        """Let the candidate decide what was decided. Returns at once."""
        if self._engine is None:
            return
        try:
            self._waiting.put_nowait((call, around, decision))
        except asyncio.QueueFull:
            self._counts[Comparison.DROPPED] += 1

    def status(self) -> dict[str, Any]:
        """Counts since the candidate was loaded; `trouble` says why there is none."""
        return {
            "revision": None if self._engine is None else self._engine.revision,
            "trouble": self._trouble,
            "counts": {kind.value: self._counts[kind] for kind in Comparison},
        }

    def differences(self) -> list[dict[str, Any]]:
        """The last ones, oldest first."""
        return [difference.document() for difference in self._differences]

    async def reload(self) -> None:
        """Take the candidate as it is now; counting starts anew where it is another one."""
        async with self._one:
            await self._reload()

    async def _reload(self) -> None:
        looked = await asyncio.to_thread(self._source.look)
        if looked == self._looked:
            return
        self._looked = looked
        try:
            bundle = await asyncio.to_thread(self._source.load)
            found = bundle.revision
        except GatewayError as error:
            bundle, found = None, error.message
        if found == self._found:
            return
        self._found = found
        try:
            if bundle is None:
                raise GatewayError(found)
            if self._engine is None:
                made = EmbeddedEngine(
                    bundle, self._clock, dev=self._dev, deadline_seconds=self._deadline_seconds, niceness=NICENESS
                )
                self._engine = await self._stack.enter_async_context(made)
            else:
                await self._engine.reload(bundle)
        except GatewayError as error:
            self._trouble = error.message
            _log.error("policy_shadow_refused", cause=error.message)
        else:
            self._trouble, self._told_failure = None, False
            self._counts.clear()
            self._differences.clear()
            _log.info("policy_shadow_loaded", revision=found)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._compare_all()), loop.create_task(self._look())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._stack.aclose()

    async def _look(self) -> None:
        while True:
            try:
                await self.reload()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next look may go well
                self._trouble = f"it cannot be looked at: {type(error).__name__}"
                _log.error("policy_shadow_failed", cause=type(error).__name__)
            await asyncio.sleep(LOOK_SECONDS)

    async def _compare_all(self) -> None:
        while True:
            call, around, decision = await self._waiting.get()
            try:
                await self._compare(call, around, decision)
            except Exception as error:  # noqa: BLE001 - whatever it was, the next call can be compared
                self._failed(type(error).__name__)

    async def _compare(self, call: SealedCall, around: Circumstances, decision: PolicyDecision) -> None:
        if self._engine is None:
            return
        _, verdict = await self._engine.judge(self._document(call, around, decision), call)
        if verdict.cause is not None:
            self._failed(verdict.cause)
            return
        how = _compared(decision, verdict)
        self._counts[how] += 1
        if how is not Comparison.SAME:
            self._differences.append(
                Difference(
                    call.envelope_id,
                    call.capability.id,
                    how,
                    decision.effect,
                    tuple(reason.code for reason in decision.reasons),
                    verdict.effect,
                    tuple(reason.code for reason in verdict.reasons),
                )
            )

    def _document(self, call: SealedCall, around: Circumstances, decision: PolicyDecision) -> bytes:
        """What the policies in force saw."""
        if call.redacted_arguments is None:
            return decision.input
        now: str = orjson.loads(decision.input)["context"]["time"]
        return policy_input(call, around, dev=self._dev, now=now)

    def _failed(self, cause: str) -> None:
        self._counts[Comparison.FAILED] += 1
        if not self._told_failure:
            self._told_failure = True
            _log.warning("policy_shadow_failed", cause=cause)


def _compared(decision: PolicyDecision, candidate: Verdict) -> Comparison:
    stricter = _STRICTNESS[candidate.effect] - _STRICTNESS[decision.effect]
    if stricter:
        return Comparison.STRICTER if stricter > 0 else Comparison.LOOSER
    codes = {reason.code for reason in decision.reasons}, {reason.code for reason in candidate.reasons}
    same = codes[0] == codes[1] and decision.obligations == candidate.obligations
    return Comparison.SAME if same else Comparison.REASONS
