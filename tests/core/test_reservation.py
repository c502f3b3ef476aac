"""What a call meets, for every state there is: it may go on only where nobody's effect stands in its way."""

from dataclasses import replace
from itertools import product

import pytest

from gateway.core.answer import Answer, SignedAnswer
from gateway.core.approval import ApprovalRow, ApprovalState
from gateway.core.call import Compensated
from gateway.core.decision import Effect
from gateway.core.idempotency import CallRow, State, claimed
from gateway.core.reservation import (
    Asked,
    Done,
    Found,
    Held,
    Lost,
    Mismatch,
    NotApproved,
    NotCompensable,
    Resumed,
    Undone,
    Verdict,
    Waiting,
    compensated,
    meet,
)
from tests.core.calls import ALLOW, ASK, LATER, MUCH_LATER, NOW, Call, ask_for, decide, envelope_id, seal

CALL = seal(Call())
OTHER = seal(Call(arguments={"text": "else"}))
REQUEST = ask_for(CALL)
ASKS = ask_for(seal(Call(envelope=2)), approval_id="approval-2")
YES = SignedAnswer(REQUEST.approval_id, Answer.APPROVE, "user:bob", "keyid", "", {})
STORED = [state for state in State if state is not State.RESERVED]


def row(state: State, **changed: object) -> CallRow:
    made = claimed(None, CALL, State.AWAITING_APPROVAL, NOW, approval_id=REQUEST.approval_id)
    return replace(made, state=state, compensated_by="x", **changed)  # type: ignore[arg-type]


def found(state: State, approval: ApprovalState = ApprovalState.PENDING) -> Found:
    """What is kept of a call in that state, and of the request it waits for."""
    if state is not State.AWAITING_APPROVAL:
        return Found(row(state))
    signed = (YES,) if approval is ApprovalState.APPROVED else ()
    return Found(row(state), ApprovalRow(REQUEST, row(state).reservation, approval, signed), signed)


def asked(call: object = CALL, *, asks: bool = False, now: str = NOW, window: str | None = None) -> Asked:
    return Asked(call, ASK if asks else ALLOW, ASKS if asks else None, now, window)  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "asks"), list(product(STORED, [False, True])))
def test_a_retry_meets_what_became_of_its_call(state: State, asks: bool) -> None:
    met = meet(found(state), asked(asks=asks)).answer
    match state:
        case State.FAILED | State.RELEASED:
            assert met == (Waiting(ASKS) if asks else Held())
        case State.AWAITING_APPROVAL:
            assert met == (Waiting(REQUEST) if asks else Held())  # where policy asks no more, the request is void
        case State.COMPLETED:
            assert isinstance(met, Done)
        case State.COMPENSATING | State.COMPENSATED:
            assert isinstance(met, Undone)
        case _:
            assert isinstance(met, Lost)


@pytest.mark.parametrize(("state", "asks"), list(product(STORED, [False, True])))
def test_other_arguments_go_on_only_under_a_free_key(state: State, asks: bool) -> None:
    met = meet(found(state), asked(OTHER, asks=asks)).answer
    free = state in (State.FAILED, State.RELEASED)
    assert isinstance(met, (Waiting if asks else Held) if free else Mismatch)


@pytest.mark.parametrize(("approval", "same", "late"), list(product(ApprovalState, [False, True], [False, True])))
def test_a_question_leads_to_an_answer_to_the_end_of_it_or_to_a_new_one(
    approval: ApprovalState, same: bool, late: bool
) -> None:
    verdict = meet(
        found(State.AWAITING_APPROVAL, approval), asked(CALL if same else OTHER, asks=True, now=MUCH_LATER if late else NOW)
    )
    live = approval in (ApprovalState.PENDING, ApprovalState.APPROVED)
    if live and not late:
        kinds = {ApprovalState.PENDING: Waiting, ApprovalState.APPROVED: Resumed}
        assert isinstance(verdict.answer, kinds[approval] if same else Mismatch)
        assert verdict.change is None
        return
    assert verdict.change is not None
    assert verdict.change.ends == (ApprovalState.EXPIRED if live else None)
    assert isinstance(verdict.answer, NotApproved if same else Waiting)
    assert verdict.change.row.state is (State.RELEASED if same else State.AWAITING_APPROVAL)


def test_a_yes_without_a_good_signature_or_to_another_question_is_void() -> None:
    approved = found(State.AWAITING_APPROVAL, ApprovalState.APPROVED)
    unsigned = meet(replace(approved, signed=()), asked(asks=True))
    newer = Asked(CALL, decide(Effect.ASK, revision="policy-2"), ASKS, NOW, None)
    for verdict in (unsigned, meet(approved, newer)):
        assert verdict.answer == Waiting(ASKS)
        assert verdict.change is not None
        assert (verdict.change.ends, verdict.change.files) == (ApprovalState.VOID, ASKS)


@pytest.mark.parametrize("state", STORED)
def test_a_derived_key_forgets_what_was_done_after_its_time_and_nothing_else(state: State) -> None:
    kept = found(state, ApprovalState.PENDING)
    young, old = (meet(kept, asked(window=window)).answer for window in (NOW, LATER))
    if state in (State.COMPLETED, State.COMPENSATED):
        assert isinstance(young, Done | Undone)
        assert old == Held()
    else:
        assert old == young


@pytest.mark.parametrize("state", [None, *STORED])
@pytest.mark.parametrize("asks", [False, True])
def test_a_call_undoes_only_what_was_completed(state: State | None, asks: bool) -> None:
    undo = seal(Call(key="undo", envelope=9, compensates=envelope_id(1)))
    target = None if state is None else row(state)
    verdict = meet(Found(target=target), asked(undo, asks=asks))
    if state is State.COMPLETED:
        assert isinstance(verdict.answer, Waiting if asks else Held)
    else:
        assert isinstance(verdict.answer, NotCompensable)
        assert verdict == Verdict(verdict.answer)


def test_of_the_undone_call_only_its_own_caller_is_told_more_than_the_id() -> None:
    undo = seal(Call(key="undo", envelope=9, compensates=envelope_id(1)))
    for state in STORED:
        assert compensated(undo, row(state)) == Compensated(envelope_id(1), CALL.capability.id, CALL.call_digest)
    assert compensated(undo, None) == Compensated(envelope_id(1))
    for other in (Call(tenant="other"), Call(actors=())):
        assert compensated(seal(other.but(compensates=envelope_id(1))), row(State.COMPLETED)) == Compensated(envelope_id(1))
    assert compensated(CALL, None) is None
