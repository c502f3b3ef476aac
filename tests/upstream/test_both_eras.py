"""Every era on every transport lists, calls, times out, cancels and notices changes."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from gateway.core.canonical import canonical
from gateway.core.capability import ApprovalMode
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, ToolReply
from tests.upstream.world import (
    IMPATIENT,
    PATIENCE_SECONDS,
    TRACEPARENT,
    World,
    at,
    eventually,
    raw_stdio,
    running,
    sdk_stdio,
    serving,
)

pytestmark = pytest.mark.anyio

ARGUMENTS = {
    "text": 'ü\u2028 "x" \\ /',
    "big": 1e21,
    "small": 1e-7,
    "none": None,
    "nested": [{"b": [], "a": {}}],
    "int": 2**53 - 1,
}
KINDS = {
    "handshake stdio": ("raw", "2025-11-25"),
    "modern stdio": ("sdk", "2026-07-28"),
    "handshake http": ("hand", "2025-11-25"),
    "modern http": ("dual", "2026-07-28"),
}


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    with serving("sdk_server.py", "http") as dual, serving("sdk_server.py", "http-handshake") as handshake:
        stdio = (raw_stdio(limits=IMPATIENT), sdk_stdio(limits=IMPATIENT))
        async with running(*stdio, at(dual, "dual", IMPATIENT), at(handshake, "hand", IMPATIENT)) as world:
            yield world


async def test_each_negotiates_lists_and_answers(world: World) -> None:
    for name, protocol in KINDS.values():
        status = world.status(name)
        assert (status.state, status.protocol, status.reason, status.restarts) == ("up", protocol, None, 0)
        assert status.tools == len(world.tools(name))
        assert await world.ready(world.capability(name, "echo", ApprovalMode.DESTRUCTIVE)) is None
        reply = await world.run(name, "echo", {"x": 1})
        assert isinstance(reply, ToolReply)
        assert reply.protocol == protocol


async def test_a_definition_is_kept_as_on_the_wire_with_fields_no_model_knows(world: World) -> None:
    assert world.tools("raw")["echo"].document["x-vendor"] == {"kept": True}
    assert world.tools("raw")["echo"].document["inputSchema"] == {"type": "object", "additionalProperties": True}


async def test_arguments_arrive_as_the_sealed_bytes(world: World) -> None:
    line = await world.text("raw", "echo", ARGUMENTS)
    assert f'"arguments":{canonical(ARGUMENTS).decode()}' in line
    for name, _ in KINDS.values():
        if name != "raw":
            assert json.loads(await world.text(name, "echo", ARGUMENTS)) == ARGUMENTS


async def test_the_trace_of_the_run_goes_along(world: World) -> None:
    meta = json.loads(await world.text("raw", "echo"))["params"]["_meta"]
    assert meta == {"traceparent": TRACEPARENT, "tracestate": "vendor=1"}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_hang_ends_at_the_deadline_is_cancelled_upstream_and_later_calls_work(world: World, kind: str) -> None:
    name, _ = KINDS[kind]
    before = None if name == "raw" else int(await world.text(name, "waits"))
    reply = await world.run(name, "hang" if name == "raw" else "wait")
    assert reply == NoAnswer(Reason("upstream.timeout", f"Upstream {name} did not answer within its deadline."))
    if before is None:
        assert (await world.text("raw", "last_cancelled")).startswith("sealgate-")
    else:
        await has_cancelled(world, name, before + 1)
    assert world.status(name).restarts == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_is_cancelled_upstream(world: World, kind: str) -> None:
    name, _ = KINDS[kind]
    before = None if name == "raw" else int(await world.text(name, "waits"))
    call = asyncio.create_task(world.run(name, "hang" if name == "raw" else "wait"))
    await asyncio.sleep(0)
    await world.text(name, "echo")  # so that the first call was sent before
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    if before is None:
        assert await world.text("raw", "last_cancelled") != ""
    else:
        await has_cancelled(world, name, before + 1)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_changed_definition_is_noticed_through_the_notification(world: World, kind: str) -> None:
    name, _ = KINDS[kind]
    before = world.tools(name)["echo"].digest
    capability = world.capability(name, "echo", ApprovalMode.DESTRUCTIVE)
    await world.text(name, "change")
    await eventually(lambda: world.tools(name)["echo"].digest != before)
    reason = await world.ready(capability)
    assert reason is not None
    assert reason.code == "tool.drifted"


async def has_cancelled(world: World, name: str, count: int) -> None:
    """Ask that server until it cancelled so many handlers."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while int(await world.text(name, "waits")) < count:
            pass
