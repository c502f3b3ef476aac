"""One effect per key: the states a call can be in, and what a second call under the same key meets.

    absent → reserved → (awaiting_approval →) started → completed | failed | in_doubt
    in_doubt → completed | failed            by an operator or a registered tool
    completed → compensating → compensated   another call undoes it; back to completed where that certainly failed
    reserved, awaiting_approval → released   denied, expired, cancelled: it never started

Only `started` can become in_doubt, and in_doubt is never run again by itself. `failed` means: it certainly had no effect,
or the tool itself reported an error to a call whose key was derived; the key may be used again (docs/decisions/0005).
Sources: IETF Idempotency-Key draft, Stripe.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.core.approval import ApprovalRequest, Approved
from gateway.core.outcome import Reason


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


class IllegalTransition(RuntimeError):
    """A state change that the machine above does not have: a bug, so nothing is written."""


def advance(now: State, then: State) -> State:
    """`then`, if it may follow `now`."""
    if then not in TRANSITIONS[now]:
        raise IllegalTransition(f"{now} → {then}")
    return then


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
    """It was completed before. `note` tells where the key was derived without a run."""

    envelope_id: str
    result: dict[str, Any]
    note: str | None


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


Reservation = Held | Resumed | Waiting | NotApproved | Prior | Running | Mismatch | Lost
