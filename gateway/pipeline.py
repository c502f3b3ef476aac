"""The governed call. One function, top to bottom; each step's output is the only legal input of the next.

What must stay true here, whatever is added:

* policy comes before any stored result: a caller whose right was revoked must not read yesterday's answer
* the intent is durable before the first byte goes upstream, the outcome before the result leaves the gateway
* a run that has read what is not to be believed is known to have before the result leaves: an effect that is begun later
  was decided on that
* the executor takes a Grant, and only a decision that allowed, or a person's approval, can make one
* whatever ends a call leaves an entry, but for a caller that goes away before its call was begun; if the journal cannot
  write it, the call ends with that error and no result
"""

from dataclasses import dataclass, replace
from typing import Any, assert_never

import anyio
import orjson

from gateway.core.approval import ApprovalRequest, Grant
from gateway.core.call import Compensated, SealedCall, Sealer, ToolRequest
from gateway.core.canonical import NotCanonical
from gateway.core.capability import Capability, TrustLevel
from gateway.core.circumstances import Circumstances, IntentTold, Provenance
from gateway.core.conversation import SILENT, Conversation
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.delivery import Delivery, deliver
from gateway.core.envelope import Answered, Ending, NotDone, Refusal, Replay, Unknown
from gateway.core.errors import FlowChanged
from gateway.core.evidence import EvidenceRef
from gateway.core.flow import MOST_CHANGES, NO_RUN, Flow, has_run
from gateway.core.modification import NotApplicable, changed, differences
from gateway.core.outcome import (
    AwaitingApproval,
    Completed,
    Conflict,
    Denied,
    Failed,
    InDoubt,
    Modified,
    Outcome,
    Reason,
    Replayed,
    Told,
)
from gateway.core.ports import CatalogSource, Clock, Executor, Journal, Observer, PolicyEngine
from gateway.core.provenance import provenance
from gateway.core.rate import RecentCalls
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply
from gateway.core.reservation import (
    Gone,
    Held,
    Instead,
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
from gateway.core.run_memory import Pending, Runs

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
EVIDENCE_UNKNOWN = Reason(
    "evidence.unknown",
    "A result that this call cites is none of its run's, or is forgotten by now. Make the call that brought it again.",
)
MODIFIED = Reason("call.modified", "Policy changed this call's arguments; the changed call is in an entry of its own.")
CHANGED = Reason("approval.modified", "A person changed this call's arguments; the changed call is in an entry of its own.")
CHANGED_BEFORE = Reason(
    "call.modified_before", "This call was done with changed arguments; the changed call is in an entry of its own."
)
CHANGE_WRONG = Reason(
    "approval.modified_wrong",
    "A person changed this call's arguments, and the tool takes them no more, or they may not be stored as they are. Make"
    " the call again after the change expired.",
)
MODIFIED_AGAIN = Reason("policy.modify_again", "Policy changed this call's arguments, and wants to change them again.")
MODIFIED_WRONG = Reason(
    "policy.modify_wrong", "Policy wants to change this call's arguments in a way that does not fit them. Tell the operator."
)
RESULT_UNUSABLE = Reason("upstream.result_unusable", "The upstream's answer is no acceptable JSON document.")


@dataclass(frozen=True, slots=True)
class Gateway:
    """The ports one governed call needs. `approval_ttl_seconds`: how long a person has to answer.

    `runs`: what is remembered of each run in memory.
    """

    catalog: CatalogSource
    sealer: Sealer
    policy: PolicyEngine
    journal: Journal
    executor: Executor
    clock: Clock
    observer: Observer
    recent: RecentCalls
    runs: Runs
    approval_ttl_seconds: float
    dev: bool

    async def call(self, run: RunContext, request: ToolRequest, conversation: Conversation = SILENT) -> Outcome:
        """One call of an authenticated caller, decided, run at most once, recorded.

        `conversation`: the caller, as far as the upstream may talk with it meanwhile.

        Raises:
            GatewayError: the journal or a key failed; nothing ran, or what ran shows as in doubt.
        """
        step, refuse = self.observer.step, self.journal.refuse

        with step("resolve"):
            capability = self.catalog.current().resolve(request.name, request.method, run.tools)
        if isinstance(capability, Reason):
            return Denied((capability,), await refuse(Refusal(run, request, (capability,))))

        with step("seal"):
            call = self.sealer.seal(run, capability, request)
        if isinstance(call, tuple):
            return Denied(call, await refuse(Refusal(run, request, call, capability)))

        with step("flow"):
            turn = self._turn(call, request)
        if isinstance(turn, Reason):
            return Denied((turn,), await refuse(Refusal(run, request, (turn,), capability)))

        modified: Modified | None = None
        changes = 0
        with self.runs.effect(call.scope, may_have_one=capability.mode.has_effect) as pending:
            while True:
                try:
                    ended = await self._governed(turn, pending, conversation)
                except FlowChanged:  # nothing was begun, and nothing of it recorded: it is decided anew
                    changes += 1
                    if changes > MOST_CHANGES:
                        raise
                    continue
                if not isinstance(ended, _Instead):
                    return ended if modified is None else replace(ended, modified=modified)
                turn = ended.turn  # policy changes a call once only; a person may have changed it since, or again
                modified = ended.modified if modified is None else modified.and_then(ended.modified)

    async def _governed(self, turn: "_Turn", pending: Pending, conversation: Conversation) -> "Outcome | _Instead":
        """The rest of a call, from the decision on; or the call that policy or a person wants instead, when it is recorded
        that this one does not run. Raises `FlowChanged` where it was not begun, since the run changed after the decision."""
        step, refuse = self.observer.step, self.journal.refuse
        run, request, call, capability = turn.call.run, turn.request, turn.call, turn.call.capability

        with step("decide"):
            compensated = self.journal.compensated(call)
            flow = self.journal.flow(call).with_intent(call.intent)  # registered below, unless the call is denied
            decision = await self.policy.decide(call, self._circumstances(turn, flow, pending.ahead, compensated))
        refused = _Refusals(run, request, call, decision)
        if decision.effect is Effect.DENY:
            return Denied(decision.reasons, await refuse(refused.because(*decision.reasons)))
        if decision.effect is Effect.ASK and call.idempotency is None:
            return Denied((APPROVAL_NEEDS_KEY,), await refuse(refused.because(APPROVAL_NEEDS_KEY)))
        lacking = _lacking_evidence(call, decision)
        if lacking is not None:
            return Denied((lacking,), await refuse(refused.because(lacking)))
        if decision.obligations.modify:
            instead = self._changed(turn, decision)
            if isinstance(instead, Reason):
                return Denied((instead,), await refuse(refused.because(instead)))
            if instead is not turn:
                await refuse(refused.because(MODIFIED, modified_into=instead.call.envelope_id))
                return _Instead(instead, Modified(call.envelope_id, tuple(decision.obligations.modify)))
        if decision.effect is Effect.ASK and call.secrets:
            unshown = _secret_in_arguments(call)
            return Denied((unshown,), await refuse(refused.because(unshown)))
        question = self._question(call, decision, compensated)
        unanswerable = None if question is None else question.unanswerable()
        if unanswerable is not None:
            return Denied((unanswerable,), await refuse(refused.because(unanswerable)))

        if request.intent is not None:
            with step("register"):
                refusal = await self.journal.register_intent(call)
            if refusal is not None:
                return Denied((refusal,), await refuse(refused.because(refusal)))
            self.runs.register(call.scope, request.intent)

        with step("reserve"):
            reservation = await self.journal.reserve(call, decision, question)
        match reservation:
            case Prior(ran=dict() as arguments) if (changed_turn := self.modified(turn, arguments)) is not turn:
                if changed_turn is None:
                    return Denied((CHANGE_WRONG,), await refuse(refused.because(CHANGE_WRONG)))
                return await self._as_it_ran(turn, changed_turn, refused)
            case Prior(of, result, note, is_trusted, resolved_by, redacted):
                evidence = EvidenceRef.of_result(capability, of, None, doubted=not is_trusted)
                delivery = deliver(result, decision.obligations)
                sent = self.runs.sends(call.scope, orjson.loads(call.arguments))
                receipt = await self.journal.replay(Replay(call, decision, of, evidence))
                self.runs.read(call.scope, delivery.result, evidence, sent)
                return Replayed(delivery.result, receipt, note, Told(evidence, delivery), resolved_by, redacted)
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
            case Instead(approval_id, arguments):
                changed_turn = self.modified(turn, arguments)
                # What is stored redacted cannot be told again, so no question about a changed call may be of such arguments.
                if changed_turn is None or changed_turn.call.redacted_arguments is not None:
                    return Denied((CHANGE_WRONG,), await refuse(refused.because(CHANGE_WRONG, approval_id=approval_id)))
                return await self._as_a_person_wants(turn, changed_turn, approval_id, refused)
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
                    sent = self.runs.sends(call.scope, orjson.loads(call.arguments))  # first: nothing may fail between
                    await self.journal.begin(grant, flow)
                pending.begun()
                started = self.clock.monotonic()
                try:
                    with step("execute"):
                        reply = await self.executor.run(grant, conversation)
                except anyio.get_cancelled_exc_class():  # of an effect only where the loop ends: it was sent, perhaps
                    ended = _without_result(capability, CANCELLED)
                    with anyio.CancelScope(shield=True):
                        await self.journal.finish(grant, ended, self._elapsed(started))
                    raise
                with step("capture"):
                    ending, delivery = self._capture(grant, reply)
                with anyio.CancelScope(shield=True), step("finish"):
                    receipt = await self.journal.finish(grant, ending, self._elapsed(started))
        finally:
            self.journal.release(call)

        match ending:
            case Answered(result, evidence=evidence):
                self.runs.read(call.scope, delivery.result, evidence, sent)
                return Completed(result, receipt, Told(evidence, delivery))
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

    def _capture(self, grant: Grant, reply: UpstreamReply) -> tuple[Ending, Delivery]:
        """What the reply means for a call of this mode, with the result as it leaves, committed to and labelled."""
        capability = grant.call.capability
        match reply:
            case ToolReply(document, protocol):
                try:
                    delivery = deliver(document, grant.decision.obligations)
                    disclosure = self.sealer.disclose_result(grant.call, delivery.result)
                except NotCanonical:
                    return _without_result(capability, RESULT_UNUSABLE), _NOTHING
                now = self.catalog.current().find(capability.id)
                drifted = now is None or now.definition.digest != capability.definition.digest
                evidence = EvidenceRef.of_result(capability, grant.call.envelope_id, disclosure.digest, doubted=drifted)
                is_error = document.get("isError") is True
                return Answered(delivery.result, is_error, protocol, disclosure, evidence), delivery
            case NotSent(reason):
                return NotDone(reason), _NOTHING
            case NoAnswer(reason):
                return _without_result(capability, reason), _NOTHING
            case _:
                assert_never(reply)

    # --- the run that a call belongs to ---

    def _turn(self, call: SealedCall, request: ToolRequest) -> "_Turn | Reason":
        """The call's place in its run: what it says the run is for may be registered, what it cites is there. Or why not."""
        if not self.runs.remembers(call.scope) and not self.journal.flow(call).is_kept:
            self.runs.start(call.scope)
        memory = self.runs.of(call.scope)
        if call.intent is not None:
            refusal = self.journal.flow(call).why_not(call.intent) if has_run(call.run) else NO_RUN
            if refusal is not None:
                return refusal
        if not memory.evidence.keys() >= set(request.cites):
            return EVIDENCE_UNKNOWN
        cited = tuple(memory.evidence[ref] for ref in dict.fromkeys(request.cites))
        memory.calls += 1
        earlier = self.recent.add(call.run.subject, self.clock.monotonic())
        return _Turn(request, replace(call, cited=cited), earlier, memory.calls - 1)

    def _circumstances(
        self, turn: "_Turn", flow: Flow, effects_ahead: int, compensated: Compensated | None
    ) -> Circumstances:
        """What policy is told beside the call. A run whose intent is forgotten counts as tainted, and its intent as one that
        allows nothing, until it is sent again."""
        call, capability = turn.call, turn.call.capability
        memory = self.runs.of(call.scope)
        intent = None if flow.intent is None else turn.request.intent or memory.intent
        forgotten = flow.intent is not None and intent is None
        tainted = flow.tainted or forgotten
        sources, told = Provenance(tainted), IntentTold((), fulfilled=False) if forgotten else None
        if capability.mode.has_effect or intent is not None:
            arguments = orjson.loads(call.arguments)
            if capability.mode.has_effect:
                leaves = provenance(arguments, capability, memory, intent)
                sources = Provenance(tainted, complete=leaves is not None, leaves=tuple(leaves or ()))
            if intent is not None:
                told = IntentTold(
                    None if intent.tools is None else tuple(sorted(intent.tools)),
                    intent.is_fulfilled_by(capability.id, arguments),
                )
        return Circumstances(
            recent_calls=turn.recent_calls,
            compensated=compensated,
            run_calls=max(turn.run_calls, flow.effects),  # what is forgotten in memory: at least so many were made
            run_effects=flow.effects + effects_ahead,
            provenance=sources,
            intent=told,
            cited=tuple(cited.trust_level for cited in call.cited),
        )

    # --- another call instead ---

    def _changed(self, turn: "_Turn", decision: PolicyDecision) -> "_Turn | Reason":
        """The turn with the arguments that policy wants: the same turn where they are so already."""
        try:
            instead = self.modified(turn, changed(turn.request.arguments, decision.obligations.modify))
        except NotApplicable:
            return MODIFIED_WRONG
        if instead is not None and turn.call.modified_from is not None and instead is not turn:
            return MODIFIED_AGAIN
        return instead or MODIFIED_WRONG

    async def _as_a_person_wants(
        self, turn: "_Turn", changed_turn: "_Turn", approval_id: str, refused: "_Refusals"
    ) -> "_Instead":
        """The call that a person changed in that request, in place of the one that was made. Nothing to record where it has
        these arguments already: by another request about them, or since somebody changed them back."""
        instead = replace(changed_turn, call=replace(changed_turn.call, changed_in=approval_id))
        if changed_turn is turn:
            return _Instead(instead, None)
        into = changed_turn.call.envelope_id
        await self.journal.refuse(refused.because(CHANGED, approval_id=approval_id, modified_into=into))
        pointers = tuple(differences(turn.request.arguments, changed_turn.request.arguments))
        return _Instead(instead, Modified(turn.call.envelope_id, pointers))

    async def _as_it_ran(self, turn: "_Turn", changed_turn: "_Turn", refused: "_Refusals") -> "_Instead":
        """The call that came of this one before, with the arguments that somebody gave it: policy decides whether its stored
        result may be told, not whether that of the call as it was made may."""
        await self.journal.refuse(refused.because(CHANGED_BEFORE, modified_into=changed_turn.call.envelope_id))
        pointers = tuple(differences(turn.request.arguments, changed_turn.request.arguments))
        return _Instead(changed_turn, Modified(turn.call.envelope_id, pointers))

    def modified(self, turn: "_Turn", arguments: dict[str, Any]) -> "_Turn | None":
        """The call with other arguments, as an envelope of its own that names the one it came of; the same turn where they
        are the same; None where they do not fit. It is to be decided anew. It keeps the key: at most one of both ever has
        its effect."""
        request, call = turn.request, turn.call
        request = replace(request, envelope_id=self.clock.new_id(), arguments=arguments, requested_at=self.clock.now())
        sealed = self.sealer.seal(call.run, call.capability, request, instead_of=call)
        if isinstance(sealed, tuple):
            return None
        if sealed.arguments == call.arguments:
            return turn
        return replace(turn, request=request, call=replace(sealed, cited=call.cited))


_NOTHING = Delivery({})


def _without_result(capability: Capability, reason: Reason) -> Ending:
    return Unknown(reason) if capability.mode.has_effect else NotDone(reason)


def _secret_in_arguments(call: SealedCall) -> Reason:
    """Why nobody can be asked about it: who approves must see all of it, and a secret is shown to nobody."""
    return Reason(
        "approval.secret_in_arguments",
        f"A person must approve this call, and its arguments hold a secret that cannot be shown ({', '.join(call.secrets)})."
        " Leave it out. If it belongs there, whoever offers the tool marks that argument in its schema with"
        ' "x-sealgate-sensitive": true.',
    )


def _lacking_evidence(call: SealedCall, decision: PolicyDecision) -> Reason | None:
    """Why the evidence that the call cites is not what policy needs."""
    need = decision.obligations.evidence
    if need is None:
        return None
    found = sum(need.trust is TrustLevel.UNTRUSTED or cited.trust_level is TrustLevel.TRUSTED for cited in call.cited)
    if found >= need.count:
        return None
    what = "trusted results" if need.trust is TrustLevel.TRUSTED else "results"
    return Reason(
        "evidence.missing",
        f"This call must cite {need.count} {what} of its run, and cites {found}: list their refs, each from"
        ' _meta["dev.sealgate/evidence"] of a result, in _meta["dev.sealgate/evidence"] of the call.',
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    """A sealed call and its place in its run: the principal's calls of the last minute, the run's calls before it."""

    request: ToolRequest
    call: SealedCall
    recent_calls: int
    run_calls: int


@dataclass(frozen=True, slots=True)
class _Instead:
    """The call that is to be decided in place of another one."""

    turn: _Turn
    modified: Modified | None


@dataclass(frozen=True, slots=True)
class _Refusals:
    """What every refusal of a decided call has in common."""

    run: RunContext
    request: ToolRequest
    call: SealedCall
    decision: PolicyDecision

    def because(self, *reasons: Reason, approval_id: str | None = None, modified_into: str | None = None) -> Refusal:
        capability, call, decision = self.call.capability, self.call, self.decision
        return Refusal(self.run, self.request, reasons, capability, call, decision, approval_id, modified_into)
