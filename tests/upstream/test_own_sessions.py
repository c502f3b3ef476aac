"""Sessions that one call at a time has to itself: whose, how many and how long. And the time of a call that asks."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from gateway.adapters.upstream import own_sessions
from gateway.adapters.upstream.spec import Limits
from gateway.core.capability import ApprovalMode
from gateway.core.conversation import Ask, AskAnswer
from gateway.core.method import ASKED
from gateway.core.reply import NoAnswer, NotSent, ToolReply
from tests.upstream.client import Client, all_answered, never
from tests.upstream.world import World, at, eventually, running, talking_stdio

pytestmark = pytest.mark.anyio

TIGHT = Limits(deadline_seconds=1.0, queue_seconds=0.3, own_sessions=2, max_concurrent=2, breaker_failures=0)
ASK = {"kinds": ["elicit"]}


@pytest.fixture
async def world(talking: dict[str, int]) -> AsyncIterator[World]:
    async with running(at(talking["http-handshake"], "up", TIGHT)) as world:
        yield world


def text(document: dict[str, Any]) -> Any:
    assert document.get("isError") is not True, document
    return json.loads(document["content"][0]["text"])


async def test_a_session_is_used_again_by_its_owner_alone(talking: dict[str, int]) -> None:
    async with running(at(talking["http-handshake"], "up")) as world:

        async def again(client: Client | None = None, **who: Any) -> int:
            return int(text(await world.document("up", "again", {}, client or Client(), **who)))

        assert [await again(session_id="one") for _ in range(3)] == [1, 2, 3]
        assert await again(session_id="two") == 1
        assert await again(session_id=None) == 1
        assert await again(session_id="one", user="bob") == 1
        assert await again(Client({"sampling": {}}), session_id="one") == 1
        assert await again(Client(log_level="info"), session_id="one") == 1
        assert await again(session_id="one") == 4
        assert world.status("up").own_sessions == 6


async def test_where_there_is_no_room_the_one_that_rested_longest_goes(world: World) -> None:
    for session in ("one", "two", "three"):
        await world.document("up", "again", {}, Client(), session_id=session)
        assert world.status("up").own_sessions <= TIGHT.own_sessions
    assert text(await world.document("up", "again", {}, Client(), session_id="two")) == 2
    assert text(await world.document("up", "again", {}, Client(), session_id="one")) == 1


async def test_a_call_that_nobody_can_be_asked_in_needs_none(world: World) -> None:
    await world.document("up", "echo", {}, Client({}, progress=True))
    assert world.status("up").own_sessions == 0


async def test_where_all_are_in_use_a_further_call_is_refused_and_nothing_is_sent(world: World) -> None:
    asking = [Client(answering=never) for _ in range(2)]
    calls = [
        asyncio.create_task(world.document("up", "ask", ASK, client, user=f"user-{number}"))
        for number, client in enumerate(asking)
    ]
    await eventually(lambda: all(client.asked for client in asking))
    reply = await world.run_sealed(world.call("up", "ask", ASK), Client())
    assert isinstance(reply, NotSent)
    assert "too many calls" in reply.reason.message
    assert text(await world.document("up", "echo", {"x": 1})) == {"x": 1}  # those that ask keep nobody else waiting
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    await eventually(lambda: world.status("up").own_sessions == 0)


async def test_one_caller_cannot_have_all_of_them(world: World) -> None:
    client = Client(answering=never)
    call = asyncio.create_task(world.document("up", "ask", ASK, client, session_id="one"))
    await eventually(lambda: bool(client.asked))
    reply = await world.run_sealed(world.call("up", "ask", ASK, session_id="two"), Client())
    assert isinstance(reply, NotSent)
    assert text(await world.document("up", "ask", ASK, Client(), user="bob"))[0]["action"] == "accept"
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def test_one_that_nobody_uses_is_left_after_a_while(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_sessions, "IDLE_SECONDS", 0.05)
    await world.document("up", "ask", ASK, Client())
    await eventually(lambda: world.status("up").own_sessions == 0)


async def test_the_upstreams_time_stands_still_while_the_client_is_asked(world: World) -> None:
    async def slowly(asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        await asyncio.sleep(TIGHT.deadline_seconds * 1.5)
        return await all_answered(asks)

    document = await world.document("up", "ask", ASK, Client(answering=slowly))
    assert text(document)[0]["content"] == {"name": "Ada"}


async def test_the_upstreams_time_goes_on_after_it_was_answered(world: World) -> None:
    reply = await world.run_sealed(world.call("up", "ask", {**ASK, "then_hang": True}), Client())
    assert isinstance(reply, NoAnswer)
    assert reply.reason.code == "upstream.timeout"
    await eventually(lambda: world.status("up").own_sessions == 0)  # it is not known what such a session still does


async def test_a_tool_that_a_session_lists_otherwise_is_not_called_there() -> None:
    async with running(talking_stdio("up", "stdio-handshake-changing")) as world:
        sealed = world.call("up", "echo", capability=world.capability("up", "echo", ApprovalMode.DESTRUCTIVE))
        assert isinstance(await world.run_sealed(sealed), ToolReply)  # the shared session lists it as approved
        reply = await world.run_sealed(sealed, Client())
        assert isinstance(reply, NotSent)
        assert reply.reason.code == "tool.drifted"


@pytest.mark.parametrize("mode", ["stdio-handshake-changing", "stdio-changing"])
async def test_what_a_server_lists_to_clients_that_can_be_asked_is_what_the_gateway_lists(mode: str) -> None:
    async with running(talking_stdio("up", mode, ASKED)) as world:
        assert world.tools("up")["ask"].document["description"] == "for you"
        assert text(await world.document("up", "ask", ASK, Client()))[0]
        unasked = await world.document("up", "ask", ASK, Client({}))  # the shared session still asks nobody
        assert unasked.get("isError") is True or text(unasked) == [-32601]


async def test_a_process_that_dies_ends_its_call_alone() -> None:
    async with running(talking_stdio("up", "stdio-handshake")) as world:
        reply = await world.run_sealed(world.call("up", "die"), Client())
        assert isinstance(reply, NoAnswer)
        assert text(await world.document("up", "echo", {"x": 1})) == {"x": 1}
        assert world.status("up").restarts == 0
        assert text(await world.document("up", "ask", ASK, Client()))[0]["action"] == "accept"
