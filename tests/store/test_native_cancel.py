"""A call whose task is cancelled by the loop itself, past every shield: what was sent is in doubt, not undone."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.observer import NoObserver
from gateway.core.approval import Grant
from gateway.core.call import SealedCall, Sealer
from gateway.core.capability import ApprovalMode
from gateway.core.catalog import Catalog
from gateway.core.circumstances import Circumstances
from gateway.core.commitment import CommitmentKey
from gateway.core.conversation import Conversation
from gateway.core.decision import PolicyDecision
from gateway.core.entry import Kind
from gateway.core.outcome import Completed, Reason
from gateway.core.rate import RecentCalls
from gateway.core.reply import ToolReply, UpstreamReply
from gateway.core.reservation import Lost
from gateway.core.run_memory import Runs
from gateway.pipeline import Gateway
from tests.core.calls import ALLOW, KEY, Call, capability, request_of, run_of
from tests.store.world import SqliteWorld, run, text

pytestmark = pytest.mark.anyio


class OneTool:
    """A catalogue of the tool that a call names."""

    def __init__(self, call: Call) -> None:
        tool = capability(call)
        self._catalog = Catalog({tool.id: tool}, (), "revision")

    def current(self) -> Catalog:
        return self._catalog


class AllowAll:
    """A policy that allows."""

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        return ALLOW


class Sent:
    """An upstream that answers when it is let, and counts what reached it."""

    def __init__(self) -> None:
        self.calls = 0
        self.reached = asyncio.Event()
        self.answer = asyncio.Event()

    async def ready(self, grant: Grant) -> Reason | None:
        return None

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        self.calls += 1
        self.reached.set()
        await self.answer.wait()
        return ToolReply(text("done"), "2026-07-28")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path)
    yield opened
    opened.close()


def gateway_of(world: SqliteWorld, call: Call, upstream: Sent) -> Gateway:
    return Gateway(
        catalog=OneTool(call),
        sealer=Sealer(CommitmentKey(KEY), os.urandom),
        policy=AllowAll(),
        journal=world.journal,
        executor=upstream,
        clock=world.clock,
        observer=NoObserver(),
        recent=RecentCalls(),
        runs=Runs(),
        approval_ttl_seconds=600,
        dev=False,
    )


async def cancelled_when_sent(world: SqliteWorld, call: Call) -> Sent:
    upstream = Sent()
    task = asyncio.ensure_future(gateway_of(world, call, upstream).call(run_of(call), request_of(call)))
    await upstream.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return upstream


async def test_an_effect_that_was_sent_is_in_doubt_and_not_sent_again(world: SqliteWorld) -> None:
    call = Call()
    await cancelled_when_sent(world, call)
    assert [entry.kind for entry in world.entries()] == [Kind.INTENT, Kind.IN_DOUBT]
    assert isinstance(await run(world, call.but(envelope=2)), Lost)
    assert world.verify().ok


async def test_a_read_that_was_sent_failed_and_may_be_made_again(world: SqliteWorld) -> None:
    call = Call(mode=ApprovalMode.READ_ONLY)
    upstream = await cancelled_when_sent(world, call)
    assert [entry.predicate["result"]["status"] for entry in world.entries()] == ["failed"]
    upstream.answer.set()
    again = await gateway_of(world, call, upstream).call(run_of(call), request_of(call.but(envelope=2)))
    assert isinstance(again, Completed)
    assert upstream.calls == 2
