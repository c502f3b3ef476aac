"""A client that leaves while its question is being filed: it is filed whole, and the log says how the call ended."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from gateway.adapters.store.sqlite.check import check_file
from gateway.core.approval import ApprovalState
from gateway.core.call import SealedCall
from gateway.core.circumstances import Circumstances
from gateway.core.decision import PolicyDecision
from gateway.core.entry import Kind
from gateway.core.outcome import AwaitingApproval, Completed, Outcome
from gateway.pipeline import Gateway
from tests.core.calls import ASK, Call, envelope_id, person, request_of, run_of
from tests.store.stalled import StallingFile, stalling
from tests.store.test_native_cancel import Sent, gateway_of
from tests.store.world import SqliteWorld, until

pytestmark = pytest.mark.anyio

CALL = Call()
BOB = person("user:bob")


class AskAlways:
    """A policy that wants a person for every call."""

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        return ASK


@pytest.fixture
def disk() -> Iterator[StallingFile]:
    with stalling("journal.db") as file:
        yield file


@pytest.fixture
def world(disk: StallingFile, tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path, approvers={BOB.signer.keyid: BOB.approver})
    yield opened
    disk.go_on()
    opened.close()


async def leave_while_it_is_filed(world: SqliteWorld, disk: StallingFile, gateway: Gateway) -> None:
    """Make the call, and cancel it when the disk has the question and has not answered yet."""
    ended: list[bool] = []

    async def client(leaving: anyio.CancelScope) -> None:
        with leaving:
            await gateway.call(run_of(CALL), request_of(CALL))
        ended.append(True)

    disk.stall()
    async with anyio.create_task_group() as group:
        leaving = anyio.CancelScope()
        group.start_soon(client, leaving)
        await until(disk.waiting.is_set)
        leaving.cancel()
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        assert not ended, "the call goes on until its question is durable"
        disk.go_on()
    assert ended
    await until(lambda: len(world.entries()) == 2)


async def test_its_question_is_filed_whole_and_its_end_is_in_the_log(world: SqliteWorld, disk: StallingFile) -> None:
    gateway = replace(gateway_of(world, CALL, Sent()), policy=AskAlways())
    await leave_while_it_is_filed(world, disk, gateway)
    asked, refused = world.entries()
    assert (asked.kind, asked.predicate["event"]) == (Kind.APPROVAL, "requested")
    assert (refused.kind, refused.id) == (Kind.DENIED, envelope_id(1))
    assert refused.predicate["approval"]["approval_id"] == asked.id
    (row,) = await world.journal.questions.rows(pending_only=True)
    assert (row.state, row.request.approval_id) == (ApprovalState.PENDING, asked.id)
    assert [reason.message for reason in row.request.reasons] == ["It is so."]
    found = await world.journal.questions.row(asked.id)
    assert found is not None
    assert found[1] == b'{"text":"hello"}'
    await world.checkpointed()
    checked = check_file(world.path, world.keys.trusted(), vault=world.vault)
    assert checked.ok, checked.problems


async def test_the_same_call_made_again_resumes_that_question_and_runs_once(world: SqliteWorld, disk: StallingFile) -> None:
    upstream = Sent()
    gateway = replace(gateway_of(world, CALL, upstream), policy=AskAlways())
    await leave_while_it_is_filed(world, disk, gateway)

    async def again(number: int) -> Outcome:
        return await gateway.call(run_of(CALL), request_of(CALL.but(envelope=number)))

    waits = await again(2)
    assert isinstance(waits, AwaitingApproval)
    assert waits.approval_id == world.entries()[0].id
    (row,) = await world.journal.questions.rows(pending_only=False)
    await world.journal.questions.answer(waits.approval_id, BOB.sign(row.request))
    upstream.answer.set()
    assert isinstance(await again(3), Completed)
    assert upstream.calls == 1
    assert world.verify().ok
