"""The states of a call: only the transitions of the design, all pairs tried."""

from itertools import product

import pytest

from gateway.core.idempotency import IllegalTransition, State, advance

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
    (State.FAILED, State.RESERVED),
    (State.IN_DOUBT, State.COMPLETED),
    (State.IN_DOUBT, State.FAILED),
    (State.RELEASED, State.RESERVED),
}


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
    assert not {then for now, then in LEGAL if now is State.COMPLETED}
