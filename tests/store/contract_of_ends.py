"""What every Journal promises about calls that ended: doubts and their verdicts, calls that undo others, results that go.

A test class of an implementation inherits these and gives the fixture `world`.
"""

import asyncio
import os
from typing import Any

import pytest

from gateway.core.answer import Answer, SignedAnswer
from gateway.core.approval import ApprovalState, Grant
from gateway.core.call import Sealer
from gateway.core.commitment import CommitmentKey
from gateway.core.entry import Kind
from gateway.core.envelope import NotDone, Unknown
from gateway.core.idempotency import IllegalTransition, State
from gateway.core.ids import oldest_uuid7
from gateway.core.outcome import Reason, Receipt
from gateway.core.reservation import Gone, Held, Instead, Lost, NotCompensable, Prior, Undone, Waiting
from gateway.core.resolution import Method, Resolution
from tests.core.calls import ALICE, ALLOW, ASK, KEY, Call, ask_for, capability, envelope_id
from tests.store.contract import DERIVED, FAILED, WRITE, answer, approve, ask, kinds, retry, sealed
from tests.store.world import World, answered, result_of, run, text

LATE = Reason("upstream.timeout", "Late.")
UNDO = Call(tool="undo", key="undo-1", envelope=50, compensates=envelope_id(1))


async def doubt(world: World, call: Call = WRITE) -> str:
    """Make a call whose end is unknown; its envelope id."""
    assert isinstance(await run(world, call, lambda _: Unknown(LATE)), Receipt)
    return envelope_id(call.envelope)


def verdict(envelope: str, state: State, result: dict[str, Any] | None = None) -> Resolution:
    """An operator's."""
    told = (
        None
        if result is None
        else Sealer(CommitmentKey(KEY), os.urandom).disclose_told_result(capability(WRITE).definition.document, result)
    )
    return Resolution(envelope, state, Method.OPERATOR, "carol", "looked it up", told)


async def resolve(world: World, envelope: str, state: State, result: dict[str, Any] | None = None) -> Receipt | Reason:
    return await world.journal.doubts.resolve(verdict(envelope, state, result))


def reason_of(met: object) -> str:
    """The code of what a call met."""
    assert isinstance(met, Gone | Undone | NotCompensable), met
    return met.reason.code


def links(world: World) -> list[tuple[str, str, str]]:
    """What the log tells of undoing: (of, by, event)."""
    told = [entry.predicate["compensation"] for entry in world.entries() if entry.kind is Kind.COMPENSATION]
    return [(link["of"], link["by"], link["event"]) for link in told]


async def drop_all(world: World) -> int:
    """Forget the values of every call made so far. Ids of tests are of the year 2023, the clock's of 2026."""
    return await world.journal.drop_before(oldest_uuid7(1_790_000_000_000))


async def drop_everything(world: World) -> int:
    """Forget the values of whatever there is, however young."""
    return await world.journal.drop_before("ffffffff-ffff-7fff-bfff-ffffffffffff")


class EndsContract:
    """See the module."""

    # --- doubts ---

    @pytest.mark.parametrize("restarted", [False, True])
    async def test_a_verdict_with_a_result_is_what_retries_get(self, world: World, restarted: bool) -> None:
        envelope = await doubt(world)
        assert [row.envelope_id for row in world.journal.doubts.rows()] == [envelope]
        assert isinstance(await resolve(world, envelope, State.COMPLETED, text("paid")), Receipt)
        if restarted:
            world.reopen()
            assert await world.journal.recover() == 0
        met = await run(world, WRITE.but(envelope=2))
        assert met == Prior(envelope, text("paid"), None, False, "operator")
        assert world.journal.doubts.rows() == []
        assert world.verify().ok

    async def test_a_verdict_without_a_result_is_told_and_the_call_never_runs(self, world: World) -> None:
        await resolve(world, await doubt(world), State.COMPLETED)
        met = await run(world, WRITE.but(envelope=2))
        assert reason_of(met) == "idempotency.result_gone"
        assert isinstance(met, Gone)
        assert "not known" in met.reason.message
        assert kinds(world) == ["intent", "in_doubt", "resolution"]

    async def test_a_verdict_that_it_failed_frees_the_key(self, world: World) -> None:
        await resolve(world, await doubt(world), State.FAILED)
        assert isinstance(await run(world, WRITE.but(envelope=2, arguments={"text": "else"})), Receipt)
        assert world.verify().ok

    async def test_of_many_verdicts_at_once_one_counts(self, world: World) -> None:
        envelope = await doubt(world)
        verdicts = [resolve(world, envelope, state) for state in (State.COMPLETED, State.FAILED) * 5]
        told = await asyncio.gather(*verdicts)
        assert sum(isinstance(one, Receipt) for one in told) == 1
        assert {one.code for one in told if isinstance(one, Reason)} == {"resolution.not_in_doubt"}
        assert kinds(world).count("resolution") == 1
        assert world.verify().ok

    async def test_there_is_no_verdict_on_a_call_that_is_not_in_doubt(self, world: World) -> None:
        await run(world, WRITE)
        for envelope, code in ((envelope_id(1), "resolution.not_in_doubt"), (envelope_id(9), "resolution.unknown")):
            told = await resolve(world, envelope, State.FAILED)
            assert isinstance(told, Reason)
            assert told.code == code
        assert isinstance(await run(world, WRITE.but(envelope=2)), Prior)

    # --- an end belongs to its claim ---

    async def test_a_call_that_let_go_of_its_key_cannot_end_any_more(self, world: World) -> None:
        first = sealed(WRITE)
        assert await world.journal.reserve(first, ALLOW, None) == Held()
        await world.journal.begin(Grant(first, ALLOW))
        world.journal.release(first)
        with pytest.raises(IllegalTransition):
            await world.journal.finish(Grant(first, ALLOW), answered(first, text("late")), 1)
        assert await run(world, WRITE.but(envelope=2)) == Lost(envelope_id(1))
        assert kinds(world) == ["intent"]

    async def test_a_call_ends_once(self, world: World) -> None:
        first = sealed(WRITE)
        assert await world.journal.reserve(first, ALLOW, None) == Held()
        await world.journal.begin(Grant(first, ALLOW))
        await world.journal.finish(Grant(first, ALLOW), answered(first, text("one")), 1)
        with pytest.raises(IllegalTransition):
            await world.journal.finish(Grant(first, ALLOW), NotDone(FAILED), 1)
        world.journal.release(first)
        assert result_of(await run(world, WRITE.but(envelope=2))) == text("one")

    # --- calls that undo others ---

    async def test_an_undone_call_never_runs_again(self, world: World) -> None:
        await run(world, WRITE)
        assert isinstance(await run(world, UNDO), Receipt)
        world.reopen()
        assert reason_of(await run(world, WRITE.but(envelope=2))) == "idempotency.compensated"
        assert isinstance(await run(world, UNDO.but(envelope=51)), Prior)
        of, by = envelope_id(1), envelope_id(50)
        assert links(world) == [(of, by, "started"), (of, by, "completed")]
        assert world.verify().ok

    @pytest.mark.parametrize("ends", ["not done", "error"])
    async def test_an_undoing_call_that_failed_leaves_the_call_done(self, world: World, ends: str) -> None:
        await run(world, WRITE)
        await run(
            world, UNDO, lambda one: NotDone(FAILED) if ends == "not done" else answered(one, text("no", is_error=True))
        )
        assert isinstance(await run(world, WRITE.but(envelope=2)), Prior)
        assert isinstance(await run(world, UNDO.but(envelope=51, key="undo-2")), Receipt)
        assert [event for _, _, event in links(world)] == ["started", "failed", "started", "completed"]
        assert world.verify().ok

    @pytest.mark.parametrize("killed", [False, True])
    @pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED])
    async def test_an_undoing_call_in_doubt_is_ended_by_its_verdict(self, world: World, state: State, killed: bool) -> None:
        await run(world, WRITE)
        if killed:
            undo = sealed(UNDO)
            assert await world.journal.reserve(undo, ALLOW, None) == Held()
            await world.journal.begin(Grant(undo, ALLOW))
            world.reopen()
            assert await world.journal.recover() == 1
        else:
            await doubt(world, UNDO)
        assert reason_of(await run(world, WRITE.but(envelope=2))) == "idempotency.compensating"
        other = UNDO.but(envelope=51, key="undo-2")
        assert reason_of(await run(world, other)) == "compensation.running"
        assert isinstance(await resolve(world, envelope_id(50), state), Receipt)
        met = await run(world, WRITE.but(envelope=3))
        assert isinstance(met, Undone if state is State.COMPLETED else Prior)
        again = await run(world, other.but(envelope=52))
        assert isinstance(again, NotCompensable if state is State.COMPLETED else Receipt)
        assert world.verify().ok

    @pytest.mark.parametrize("is_error", [False, True])
    async def test_a_verdict_with_the_tools_own_error_undoes_nothing(self, world: World, is_error: bool) -> None:
        """Just as the live answer would not have."""
        await run(world, WRITE)
        await doubt(world, UNDO)
        told = text("no such order", is_error=is_error)
        assert isinstance(await resolve(world, envelope_id(50), State.COMPLETED, told), Receipt)
        assert isinstance(await run(world, WRITE.but(envelope=2)), Prior if is_error else Undone)
        assert result_of(await run(world, UNDO.but(envelope=51))) == told
        again = await run(world, UNDO.but(envelope=52, key="undo-2"))
        assert isinstance(again, Receipt if is_error else NotCompensable)
        assert [event for _, _, event in links(world)] == (
            ["started", "failed", "started", "completed"] if is_error else ["started", "completed"]
        )
        (verdict,) = [entry.predicate["resolution"] for entry in world.entries() if entry.kind is Kind.RESOLUTION]
        assert verdict["is_error"] is is_error
        assert world.verify().ok

    async def test_of_many_that_undo_the_same_call_at_once_one_runs(self, world: World) -> None:
        await run(world, WRITE)
        effects: list[int] = []
        calls = (
            run(world, UNDO.but(envelope=number, key=f"undo-{number}"), effect=lambda: effects.append(1))
            for number in range(60, 80)
        )
        met = await asyncio.gather(*calls)
        assert len(effects) == 1
        assert sum(isinstance(one, Receipt) for one in met) == 1
        assert {reason_of(one) for one in met if not isinstance(one, Receipt)} == {"compensation.done"}

    async def test_a_retry_that_comes_while_its_call_is_undone_waits_for_the_end(self, world: World) -> None:
        await run(world, WRITE)
        undo = sealed(UNDO)
        assert await world.journal.reserve(undo, ALLOW, None) == Held()
        await world.journal.begin(Grant(undo, ALLOW))
        waiting = asyncio.ensure_future(run(world, WRITE.but(envelope=2)))
        await asyncio.sleep(0)
        assert not waiting.done()
        await world.journal.finish(Grant(undo, ALLOW), answered(undo, text("undone")), 1)
        world.journal.release(undo)
        assert reason_of(await waiting) == "idempotency.compensated"

    @pytest.mark.parametrize(
        "other",
        [
            UNDO.but(tenant="other"),
            UNDO.but(actors=()),
            UNDO.but(principal=ALICE, actors=(ALICE,)),
            UNDO.but(compensates=envelope_id(999)),
        ],
    )
    async def test_only_the_same_caller_undoes_a_call(self, world: World, other: Call) -> None:
        await run(world, WRITE)
        assert reason_of(await run(world, other)) == "compensation.unknown"
        assert kinds(world) == ["intent", "outcome"]
        assert isinstance(await run(world, WRITE.but(envelope=2)), Prior)

    async def test_another_callers_running_call_is_neither_waited_for_nor_told_of(self, world: World) -> None:
        running = sealed(WRITE)
        assert await world.journal.reserve(running, ALLOW, None) == Held()
        await world.journal.begin(Grant(running, ALLOW))
        async with asyncio.timeout(5):  # its key is free only after the next statement
            assert reason_of(await run(world, UNDO.but(actors=()))) == "compensation.unknown"
        await world.journal.finish(Grant(running, ALLOW), answered(running, text("done")), 1)
        world.journal.release(running)

    async def test_what_was_not_completed_is_not_undone(self, world: World) -> None:
        await doubt(world)
        assert reason_of(await run(world, UNDO)) == "compensation.not_completed"
        await resolve(world, envelope_id(1), State.FAILED)
        assert reason_of(await run(world, UNDO.but(envelope=51))) == "compensation.not_completed"

    async def test_the_same_key_or_arguments_with_another_link_are_another_call(self, world: World) -> None:
        for number in (1, 2):
            await run(world, WRITE.but(envelope=number, key=f"key-{number}"))
        derived = UNDO.but(key=None)
        assert isinstance(await run(world, derived), Receipt)
        assert isinstance(await run(world, derived.but(envelope=51, compensates=envelope_id(2))), Receipt)
        assert links(world)[-1] == (envelope_id(2), envelope_id(51), "completed")

    async def test_a_yes_to_undo_a_call_counts_for_nothing_once_it_was_undone(self, world: World) -> None:
        await run(world, WRITE)
        request = await ask(world, UNDO)
        await approve(world, request)
        assert isinstance(await run(world, UNDO.but(envelope=51, key="undo-2")), Receipt)
        assert reason_of(await retry(world, UNDO.but(envelope=52))) == "compensation.done"
        (row,) = await world.journal.questions.rows(pending_only=False)
        assert row.state is ApprovalState.VOID
        assert world.verify().ok

    # --- what is remembered, and what is not ---

    async def test_a_derived_call_can_be_undone_after_the_same_call_was_made_again(self, world: World) -> None:
        await run(world, DERIVED, lambda one: answered(one, text("first")))
        world.clock.advance(121)
        await run(world, DERIVED.but(envelope=2), lambda one: answered(one, text("second")))
        assert isinstance(await run(world, UNDO), Receipt)
        assert result_of(await run(world, DERIVED.but(envelope=3))) == text("second")
        assert isinstance(await run(world, UNDO.but(envelope=51, key="undo-2", compensates=envelope_id(2))), Receipt)
        assert reason_of(await run(world, DERIVED.but(envelope=4))) == "idempotency.compensated"
        world.clock.advance(121)
        assert isinstance(await run(world, DERIVED.but(envelope=5)), Receipt)
        assert world.verify().ok

    async def test_a_call_whose_result_was_dropped_does_not_run_again(self, world: World) -> None:
        await run(world, WRITE)
        await run(world, DERIVED.but(envelope=2, tool="derived"))
        assert await drop_all(world) == 2
        assert await drop_all(world) == 0
        for call in (WRITE.but(envelope=3), DERIVED.but(envelope=4, tool="derived")):
            met = await run(world, call)
            assert reason_of(met) == "idempotency.result_gone"
            assert isinstance(met, Gone)
            assert f"done on {world.clock.now()}" in met.reason.message
        world.clock.advance(121)
        assert isinstance(await run(world, DERIVED.but(envelope=5, tool="derived")), Receipt)
        assert reason_of(await run(world, WRITE.but(envelope=6))) == "idempotency.result_gone"
        assert world.verify().ok

    async def test_what_is_younger_is_kept(self, world: World) -> None:
        await run(world, WRITE.but(envelope=1))
        await run(world, WRITE.but(envelope=2, key="key-2"))
        assert await world.journal.drop_before(envelope_id(2)) == 1
        assert isinstance(await run(world, WRITE.but(envelope=3, key="key-2")), Prior)

    async def test_many_are_dropped_bit_by_bit(self, world: World) -> None:
        reads = WRITE.but(key=None)
        await asyncio.gather(*(run(world, reads.but(envelope=number, tool=f"t{number}")) for number in range(600)))
        assert await drop_all(world) == 600

    async def test_what_a_person_is_asked_about_is_not_dropped(self, world: World) -> None:
        request = await ask(world, WRITE)
        assert await drop_everything(world) == 0
        found = await world.journal.questions.row(request.approval_id)
        assert found is not None
        assert found[1] == b'{"text":"hello"}'

    async def test_a_changed_call_that_was_approved_can_be_made_until_its_time_is_over(self, world: World) -> None:
        made = await ask(world, WRITE, expires_in=60)
        changed = await answer(world, made, Answer.MODIFY)
        assert isinstance(changed, SignedAnswer)
        found = await world.journal.questions.row(changed.modified_into or "")
        assert found is not None
        await approve(world, found[0].request)
        assert await drop_everything(world) == 1  # what was asked about first
        assert await retry(world, WRITE) == Instead(found[0].request.approval_id, {"text": "changed"})
        world.clock.advance(60)
        assert await drop_everything(world) == 1

    async def test_of_a_call_approved_as_it_was_made_nothing_is_kept_for_that(self, world: World) -> None:
        await approve(world, await ask(world, WRITE))
        assert await drop_everything(world) == 1

    async def test_a_verdict_brings_its_result_even_where_the_arguments_were_dropped(self, world: World) -> None:
        envelope = await doubt(world)
        assert await drop_all(world) == 1
        await resolve(world, envelope, State.COMPLETED, text("paid"))
        assert result_of(await run(world, WRITE.but(envelope=2))) == text("paid")

    async def test_a_question_that_ended_does_not_bind_its_key_to_its_arguments(self, world: World) -> None:
        await ask(world, WRITE, expires_in=60)
        world.clock.advance(60)
        other = sealed(WRITE.but(envelope=2, arguments={"text": "else"}))
        request = ask_for(other, approval_id=world.clock.new_id(), expires_at=world.clock.later(60))
        assert await world.journal.reserve(other, ASK, request) == Waiting(request)
        assert [entry.predicate["event"] for entry in world.entries()] == ["requested", "expired", "requested"]
