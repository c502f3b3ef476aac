"""What a call meets under its idempotency key: decided from what is kept and nothing else.

`meet` is the whole decision. The journal reads what is kept, asks `meet`, and writes the one change of its verdict in a
transaction in which it has read and asked again: so the verdict that is written is the one that counts. In this order:

1. no row, a free key, or a derived key whose time is over: the call takes the key, or files its question
2. other arguments under the key: a mismatch, unless the row waited for an answer that can no longer come
3. completed: its result, but where it was read without a person and is asked about now. Undone or being undone: told so.
   Started or in doubt: told so; neither ever runs again by itself
4. waiting for a person: the same question where it is still the question, what came of it, or a new one. Where a person
   changed the call, it is the changed one that waits: whoever comes with other arguments is told to make that one

A call that undoes another takes its key only where that one may be undone: it was completed, by the same caller.
"""

from dataclasses import dataclass, replace
from typing import Any

from gateway.core.answer import SignedAnswer
from gateway.core.approval import ApprovalRequest, ApprovalRow, ApprovalState, Approved
from gateway.core.call import Compensated, SealedCall
from gateway.core.commitment import Missing
from gateway.core.decision import PolicyDecision
from gateway.core.idempotency import FREE, CallRow, State, advance, claimed, is_forgotten
from gateway.core.outcome import Reason

NOT_AGAIN = "It is not run again; to do it anew, use a new key."
LIVE = frozenset({ApprovalState.PENDING, ApprovalState.APPROVED})


@dataclass(frozen=True, slots=True)
class Held:
    """This call holds its key (or needs none): it may go on."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The request this call waited for was approved."""

    approved: Approved


@dataclass(frozen=True, slots=True)
class Waiting:
    """A person has not answered yet."""

    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class NotApproved:
    """The request was rejected or expired; the key is free again."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Prior:
    """It was completed before. `note` tells where the key was derived.

    `is_trusted`: it was believed when it came, as the tool's own word. `resolved_by`: the tool's answer was lost, and this
    result comes from an operator or a reconcile tool. `redacted`: what was taken out of the result before it was stored.
    `ran`: the arguments it ran with, where they may be other ones and are kept.
    """

    envelope_id: str
    result: dict[str, Any]
    note: str | None
    is_trusted: bool
    resolved_by: str | None = None
    redacted: tuple[str, ...] = ()
    ran: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Instead:
    """A person changed the call that waits under this key: the call with these arguments is to be made in its place."""

    approval_id: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gone:
    """It was completed before, and its result cannot be told any more. It never runs again."""

    envelope_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Undone:
    """It was completed before, and then undone by another call, or that one is still at it. It never runs again."""

    envelope_id: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Running:
    """Another call under this key is still running."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used with other arguments."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A call under this key was started and its end is unknown."""

    envelope_id: str


@dataclass(frozen=True, slots=True)
class NotCompensable:
    """The call that this one says it undoes cannot be undone."""

    reason: Reason


Reservation = (  # what `reserve` answers
    Held | Resumed | Waiting | Instead | NotApproved | Prior | Gone | Undone | Running | Mismatch | Lost | NotCompensable
)


@dataclass(frozen=True, slots=True)
class Done:
    """It was completed before, as `row` tells; whether its result is still kept is for the journal to look up."""

    row: CallRow


@dataclass(frozen=True, slots=True)
class Changed:
    """A person changed the call, and `request` is about the changed one; its arguments are the journal's to read."""

    request: ApprovalRequest


@dataclass(frozen=True, slots=True)
class Found:
    """What is kept when a call comes.

    Attributes:
        row: under the call's key
        approval: the request that `row` waits for
        signed: the checked answers of an approved request; empty where one is not signed as it should be
        target: the call that this one says it undoes
        reaching: an answered request of the same run, with its checked answers, whose yes may reach this call
    """

    row: CallRow | None = None
    approval: ApprovalRow | None = None
    signed: tuple[SignedAnswer, ...] = ()
    target: CallRow | None = None
    reaching: Approved | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a verdict writes, in one transaction: `row`, the end of the request it waited for, a new request."""

    row: CallRow
    ends: ApprovalState | None = None
    files: ApprovalRequest | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to answer, and what to write before that."""

    answer: Held | Resumed | Waiting | Changed | NotApproved | Done | Undone | Mismatch | Lost | NotCompensable
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What comes: a call, what policy decided, and the request to file where that is a question.

    `now` and `window_began` are RFC 3339 UTC; the second is the oldest end that a derived key still stands for.
    """

    call: SealedCall
    decision: PolicyDecision
    ask: ApprovalRequest | None
    now: str
    window_began: str | None


def meet(found: Found, asked: Asked) -> Verdict:
    """Apply the rules above."""
    row, call = found.row, asked.call
    if row is None or row.state in FREE or is_forgotten(row, asked.window_began):
        return _fresh(found, asked)
    if row.state is State.AWAITING_APPROVAL and found.approval is not None:
        return _meet_question(row, found.approval, found, asked)
    if row.fingerprint != call.fingerprint:
        return Verdict(Mismatch())
    match row.state:
        case State.COMPLETED if asked.ask is not None and row.approval_id is None and not call.capability.mode.has_effect:
            return _fresh(found, asked, forgotten=True)  # what nobody was asked about is no answer to a question
        case State.COMPLETED:
            return Verdict(Done(row))
        case State.COMPENSATING | State.COMPENSATED:
            return Verdict(Undone(row.envelope_id, _undone(row)))
        case _:  # started, in doubt; and whatever should not be there: it does not run
            return Verdict(Lost(row.envelope_id))


def _meet_question(row: CallRow, approval: ApprovalRow, found: Found, asked: Asked) -> Verdict:
    request, live = approval.request, approval.state in LIVE
    over = live and asked.now >= request.expires_at
    released = replace(row, state=advance(row.state, State.RELEASED), updated_at=asked.now)
    if row.fingerprint != asked.call.fingerprint:
        if live and not over:
            return Verdict(Mismatch())
        return _fresh(found, asked, released, ApprovalState.EXPIRED if over else None)
    if over:
        return Verdict(NotApproved(_expired(request)), Change(released, ends=ApprovalState.EXPIRED))
    if live and request.modified_from is not None and asked.call.changed_in != request.approval_id:
        return Verdict(Changed(request))
    if live and (asked.ask is None or not request.is_for(asked.call, asked.decision)):  # something else is asked now
        return _fresh(found, asked, released, ApprovalState.VOID)
    match approval.state:
        case ApprovalState.PENDING:
            return Verdict(Waiting(request))
        case ApprovalState.APPROVED if found.signed:
            refusal = not_compensable(asked.call, found.target)
            if refusal is not None:
                return Verdict(NotCompensable(refusal), Change(released, ends=ApprovalState.VOID))
            return Verdict(Resumed(Approved(request, found.signed)))
        case ApprovalState.APPROVED:  # that the journal says so is not enough
            return _fresh(found, asked, released, ApprovalState.VOID)
        case ApprovalState.REJECTED:
            return Verdict(NotApproved(Reason("approval.rejected", "A person rejected this call.")), Change(released))
        case _:
            return Verdict(NotApproved(_expired(request)), Change(released))


def _fresh(
    found: Found,
    asked: Asked,
    released: CallRow | None = None,
    ends: ApprovalState | None = None,
    *,
    forgotten: bool = False,
) -> Verdict:
    """The key is free, or becomes so by `released`: the call takes it, or asks."""
    refusal = not_compensable(asked.call, found.target)
    if refusal is not None or asked.ask is None:
        change = None if released is None else Change(released, ends=ends)
        return Verdict(Held() if refusal is None else NotCompensable(refusal), change)
    if found.reaching is not None and found.reaching.request.reaches(asked.call, asked.ask):
        change = None if released is None else Change(released, ends=ends)
        return Verdict(Resumed(replace(found.reaching, instead_of=asked.ask)), change)
    row = claimed(
        released or found.row,
        asked.call,
        State.AWAITING_APPROVAL,
        asked.now,
        forgotten=forgotten or (found.row is not None and is_forgotten(found.row, asked.window_began)),
        approval_id=asked.ask.approval_id,
    )
    return Verdict(Waiting(asked.ask), Change(row, ends=ends, files=asked.ask))


def is_same_caller(call: SealedCall, row: CallRow) -> bool:
    """Whether `row` is a call of the same principal and actors in the same tenant."""
    return (row.subject, row.principal_chain) == (call.run.subject, tuple(call.run.principal_chain))


def compensated(call: SealedCall, target: CallRow | None) -> Compensated | None:
    """What is told of the call that `call` says it undoes; of another caller's as little as of one that is not there."""
    if call.compensates is None:
        return None
    if target is None or not is_same_caller(call, target):
        return Compensated(call.compensates)
    return Compensated(target.envelope_id, target.capability_id, target.call_digest)


def not_compensable(call: SealedCall, target: CallRow | None) -> Reason | None:
    """Why `call` may not undo `target`, which it says it does; None where it may, or undoes nothing."""
    if call.compensates is None:
        return None
    if target is None or not is_same_caller(call, target):  # another's call is none: who asks learns nothing about it
        return Reason("compensation.unknown", "You made no call with an effect under this envelope id: nothing to undo.")
    match target.state:
        case State.COMPLETED:
            return None
        case State.COMPENSATING:
            return Reason("compensation.running", "Another call is undoing that one, or its end is in doubt.")
        case State.COMPENSATED:
            return Reason("compensation.done", "That call was undone before.")
        case State.STARTED | State.IN_DOUBT:
            return Reason("compensation.not_completed", "The end of that call is not known, so it cannot be undone yet.")
        case _:
            return Reason("compensation.not_completed", "That call was not completed, so there is nothing to undo.")


def _undone(row: CallRow) -> Reason:
    if row.state is State.COMPENSATED:
        return Reason("idempotency.compensated", f"This call was done, and then undone by {row.compensated_by}. {NOT_AGAIN}")
    told = f"This call was done, and {row.compensated_by} is undoing it or may have undone it."
    return Reason("idempotency.compensating", f"{told} {NOT_AGAIN}")


def gone(row: CallRow, why: Missing | None) -> Gone:
    """The answer where a completed call has no result to replay; None: nobody ever knew it."""
    match why:
        case Missing.NOT_KEPT:
            told = f"It was done on {row.updated_at}; its result is no longer kept."
        case Missing.ERASED:
            told = f"It was done on {row.updated_at}; its result was erased."
        case None:
            told = f"It was done, as was found out on {row.updated_at}; its result is not known."
    return Gone(row.envelope_id, Reason("idempotency.result_gone", f"{told} {NOT_AGAIN}"))


def _expired(request: ApprovalRequest) -> Reason:
    return Reason("approval.expired", f"Nobody answered before {request.expires_at}. Make the call again to ask anew.")
