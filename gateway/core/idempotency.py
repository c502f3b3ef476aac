"""One effect per key: the states a call can be in, and the moves between them.

    absent → reserved → (awaiting_approval →) started → completed | failed | in_doubt
    in_doubt → completed | failed            by an operator or a registered tool
    completed → compensating → compensated   another call undoes it; back to completed where that one failed
    reserved, awaiting_approval → released   denied, expired, cancelled: it never started

Only `started` can become in_doubt, and in_doubt is never run again by itself. `failed` means: it certainly had no effect,
or the tool itself reported an error to a call whose key was derived; the key may be used again (docs/decisions/0005).
What a call meets that comes while a row is there is decided in `meeting.py`. Sources: IETF Idempotency-Key draft, Stripe.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from gateway.core.call import IdempotencyKey, SealedCall
from gateway.core.envelope import Answered, Ending, NotDone, Unknown


class State(StrEnum):
    RESERVED = "reserved"
    AWAITING_APPROVAL = "awaiting_approval"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    RELEASED = "released"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.RESERVED: frozenset({State.AWAITING_APPROVAL, State.STARTED, State.COMPLETED, State.FAILED, State.RELEASED}),
    State.AWAITING_APPROVAL: frozenset({State.STARTED, State.RELEASED}),
    State.STARTED: frozenset({State.COMPLETED, State.FAILED, State.IN_DOUBT}),
    State.COMPLETED: frozenset({State.COMPENSATING}),
    State.COMPENSATING: frozenset({State.COMPENSATED, State.COMPLETED}),
    State.COMPENSATED: frozenset(),
    State.FAILED: frozenset({State.RESERVED}),
    State.IN_DOUBT: frozenset({State.COMPLETED, State.FAILED}),
    State.RELEASED: frozenset({State.RESERVED}),
}
"""reserved → completed or failed directly: a read_only call under a client's key, which has no intent."""

FREE = frozenset({State.FAILED, State.RELEASED})
"""In these states the key may be used again, also with other arguments."""

RESTARTED = "gateway.restarted"
"""Reason of a doubt: an earlier process started the call and did not finish it."""


class IllegalTransition(RuntimeError):
    """A state change that the machine above does not have: a bug, so nothing is written."""


def advance(now: State, then: State) -> State:
    """`then`, if it may follow `now`."""
    if then not in TRANSITIONS[now]:
        raise IllegalTransition(f"{now} → {then}")
    return then


@dataclass(frozen=True, slots=True)
class CallRow:
    """What is kept about a key, from the first durable state on.

    `envelope_id` is the call that holds or held the key, `fence` how often the key was claimed anew: an end counts only for
    the claim it belongs to. `reason`: why the call is in doubt, or whose verdict ended the doubt. `compensated_by`: the
    envelope that undoes it or undid it. `updated_at` is RFC 3339 UTC.
    """

    reservation: str
    state: State
    envelope_id: str
    fingerprint: str
    call_digest: str
    capability_id: str
    subject: str
    approval_id: str | None
    principal_chain: tuple[str, ...]
    fence: int
    updated_at: str
    compensated_by: str | None = None
    reason: str | None = None


def key_of(call: SealedCall) -> IdempotencyKey:
    """The key of a call that must have one."""
    if call.idempotency is None:
        raise IllegalTransition(f"{call.capability.id} has no key to keep a state under")
    return call.idempotency


def is_forgotten(row: CallRow, window_began: str | None) -> bool:
    """Whether a derived key, which stands for the same call for a while only, no longer stands for the call in `row`.

    `window_began` is the oldest end that still counts, RFC 3339 UTC; None for a client's key, which stands for ever.
    """
    return window_began is not None and row.state in (State.COMPLETED, State.COMPENSATED) and row.updated_at < window_began


def tombstone(row: CallRow) -> CallRow:
    """The same under a name of its own, so that its key can be claimed anew and the call can still be found and undone."""
    return replace(row, reservation=f"{row.reservation}:{row.envelope_id}")


def claimed(
    row: CallRow | None, call: SealedCall, then: State, now: str, *, forgotten: bool = False, approval_id: str | None = None
) -> CallRow:
    """`call` takes its key, or goes on under the one it waits for. `row` is what is kept; `forgotten`: it does not count."""
    free = row is None or forgotten or row.state in FREE
    return CallRow(
        reservation=key_of(call).reservation,
        state=advance(State.RESERVED if row is None or free else row.state, then),
        envelope_id=call.envelope_id,
        fingerprint=call.fingerprint,
        call_digest=call.call_digest,
        capability_id=call.capability.id,
        subject=call.subject,
        approval_id=approval_id,
        principal_chain=tuple(call.run.principal_chain),
        fence=1 if row is None else row.fence + 1 if free else row.fence,
        updated_at=now,
    )


def ended(row: CallRow | None, call: SealedCall, fence: int | None, ending: Ending, now: str) -> CallRow:
    """The call that was started under this fence ended. Any other call, or a second end, is refused."""
    if row is None or row.envelope_id != call.envelope_id or row.fence != fence:
        raise IllegalTransition(f"{call.envelope_id} does not hold its key")
    reason = ending.reason.code if isinstance(ending, Unknown) else None
    return replace(row, state=advance(row.state, end_state(call, ending)), updated_at=now, reason=reason)


def end_state(call: SealedCall, ending: Ending) -> State:
    """What an ending makes of the call."""
    match ending:
        case Answered(is_error=True) if call.idempotency is not None and call.idempotency.derived:
            return State.FAILED  # the tool said it failed: the same call again is meant to run (docs/decisions/0005)
        case Answered():
            return State.COMPLETED
        case NotDone():
            return State.FAILED
        case Unknown():
            return State.IN_DOUBT


def lost(row: CallRow, now: str) -> CallRow:
    """A started call of an earlier process."""
    return replace(row, state=advance(row.state, State.IN_DOUBT), updated_at=now, reason=RESTARTED)


def resolved(row: CallRow, verdict: State, method: str, now: str) -> CallRow:
    """A doubt that somebody looked into: completed or failed, and never another verdict after that."""
    if row.state is not State.IN_DOUBT:
        raise IllegalTransition(f"a verdict on a call that is {row.state}")
    return replace(row, state=advance(row.state, verdict), updated_at=now, reason=f"resolution.{method}")


def undoing(target: CallRow, by: str) -> CallRow:
    """The call `by` begins to undo this one. `updated_at` stays: a derived key's window runs from the call's own end."""
    return replace(target, state=advance(target.state, State.COMPENSATING), compensated_by=by)


def undone(target: CallRow, *, done: bool) -> CallRow:
    """The undoing call did it, or it failed and another one may try: see `undid`."""
    if done:
        return replace(target, state=advance(target.state, State.COMPENSATED))
    return replace(target, state=advance(target.state, State.COMPLETED), compensated_by=None)


def undid(end: State | None, *, is_error: bool) -> bool | None:
    """Whether a compensating call that ended so undid the other; None: nobody knows. The tool's own error is a no.

    The one rule for an answer that came, a verdict that came later, and the log that tells of either.
    """
    match end:
        case State.COMPLETED:
            return not is_error
        case State.FAILED:
            return False
        case _:
            return None
