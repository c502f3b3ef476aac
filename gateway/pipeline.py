"""The governed call. One function, top to bottom; each step's output is the only legal input of the next.

What must stay true here, whatever is added:

* policy comes before any stored result: a caller whose right was revoked must not read yesterday's answer
* the intent is durable before the first byte goes upstream, the outcome before the result leaves the gateway
* the executor takes a Grant, and only a decision that allowed, or a person's approval, can make one
* whatever ends a call leaves an entry, but for a caller that goes away before its call was begun; if the journal cannot
  write it, the call ends with that error and no result
"""

from dataclasses import dataclass
from typing import assert_never

import anyio

from gateway.core.approval import ApprovalRequest, Grant
from gateway.core.call import Compensated, SealedCall, Sealer, ToolRequest
from gateway.core.canonical import NotCanonical
from gateway.core.capability import Capability
from gateway.core.circumstances import Circumstances
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.envelope import Answered, Ending, NotDone, Refusal, Replay, Unknown
from gateway.core.evidence import EvidenceRef
from gateway.core.outcome import (
    AwaitingApproval,
    Completed,
    Conflict,
    Denied,
    Failed,
    InDoubt,
    Outcome,
    Reason,
    Replayed,
)
from gateway.core.ports import CatalogSource, Clock, Executor, Journal, Observer, PolicyEngine
from gateway.core.rate import RecentCalls
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply
from gateway.core.reservation import (
    Gone,
    Held,
    Lost,
    Mismatch,
    NotApproved,
    NotCompensable,
    Prior,
    Resumed,
    Running,
    Undone,
    Waiting,
)
from gateway.core.run_context import RunContext

APPROVAL_PENDING = Reason("approval.pending", "A person has not answered yet. Make the same call again after they did.")
APPROVAL_NEEDS_KEY = Reason(
    "approval.needs_key", "Policy wants a person's approval, and this tool keeps no idempotency key to bind it to."
)
RUNNING = Reason("idempotency.running", "The same call is still running. Make it again later to get its result.")
MISMATCH = Reason("idempotency.mismatch", "This idempotency key was used with other arguments. Use a new key.")
IN_DOUBT = Reason(
    "idempotency.in_doubt",
    "This call was started and its end is unknown. It is not run again; an operator must find out and resolve it.",
)
CANCELLED = Reason("call.cancelled", "The caller went away before the answer came.")
RESULT_UNUSABLE = Reason("upstream.result_unusable", "The upstream's answer is no acceptable JSON document.")


@dataclass(frozen=True, slots=True)
class Gateway:
    """The ports one governed call needs. `approval_ttl_seconds`: how long a person has to answer."""

    catalog: CatalogSource
    sealer: Sealer
    policy: PolicyEngine
    journal: Journal
    executor: Executor
    clock: Clock
    observer: Observer
    recent: RecentCalls
    approval_ttl_seconds: float
    dev: bool

    async def call(self, run: RunContext, request: ToolRequest) -> Outcome:
        """One tool call of an authenticated caller, decided, run at most once, recorded.

        Raises:
            GatewayError: the journal or a key failed; nothing ran, or what ran shows as in doubt.
        """
        step, refuse = self.observer.step, self.journal.refuse

        with step("resolve"):
            capability = self.catalog.current().resolve(request.name)
        if isinstance(capability, Reason):
            return Denied((capability,), await refuse(Refusal(run, request, (capability,))))

        with step("seal"):
            call = self.sealer.seal(run, capability, request)
        if isinstance(call, tuple):
            return Denied(call, await refuse(Refusal(run, request, call, capability)))

        with step("decide"):
            earlier = self.recent.add(run.subject, self.clock.monotonic())
            compensated = self.journal.compensated(call)
            decision = await self.policy.decide(call, Circumstances(earlier, compensated))
        refused = _Refusals(run, request, call, decision)
        if decision.effect is Effect.DENY:
            return Denied(decision.reasons, await refuse(refused.because(*decision.reasons)))
        if decision.effect is Effect.ASK and call.idempotency is None:
            return Denied((APPROVAL_NEEDS_KEY,), await refuse(refused.because(APPROVAL_NEEDS_KEY)))

        with step("reserve"):
            reservation = await self.journal.reserve(call, decision, self._question(call, decision, compensated))
        match reservation:
            case Prior(of, result, note, resolved_by, redacted):
                receipt = await self.journal.replay(Replay(call, decision, of))
                return Replayed(result, receipt, note, resolved_by, redacted)
            case Gone(_, reason) | Undone(_, reason):
                return Conflict(reason, await refuse(refused.because(reason)))
            case Running():
                return Conflict(RUNNING, await refuse(refused.because(RUNNING)))
            case Mismatch():
                return Conflict(MISMATCH, await refuse(refused.because(MISMATCH)))
            case Lost():
                return InDoubt(IN_DOUBT, await refuse(refused.because(IN_DOUBT)))
            case Waiting(asked):
                receipt = await refuse(refused.because(APPROVAL_PENDING, approval_id=asked.approval_id))
                return AwaitingApproval(asked.approval_id, asked.expires_at, decision.reasons, receipt)
            case NotApproved(reason) | NotCompensable(reason):
                return Denied((reason,), await refuse(refused.because(reason)))
            case Held():
                approved = None
            case Resumed(approved):
                pass
            case _:
                assert_never(reservation)

        try:
            grant = Grant(call, decision, approved)
            with step("ready"):
                unready = await self.executor.ready(grant)
            if unready is not None:
                return Denied((unready,), await refuse(refused.because(unready)))

            # An effect that was begun is finished and recorded even if its caller goes away: a retry then finds its result.
            # A read is cancelled with its caller (docs/decisions/0006).
            with anyio.CancelScope(shield=grant.needs_intent):
                with step("begin"):
                    await self.journal.begin(grant)
                started = self.clock.monotonic()
                try:
                    with step("execute"):
                        reply = await self.executor.run(grant)
                except anyio.get_cancelled_exc_class():  # of an effect only where the loop ends: it was sent, perhaps
                    ended = _without_result(capability, CANCELLED)
                    with anyio.CancelScope(shield=True):
                        await self.journal.finish(grant, ended, self._elapsed(started))
                    raise
                with step("capture"):
                    ending = self._capture(grant, reply)
                with anyio.CancelScope(shield=True), step("finish"):
                    receipt = await self.journal.finish(grant, ending, self._elapsed(started))
        finally:
            self.journal.release(call)

        match ending:
            case Answered(result):
                return Completed(result, receipt)
            case NotDone(reason):
                return Failed(reason, receipt)
            case Unknown(reason):
                return InDoubt(reason, receipt)
            case _:
                assert_never(ending)

    def _elapsed(self, started: float) -> int:
        return round((self.clock.monotonic() - started) * 1000)

    def _question(
        self, call: SealedCall, decision: PolicyDecision, compensated: Compensated | None
    ) -> ApprovalRequest | None:
        if decision.effect is not Effect.ASK:
            return None
        return ApprovalRequest.for_call(
            call,
            decision,
            compensated=compensated,
            approval_id=self.clock.new_id(),
            now=self.clock.now(),
            expires_at=self.clock.later(self.approval_ttl_seconds),
            advisory=self.dev,
        )

    def _capture(self, grant: Grant, reply: UpstreamReply) -> Ending:
        """What the reply means for a call of this mode, with the result committed to and labelled."""
        capability = grant.call.capability
        match reply:
            case ToolReply(document, protocol):
                try:
                    disclosure = self.sealer.disclose_result(grant.call, document)
                except NotCanonical:
                    return _without_result(capability, RESULT_UNUSABLE)
                evidence = EvidenceRef(
                    ref=f"tool:{capability.id}:{grant.call.envelope_id}",
                    trust_level=capability.classification.trust_level,
                    source_owner=capability.classification.owner,
                    commitment=disclosure.digest,
                )
                return Answered(document, document.get("isError") is True, protocol, disclosure, evidence)
            case NotSent(reason):
                return NotDone(reason)
            case NoAnswer(reason):
                return _without_result(capability, reason)
            case _:
                assert_never(reply)


def _without_result(capability: Capability, reason: Reason) -> Ending:
    return Unknown(reason) if capability.mode.has_effect else NotDone(reason)


@dataclass(frozen=True, slots=True)
class _Refusals:
    """What every refusal of a decided call has in common."""

    run: RunContext
    request: ToolRequest
    call: SealedCall
    decision: PolicyDecision

    def because(self, *reasons: Reason, approval_id: str | None = None) -> Refusal:
        return Refusal(
            self.run, self.request, reasons, self.call.capability, self.call, self.decision, approval_id=approval_id
        )
