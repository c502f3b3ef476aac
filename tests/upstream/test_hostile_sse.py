"""An HTTP+SSE server that is broken or hostile ends its own calls and session, and gets nothing that is not its own."""

import json
from collections.abc import AsyncIterator

import pytest

from gateway.adapters.upstream.spec import Limits
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, ToolReply
from tests.upstream.client import Client, never
from tests.upstream.world import World, eventually, over_sse, running, serving

pytestmark = pytest.mark.anyio

QUICK = Limits(deadline_seconds=5.0, connect_seconds=0.5, breaker_failures=0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with serving("raw_sse.py", "honest") as port:
        async with running(over_sse(port, "old", QUICK)) as world:
            yield world


@pytest.mark.parametrize("mode", ["foreign", "other_port", "long", "redirect", "html", "silent", "twice"])
async def test_what_is_no_stream_with_an_endpoint_of_its_own_is_not_used(mode: str) -> None:
    with serving("raw_sse.py", mode) as port:
        async with running(over_sse(port, "old", QUICK)) as world:
            await eventually(lambda: world.status("old").state == "down")
            why = {"silent": "It was not ready in time.", "twice": "It takes no connections."}
            assert world.status("old").reason in (why.get(mode), "It does not answer as MCP wants.")


async def test_an_old_version_is_agreed_to_and_a_call_is_made_once(world: World) -> None:
    assert world.status("old").protocol == "2024-11-05"
    message = json.loads(await world.text("old", "echo", {"x": 1}))
    assert message["params"]["arguments"] == {"x": 1}


async def test_an_event_that_is_too_long_ends_the_session_and_the_next_works(world: World) -> None:
    reply = await world.run("old", "huge")
    assert reply == NoAnswer(Reason("upstream.flood", "Upstream old sent more than it may, so its answer was not read."))
    await world.is_up("old", restarts=1)
    await world.text("old", "echo")


async def test_malformed_events_are_dropped_and_a_stream_that_ends_loses_its_calls(world: World) -> None:
    assert await world.text("old", "malformed") == "x"
    reply = await world.run("old", "cut")
    assert isinstance(reply, NoAnswer)
    assert reply.reason.code == "upstream.lost"
    await world.is_up("old", restarts=1)


async def test_a_refused_post_is_an_error_and_a_redirected_one_is_not_followed(world: World) -> None:
    refused = await world.run("old", "refuse")
    assert isinstance(refused, ToolReply)
    assert refused.document["content"][0]["text"] == "upstream error 403: HTTP status"
    redirected = await world.run("old", "elsewhere")
    assert isinstance(redirected, NoAnswer)
    assert redirected.reason.code == "upstream.malformed"


async def test_of_a_flood_of_questions_a_bounded_number_is_put(world: World) -> None:
    client = Client(answering=never)
    reply = await world.run_sealed(world.call("old", "flood_asks"), client)
    assert isinstance(reply, ToolReply)
    told = json.loads(reply.document["content"][0]["text"])
    assert told == [-32000] * 84
    assert len(client.asked) == 16
