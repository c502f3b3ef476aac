"""The states of a call: only the transitions of the design, all pairs tried; and an end counts only for its own claim."""

from dataclasses import replace
from itertools import product

import pytest

from gateway.core.envelope import Answered, Ending, NotDone, Unknown
from gateway.core.idempotency import (
    CallRow,
    IllegalTransition,
    State,
    advance,
    claimed,
    ended,
    lost,
    resolved,
    undid,
    undoing,
    undone,
)
from gateway.core.outcome import Reason
from tests.core.calls import LATER, NOW, Call, seal
from tests.store.world import answered, text

LEGAL = {
    (State.RESERVED, State.AWAITING_APPROVAL),
    (State.RESERVED, State.STARTED),
    (State.RESERVED, State.COMPLETED),
    (State.RESERVED, State.FAILED),
    (State.RESERVED, State.RELEASED),
    (State.AWAITING_APPROVAL, State.STARTED),
    (State.AWAITING_APPROVAL, State.RELEASED),
    (State.STARTED, State.COMPLETED),
    (State.STARTED, State.FAILED),
    (State.STARTED, State.IN_DOUBT),
    (State.COMPLETED, State.COMPENSATING),
    (State.COMPENSATING, State.COMPENSATED),
    (State.COMPENSATING, State.COMPLETED),
    (State.FAILED, State.RESERVED),
    (State.IN_DOUBT, State.COMPLETED),
    (State.IN_DOUBT, State.FAILED),
    (State.RELEASED, State.RESERVED),
}
DOWN = Reason("upstream.down", "Down.")
CALL = seal(Call())


def row(state: State = State.STARTED) -> CallRow:
    """The row of `CALL` in that state."""
    return replace(claimed(None, CALL, State.STARTED, NOW), state=state)


@pytest.mark.parametrize(("now", "then"), sorted(product(State, State)))
def test_a_call_moves_only_as_the_design_says(now: State, then: State) -> None:
    if (now, then) in LEGAL:
        assert advance(now, then) is then
    else:
        with pytest.raises(IllegalTransition):
            advance(now, then)


def test_only_what_was_started_can_be_in_doubt_and_what_is_in_doubt_never_runs_again() -> None:
    assert {now for now, then in LEGAL if then is State.IN_DOUBT} == {State.STARTED}
    assert {then for now, then in LEGAL if now is State.IN_DOUBT} == {State.COMPLETED, State.FAILED}


def test_what_was_completed_never_runs_again_under_its_key() -> None:
    reached, more = {State.COMPLETED}, {State.COMPLETED}
    while more:
        more = {then for now, then in LEGAL if now in more} - reached
        reached |= more
    assert reached == {State.COMPLETED, State.COMPENSATING, State.COMPENSATED}


@pytest.mark.parametrize(
    ("ending", "then"),
    [(answered(CALL, text("done")), State.COMPLETED), (NotDone(DOWN), State.FAILED), (Unknown(DOWN), State.IN_DOUBT)],
)
def test_an_end_counts_for_the_claim_it_belongs_to_and_once(ending: Ending, then: State) -> None:
    begun = row()
    now = ended(begun, CALL, begun.fence, ending, LATER)
    assert (now.state, now.updated_at) == (then, LATER)
    assert now.reason == ("upstream.down" if then is State.IN_DOUBT else None)
    wrong = [(None, CALL, 1), (begun, seal(Call(envelope=2)), 1), (begun, CALL, 2), (begun, CALL, None), (now, CALL, 1)]
    for found, call, fence in wrong:
        with pytest.raises(IllegalTransition):
            ended(found, call, fence, ending, LATER)


def test_the_tools_own_error_frees_a_derived_key_only() -> None:
    derived = seal(Call(key=None))
    for call, then in ((derived, State.FAILED), (CALL, State.COMPLETED)):
        begun = claimed(None, call, State.STARTED, NOW)
        error = answered(call, text("no", is_error=True))
        assert isinstance(error, Answered)
        assert ended(begun, call, begun.fence, error, LATER).state is then


@pytest.mark.parametrize("state", list(State))
def test_a_key_is_claimed_anew_only_where_it_is_free_and_its_fence_grows_with_it(state: State) -> None:
    if state in (State.FAILED, State.RELEASED):
        assert claimed(row(state), CALL, State.STARTED, LATER).fence == 2
    elif state is State.AWAITING_APPROVAL:
        assert claimed(row(state), CALL, State.STARTED, LATER).fence == 1
    elif state is not State.RESERVED:  # which is never stored
        with pytest.raises(IllegalTransition):
            claimed(row(state), CALL, State.STARTED, LATER)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("verdict", list(State))
def test_a_verdict_ends_a_doubt_with_completed_or_failed_and_nothing_else(state: State, verdict: State) -> None:
    if state is State.IN_DOUBT and verdict in (State.COMPLETED, State.FAILED):
        now = resolved(row(state), verdict, "operator", LATER)
        assert (now.state, now.reason) == (verdict, "resolution.operator")
    else:
        with pytest.raises(IllegalTransition):
            resolved(row(state), verdict, "operator", LATER)


@pytest.mark.parametrize("state", list(State))
def test_only_what_was_completed_can_be_undone_and_only_what_was_started_is_lost(state: State) -> None:
    if state is State.COMPLETED:
        begun = undoing(row(state), "other")
        assert undone(begun, done=True).compensated_by == "other"
        assert undone(begun, done=False) == row(state)
    else:
        with pytest.raises(IllegalTransition):
            undoing(row(state), "other")
    if state is State.STARTED:
        assert lost(row(state), LATER).reason == "gateway.restarted"
    else:
        with pytest.raises(IllegalTransition):
            lost(row(state), LATER)


@pytest.mark.parametrize("end", list(State))
@pytest.mark.parametrize("is_error", [False, True])
def test_only_a_call_that_was_completed_without_an_error_undid_another(end: State, is_error: bool) -> None:
    known = end in (State.COMPLETED, State.FAILED)
    assert undid(end, is_error=is_error) is ((end is State.COMPLETED and not is_error) if known else None)
