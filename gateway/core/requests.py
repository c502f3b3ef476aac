"""The life of an approval request, as a log tells it: which step may follow which, and what each must be like.

`STEPS` is the whole machine. A step that it does not have is a problem and changes nothing, so what stands on it is one,
too. A request ends where no step leads on, and nothing follows its end. Beyond the order:

* every entry about a request repeats it as it was asked
* answers come in its time, from somebody and by a route that the request lets count (`ApprovalRequest.refuses`); a client
  answers an elicitation for the principal, changes no call and says yes for no whole run
* yeses are from different approvers with different keys, and the last is the one that fills the number
* a yes is for a whole run only where the request offered that
* a yes to one call lets exactly that call begin, under the mode, policy and approvers that it was given for, with no doubt
  that was not asked about, in its time, once
* a yes for a run lets calls of that run begin, of the same tool, mode and policy, about which policy has the same doubts, in
  its time

Approvers' signatures are not looked at here but in `signed_answers.py`: whose keys count is for who knows the approvers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from heapq import heappop, heappush
from typing import Any

from gateway.core.approval import ApprovalRequest, ApprovalState
from gateway.core.canonical import digest
from gateway.core.entry import Entry, Kind, part
from gateway.core.obligations import ApproveFor, Route


class Stage(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    FOR_RUN = "approved for its run"
    FOR_RUN_USED = "approved for its run, and used by its own call"
    REJECTED = "rejected"
    MODIFIED = "modified"
    EXPIRED = "expired"
    CONSUMED = "consumed"
    VOID = "void"

    @property
    def state(self) -> ApprovalState:
        """The state of its row in the journal."""
        match self:
            case Stage.FOR_RUN:
                return ApprovalState.APPROVED
            case Stage.FOR_RUN_USED:
                return ApprovalState.CONSUMED
            case stage:
                return ApprovalState(stage.value)


class Step(StrEnum):
    """What an entry tells of a request: the event of an `approval` entry, or the use of a yes by an intent."""

    REQUESTED = "requested"
    ANSWERED = "answered"
    APPROVED = "approved"
    APPROVED_FOR_RUN = "approved for its run"
    REJECTED = "rejected"
    MODIFIED = "modified"
    EXPIRED = "expired"
    VOID = "void"
    CONSUMED = "consumed"
    REACHED = "used for another call of its run"


STEPS: Mapping[Step, Mapping[Stage | None, Stage]] = {
    Step.REQUESTED: {None: Stage.PENDING},
    Step.ANSWERED: {Stage.PENDING: Stage.PENDING},  # a yes, and more are wanted
    Step.APPROVED: {Stage.PENDING: Stage.APPROVED},
    Step.APPROVED_FOR_RUN: {Stage.PENDING: Stage.FOR_RUN},
    Step.REJECTED: {Stage.PENDING: Stage.REJECTED},
    Step.MODIFIED: {Stage.PENDING: Stage.MODIFIED},  # a no; another request is asked instead (`change_links.py`)
    Step.EXPIRED: {Stage.PENDING: Stage.EXPIRED, Stage.APPROVED: Stage.EXPIRED, Stage.FOR_RUN: Stage.EXPIRED},
    Step.VOID: {
        Stage.PENDING: Stage.VOID,
        Stage.APPROVED: Stage.VOID,
        Stage.FOR_RUN: Stage.VOID,
        Stage.FOR_RUN_USED: Stage.VOID,
    },
    Step.CONSUMED: {Stage.APPROVED: Stage.CONSUMED, Stage.FOR_RUN: Stage.FOR_RUN_USED},
    Step.REACHED: {Stage.FOR_RUN: Stage.FOR_RUN, Stage.FOR_RUN_USED: Stage.FOR_RUN_USED},
}
"""By step: from which stage to which. None: the log does not know the request, or knows no more that it ended."""

YESES = frozenset({Step.ANSWERED, Step.APPROVED, Step.APPROVED_FOR_RUN})
ANSWERS = YESES | {Step.REJECTED, Step.MODIFIED}
EVENTS = frozenset(Step) - {Step.APPROVED_FOR_RUN, Step.CONSUMED, Step.REACHED}
"""Steps that an `approval` entry names by themselves."""

_GOING_ON = frozenset(stage for moves in STEPS.values() for stage in moves)


def after(stage: Stage | None, step: Step) -> Stage | None:
    """Where the step leads; None: it may not be taken there."""
    return STEPS[step].get(stage)


def is_over(stage: Stage) -> bool:
    """Whether no step leads on from there."""
    return stage not in _GOING_ON


def step_in(entry: Entry) -> tuple[str, Step] | None:
    """The request that an entry is a step of, and the step; None where it is none."""
    said = part(entry.predicate, "approval")
    approval_id, event = said.get("approval_id"), entry.predicate.get("event")
    if not isinstance(approval_id, str):
        return None
    match entry.kind:
        case Kind.INTENT:
            return approval_id, Step.REACHED if "approve_for" in said else Step.CONSUMED
        case Kind.APPROVAL if event == Step.APPROVED and entry.predicate.get("approve_for") is not None:
            return approval_id, Step.APPROVED_FOR_RUN
        case Kind.APPROVAL if isinstance(event, str) and event in EVENTS:
            return approval_id, Step(event)
        case _:
            return None


@dataclass(slots=True)
class _Request:
    """What is remembered of a request. `given`: the approver and key of each yes. Times are RFC 3339 UTC."""

    stage: Stage
    asked: str
    expires_at: str
    needed: int
    may_be_for_run: bool
    doubts: frozenset[str]
    call: tuple[Any, ...]
    run: tuple[Any, ...]
    given: tuple[tuple[Any, Any], ...] = ()

    @classmethod
    def read(cls, asked: Mapping[str, Any]) -> "_Request":
        """As it is asked. Without a time it is never in time."""
        expires_at, count = asked.get("expires_at"), part(asked, "quorum").get("count", 1)
        return cls(
            stage=Stage.PENDING,
            asked=digest(asked),
            expires_at=expires_at if isinstance(expires_at, str) else "",
            needed=count if type(count) is int else 0,
            may_be_for_run=offers_run(asked),
            doubts=_codes(asked.get("reasons")),
            call=(*_common(asked), asked.get("call_digest"), part(asked, "compensates").get("envelope_id")),
            run=(*_common(asked), asked.get("run_id"), part(asked, "compensates").get("envelope_id")),
        )


class Requests:
    """The requests of one log, read from its first entry on. Its length is how many are remembered.

    Remembered is what has not ended: what waits for an answer, yeses that were not used or are for a run. What ended is
    remembered until its time is over, so that it is not asked anew in that time; after it no answer and no use counts.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Request] = {}
        self._ended: list[tuple[str, str]] = []  # a heap: until when, and which

    def __len__(self) -> int:
        return len(self._known)

    def problems(self, entry: Entry) -> Iterator[str]:
        """What is wrong with an entry of the kind `approval` or `intent`, before which all others were read."""
        now = str(entry.predicate.get("recorded_at"))
        while self._ended and self._ended[0][0] <= now:
            del self._known[heappop(self._ended)[1]]
        if entry.kind is Kind.APPROVAL:
            yield from self._told(entry, now)
        elif entry.kind is Kind.INTENT:
            yield from self._used(entry, now)

    def _told(self, entry: Entry, now: str) -> Iterator[str]:
        asked, found = part(entry.predicate, "approval"), step_in(entry)
        if found is None:
            yield "an approval entry that is no step of a request"
            return
        approval_id, step = found
        request = self._known.get(approval_id)
        stage = after(None if request is None else request.stage, step)
        if stage is None:
            stood = "was not asked before, or ended," if request is None else f"was {request.stage}"
            yield f"an approval request that {stood} is {step}"
            return
        if request is None:
            self._known[approval_id] = _Request.read(asked)
            return
        if digest(asked) != request.asked:
            yield "an approval request is not as it was asked"
        if step in ANSWERS:
            if now >= request.expires_at:
                yield "an answer to an approval request whose time was over"
            yield from _answer_problems(asked, step, entry.predicate)
        if step in YESES:
            yield from _yes_problems(request, step, entry.predicate)
        self._move(approval_id, request, stage, now)

    def _used(self, entry: Entry, now: str) -> Iterator[str]:
        """A call begins: on no request where policy allowed it, and else on a yes that holds for it."""
        predicate, found = entry.predicate, step_in(entry)
        effect = part(predicate, "policy").get("effect")
        if effect == "allow" and found is None:
            return
        if found is not None and effect != "ask":
            yield "an intent with an approval that policy did not ask for"
        if found is None:
            yield f"{NOT_GIVEN}: it names none"
            return
        approval_id, step = found
        request = self._known.get(approval_id)
        stage = after(None if request is None else request.stage, step)
        if request is None or stage is None:
            stood = "its request is not known, or ended" if request is None else f"its request is {request.stage}"
            yield f"{NOT_FOR_RUN if step is Step.REACHED else NOT_GIVEN}: {stood}"
            return
        if now >= request.expires_at:
            yield "an intent with an approval whose time was over"
        if _named(part(predicate, "approval")) != request.given:
            yield "an intent with other approvers than those who said yes"
        yield from _other_call(request, step, predicate)
        self._move(approval_id, request, stage, now)

    def _move(self, approval_id: str, request: _Request, stage: Stage, now: str) -> None:
        request.stage = stage
        if is_over(stage):
            if request.expires_at <= now:
                del self._known[approval_id]
            else:
                heappush(self._ended, (request.expires_at, approval_id))


NOT_GIVEN = "an intent without an approval that was given and not used before"
NOT_FOR_RUN = "an intent with an approval that is not for such a call of its run"


def offers_run(asked: Mapping[str, Any]) -> bool:
    """Whether a request lets an approver say yes for its whole run."""
    of_run = asked.get("approve_for") == ApproveFor.RUN and isinstance(asked.get("run_id"), str)
    return of_run and asked.get("modified_from") is None


def _answer_problems(asked: Mapping[str, Any], step: Step, predicate: Mapping[str, Any]) -> Iterator[str]:
    """Why this answer cannot have counted: whoever gave it may not, or not in this way."""
    approver = predicate.get("approver")
    try:
        request = ApprovalRequest.from_document({**asked, "reasons": ()})  # codes there; they decide nothing of this
        route = Route(str(predicate.get("route")))
        refused = request.refuses(str(approver), route)
        of_principal = approver == request.principal_chain[0]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        yield f"an answer of which nobody can say whether it counts: {error!r}"
        return
    if refused is not None:
        yield f"an answer that does not count: {refused.message}"
    elif route is Route.ELICITATION and (not of_principal or step in (Step.MODIFIED, Step.APPROVED_FOR_RUN)):
        yield "an answer that does not count: no client can have given it"


def _yes_problems(request: _Request, step: Step, predicate: Mapping[str, Any]) -> Iterator[str]:
    """Count one more yes; what is wrong with it."""
    request.given = (*request.given, (predicate.get("approver"), predicate.get("keyid")))
    principals, keys = ({str(one) for one in names} for names in zip(*request.given, strict=True))
    if not len(principals) == len(keys) == len(request.given):
        yield "a second yes of the same approver or key"
    count = len(request.given)
    if not (count < request.needed if step is Step.ANSWERED else count == request.needed):
        yield f"an approval request is {step} with {count} yeses, and it takes {request.needed}"
    if step is Step.APPROVED_FOR_RUN and not (request.may_be_for_run and predicate.get("approve_for") == ApproveFor.RUN):
        yield "a yes for a whole run to a request that did not offer it"


def _other_call(request: _Request, step: Step, predicate: Mapping[str, Any]) -> Iterator[str]:
    """How the call that begins is another one than the yes is for."""
    run, policy = part(predicate, "run"), part(predicate, "policy")
    capability, call = part(predicate, "capability"), part(predicate, "call")
    common = (
        *(run.get("tenant_id"), run.get("principal_chain")),
        *(capability.get("capability_id"), capability.get("definition_digest")),
        *(predicate.get("approval_mode_effective"), policy.get("bundle_revision")),
        part(predicate, "approval").get("expires_at"),
    )
    doubts = _codes(policy.get("reasons"))
    if step is Step.REACHED:
        other = (*common, run.get("run_id"), predicate.get("compensates")) != request.run
        if other or doubts != request.doubts:
            yield f"{NOT_FOR_RUN}: it is another call, or doubted for other reasons"
        return
    if (*common, call.get("call_digest"), predicate.get("compensates")) != request.call:
        yield "an intent with the approval of another call, mode or policy"
    if not doubts <= request.doubts:
        yield "an intent with an approval that was not asked about all its doubts"


def _common(asked: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a request and each call that its yes lets begin have in common."""
    names = ("tenant_id", "principal_chain", "capability_id", "definition_digest", "mode", "policy_revision", "expires_at")
    return tuple(asked.get(name) for name in names)


def _named(approval: Mapping[str, Any]) -> tuple[tuple[Any, Any], ...]:
    """The approvers and keys that an intent names. Before there were quorums, it named one."""
    answers = approval.get("answers", [approval])
    if not isinstance(answers, list):
        return ()
    return tuple((one.get("approver"), one.get("keyid")) for one in answers if isinstance(one, Mapping))


def _codes(reasons: Any) -> frozenset[str]:
    """Reason codes. What has another form is a doubt that nobody was asked about."""
    if isinstance(reasons, list):
        return frozenset(map(str, reasons))
    return frozenset() if reasons is None else frozenset({str(reasons)})
