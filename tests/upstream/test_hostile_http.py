"""An HTTP upstream may do what it likes: its own call fails, and what is certain about it is told."""

import functools
import json
import socket
import time
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.upstream.spec import Limits
from gateway.adapters.upstream.status import State
from gateway.core.canonical import canonical
from gateway.core.capability import ApprovalMode
from gateway.core.reply import NoAnswer, NotSent, ToolReply
from tests.upstream.world import IMPATIENT, World, at, eventually, peak_bytes, raw_stdio, running, serving

pytestmark = pytest.mark.anyio

MEBIBYTE = 1 << 20


def is_down(world: World) -> bool:
    return world.status("web").state is State.DOWN


@pytest.fixture(scope="module")
async def world() -> AsyncIterator[World]:
    with serving("raw_http.py") as port:
        async with running(at(port, "web", Limits(deadline_seconds=20.0), Authorization="Bearer gateway")) as world:
            yield world


async def test_the_body_carries_the_sealed_bytes_and_the_gateways_own_meta(world: World) -> None:
    arguments = {"ü": [1e21, 0.1, None], "a": {"z": "\u2028", "b": True}}
    body = await world.text("web", "echo", arguments)
    assert f'"arguments":{canonical(arguments).decode()}' in body
    meta = json.loads(body)["params"]["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
    assert meta["io.modelcontextprotocol/clientInfo"]["name"] == "sealgate"
    assert meta["tracestate"] == "vendor=1"


async def test_the_headers_route_the_call_and_carry_the_gateways_credentials(world: World) -> None:
    headers = json.loads(await world.text("web", "headers"))
    expected = {
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "headers",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "authorization": "bearer gateway",
        "content-type": "application/json",
    }
    assert expected.items() <= headers.items()


async def test_an_answer_in_an_event_stream_is_found_behind_notifications_byte_by_byte(world: World) -> None:
    assert await world.text("web", "stream") == "streamed"


@pytest.mark.parametrize("tool", ["flood", "flood_announced", "flood_stream", "endless_event"])
async def test_a_flood_is_no_answer_and_costs_no_memory(world: World, tool: str) -> None:
    await world.text("web", "echo")
    before, began = peak_bytes(), time.monotonic()
    reply = await world.run("web", tool)
    assert isinstance(reply, NoAnswer)
    assert reply.reason.code == "upstream.flood"
    assert peak_bytes() - before < 50 * MEBIBYTE
    assert time.monotonic() - began < 15
    assert "tools/call" in await world.text("web", "echo")


@pytest.mark.parametrize("tool", ["cut_before", "cut_after", "cut_half", "stream_cut"])
async def test_a_cut_connection_is_no_answer_and_the_call_is_not_repeated(world: World, tool: str) -> None:
    reply = await world.run("web", tool)
    assert isinstance(reply, NoAnswer)
    assert reply.reason.code == "upstream.lost"
    calls = json.loads(await world.text("web", "calls"))
    assert calls.count(tool) == (0 if tool == "cut_before" else 1)
    assert world.status("web").state is State.UP


@pytest.mark.parametrize("tool", ["redirect", "no_json", "duplicate_keys", "wrong_id", "gzip", "bad_gateway"])
async def test_what_is_no_mcp_answer_is_no_answer(world: World, tool: str) -> None:
    reply = await world.run("web", tool)
    assert isinstance(reply, NoAnswer)
    assert reply.reason.code == "upstream.malformed"
    assert reply.reason.message == "Upstream web answered with something that is no acceptable MCP result."
    assert await world.text("web", "redirected") == "0"


@pytest.mark.parametrize(
    ("tool", "text"),
    [("unauthorized", "upstream error 401: HTTP status"), ("error_status", "upstream error -32602: bad arguments")],
)
async def test_a_refusal_with_a_status_is_an_error_result(world: World, tool: str, text: str) -> None:
    reply = await world.run("web", tool)
    assert isinstance(reply, ToolReply)
    assert (reply.document["content"], reply.document["isError"]) == ([{"type": "text", "text": text}], True)
    assert ("error" in reply.document) is (tool == "error_status")  # the upstream's JSON-RPC error, where there was one


async def test_a_forged_receipt_is_taken_out(world: World) -> None:
    reply = await world.run("web", "forge")
    assert isinstance(reply, ToolReply)
    assert reply.document["_meta"] == {"vendor": 1}


async def test_a_hang_ends_at_the_deadline_with_its_connection_closed_and_later_calls_work() -> None:
    with serving("raw_http.py") as port:
        async with running(at(port, limits=IMPATIENT)) as world:
            reply = await world.run("web", "hang")
            assert isinstance(reply, NoAnswer)
            assert reply.reason.code == "upstream.timeout"
            assert await world.text("web", "hangs_closed") == "1"
            assert world.status("web").restarts == 0


async def test_arguments_that_the_schema_mirrors_go_into_headers_too() -> None:
    with serving("sdk_server.py", "http") as port:
        async with running(at(port)) as world:
            # The SDK's server refuses a call whose headers and arguments differ.
            assert json.loads(await world.text("web", "mirrored", {"region": "ü"})) == {"region": "ü"}


async def test_a_refused_connection_is_not_sent_and_it_is_up_again_when_the_server_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    for mode in ("http", "http-handshake"):
        async with running(at(port)) as world:
            assert world.status("web").state is State.DOWN
            with serving("sdk_server.py", mode, str(port)):
                await world.is_up("web")
                sealed = world.call("web", "echo")
                destructive = world.capability("web", "echo", ApprovalMode.DESTRUCTIVE)
                assert isinstance(await world.run_sealed(sealed), ToolReply)
            reply = await world.run_sealed(sealed)
            assert isinstance(reply, NotSent | NoAnswer)  # the pooled connection may just be closing
            reply = await world.run_sealed(sealed)
            assert isinstance(reply, NotSent)
            assert reply.reason.code == "upstream.unavailable"
            unready = await world.ready(destructive)
            assert unready is not None
            assert unready.code == "upstream.unavailable"
            await eventually(functools.partial(is_down, world))
            with serving("sdk_server.py", mode, str(port)):
                await world.is_up("web", restarts=1)
                assert isinstance(await world.run_sealed(sealed), ToolReply)


async def test_one_that_takes_no_connection_leaves_the_others_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, never answers
        world = World((at(silent.getsockname()[1], "silent"), raw_stdio()))
        async with world.upstreams:
            await world.is_up("raw")
            assert await world.text("raw", "add", {"a": 2, "b": 3}) == "5"
            assert world.status("silent").state is State.STARTING


@pytest.mark.parametrize("mode", ["flood", "redirect"])
async def test_one_that_floods_or_redirects_the_negotiation_is_down_at_no_cost(mode: str) -> None:
    before = peak_bytes()
    with serving("raw_http.py", mode) as port:
        async with running(at(port)) as world:
            assert world.status("web").state is State.DOWN
            assert world.status("web").reason == "It cannot be reached, or does not speak MCP."
            assert world.listed == []
    assert peak_bytes() - before < 50 * MEBIBYTE


def flood_told(caplog: pytest.LogCaptureFixture) -> bool:
    """Whether it was told, once."""
    return sum("floods its event stream" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize("mode", ["get_flood", "listen_flood"])
async def test_a_flood_on_the_listening_stream_is_cut_and_costs_no_memory(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving("raw_http.py", mode) as port:
        async with running(at(port)) as world:
            before = peak_bytes()
            await eventually(functools.partial(flood_told, caplog))
            began = time.monotonic()
            assert "tools/call" in await world.text("web", "echo")
            assert time.monotonic() - began < 5
            assert peak_bytes() - before < 60 * MEBIBYTE
    assert flood_told(caplog)
    assert len(caplog.records) < 1_000


async def test_a_deadline_that_passes_while_connecting_means_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    async with running(at(port, limits=IMPATIENT)) as world:
        with serving("sdk_server.py", "http", str(port)):
            await world.is_up("web")
            sealed = world.call("web", "echo")
        with (
            socket.create_server(("127.0.0.1", port), backlog=0) as full,
            socket.socket() as first,
            socket.socket() as second,
        ):
            for waiting in (first, second):  # fill the backlog: further connections hang
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            replies = [await world.run_sealed(sealed) for _ in range(2)]
    assert isinstance(replies[1], NotSent)
