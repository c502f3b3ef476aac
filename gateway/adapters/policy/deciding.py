"""The engine in force, with who looks on: candidate policies, and the decision log. Neither changes or delays a decision."""

import time
from dataclasses import dataclass

from gateway.adapters.policy.decision_log import DecisionLog
from gateway.adapters.policy.shadow import Shadow
from gateway.core.call import SealedCall
from gateway.core.circumstances import Circumstances
from gateway.core.decision import PolicyDecision
from gateway.core.ports import PolicyEngine


@dataclass(frozen=True, slots=True)
class Deciding:
    """`ports.PolicyEngine`, over another one."""

    engine: PolicyEngine
    shadow: Shadow | None = None
    log: DecisionLog | None = None

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        """The decision of the engine in force."""
        started = time.perf_counter_ns()
        decision = await self.engine.decide(call, around)
        if self.log is not None:
            self.log.tell(call, decision, time.perf_counter_ns() - started)
        if self.shadow is not None:
            self.shadow.show(call, around, decision)
        return decision
