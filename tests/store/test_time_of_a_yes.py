"""A yes counts by the time that its entry states, also where the clock moves between the look at it and the entry."""

import os
from pathlib import Path

import pytest

from gateway.core.answer import SignedAnswer
from gateway.core.approval import Grant
from gateway.core.errors import ApprovalSpent
from gateway.core.reservation import Resumed
from tests.core.calls import ASK as DECISION
from tests.core.calls import LATER, Call, ask_for, envelope_id, person, seal
from tests.store.clock import SetClock
from tests.store.world import SqliteWorld

pytestmark = pytest.mark.anyio

BOB = person("user:bob")


class Moving(SetClock):
    """A clock that shows other times once, or goes on a millisecond at each look."""

    def __init__(self) -> None:
        super().__init__()
        self.once: list[str] = []
        self.goes_on = False

    def now(self) -> str:
        if self.once:
            return self.once.pop(0)
        if self.goes_on:
            self.advance(0.001)
        return super().now()


@pytest.fixture
def clock() -> Moving:
    return Moving()


@pytest.fixture
def world(tmp_path: Path, clock: Moving) -> SqliteWorld:
    world = SqliteWorld(tmp_path, clock=clock)
    world.approvers[BOB.signer.keyid] = BOB.approver
    return world


async def test_what_its_entry_would_say_began_too_late_does_not_begin(world: SqliteWorld, clock: Moving) -> None:
    """The clock is set back after the entry's time was taken."""
    call = seal(Call(), random=os.urandom)
    request = ask_for(call, approval_id=envelope_id(60))
    await world.journal.reserve(call, DECISION, request)
    assert isinstance(await world.journal.questions.answer(request.approval_id, BOB.sign(request)), SignedAnswer)
    met = await world.journal.reserve(call, DECISION, request)
    assert isinstance(met, Resumed)
    clock.once = [request.expires_at]
    with pytest.raises(ApprovalSpent, match="expired"):
        await world.journal.begin(Grant(call, DECISION, met.approved))
    assert request.expires_at == LATER
    assert world.verify().problems == []
    world.close()


async def test_an_answer_of_the_last_moment_is_one_of_that_moment(world: SqliteWorld, clock: Moving) -> None:
    call = seal(Call(), random=os.urandom)
    request = ask_for(call, approval_id=envelope_id(60))
    await world.journal.reserve(call, DECISION, request)
    clock.advance(600 - 0.003)
    clock.goes_on = True
    assert isinstance(await world.journal.questions.answer(request.approval_id, BOB.sign(request)), SignedAnswer)
    assert world.entries()[-1].predicate["recorded_at"] < request.expires_at <= clock.now()
    assert world.verify().problems == []
    world.close()
