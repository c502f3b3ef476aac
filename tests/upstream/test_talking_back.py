"""What an upstream says and asks in the middle of a call reaches that call's client, in every era on every transport."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from gateway.core.conversation import Ask, AskAnswer, NotAnswered
from tests.upstream.client import ANSWERS, Client, all_answered, never
from tests.upstream.world import PATIENCE_SECONDS, World, at, eventually, over_sse, running, talking_stdio

pytestmark = pytest.mark.anyio

HANDSHAKE, MODERN = ("hand-stdio", "hand-http", "sse"), ("mod-stdio", "mod-http")
ALL = (*HANDSHAKE, *MODERN)
KINDS = {"elicit": "elicitation/create", "sample": "sampling/createMessage", "roots": "roots/list"}


@pytest.fixture(scope="module")
async def world(talking: dict[str, int]) -> AsyncIterator[World]:
    stdio = (talking_stdio("mod-stdio", "stdio"), talking_stdio("hand-stdio", "stdio-handshake"))
    web = at(talking["http"], "mod-http"), at(talking["http-handshake"], "hand-http"), over_sse(talking["sse"], "sse")
    async with running(*stdio, *web) as world:
        yield world


def text(document: dict[str, Any]) -> Any:
    assert document.get("isError") is not True, document
    return json.loads(document["content"][0]["text"])


@pytest.mark.parametrize("name", ALL)
async def test_each_era_is_what_it_is_here_for(world: World, name: str) -> None:
    assert world.status(name).protocol == ("2026-07-28" if name in MODERN else "2025-11-25")


@pytest.mark.parametrize("name", ALL)
async def test_progress_reaches_the_client_that_wants_it_without_our_token(world: World, name: str) -> None:
    client = Client({}, progress=True)
    await world.document(name, "progress", {}, client)
    steps = [{"progress": step, "total": 3, "message": "going"} for step in (1, 2, 3)]
    assert client.told == [("notifications/progress", step) for step in steps]
    silent = Client({})
    await world.document(name, "progress", {}, silent)
    assert silent.told == []


@pytest.mark.parametrize("name", ALL)
async def test_log_messages_reach_the_client_that_wants_them(world: World, name: str) -> None:
    client = Client({}, log_level="info")
    await world.document(name, "log", {}, client)
    assert [params["data"] for _, params in client.told if params["level"] != "debug"] == ["at info", "at error"]
    assert {method for method, _ in client.told} == {"notifications/message"}
    silent = Client({})
    await world.document(name, "log", {}, silent)
    assert silent.told == []


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", KINDS)
async def test_what_an_upstream_asks_is_answered_by_the_client(world: World, name: str, kind: str) -> None:
    client = Client()
    document = await world.document(name, "ask", {"kinds": [kind]}, client)
    (asks,) = client.asked
    (ask,) = asks.values()
    assert ask.method == KINDS[kind]
    if kind == "elicit":
        assert ask.params["message"] == "who?"
        assert ask.params["requestedSchema"]["required"] == ["name"]
    expected = ANSWERS[KINDS[kind]]
    given = text(document)
    answer = given[0] if name in HANDSHAKE else given[0][f"{kind}-0"]
    assert expected.items() <= answer.items() or answer["roots"][0]["uri"] == "file:///srv"


@pytest.mark.parametrize("name", MODERN)
async def test_several_questions_over_several_rounds_go_back_with_the_state_as_it_was(world: World, name: str) -> None:
    client = Client()
    rounds = text(await world.document(name, "ask", {"kinds": ["elicit", "sample", "roots"], "rounds": 3}, client))
    assert [sorted(asks) for asks in client.asked] == [["elicit-0", "roots-2", "sample-1"]] * 3
    assert [sorted(given) for given in rounds] == [
        ["elicit-0", "roots-2", "sample-1"]
    ] * 3  # the server reads it in its state


@pytest.mark.parametrize("name", MODERN)
async def test_a_state_without_questions_is_just_sent_again(world: World, name: str) -> None:
    client = Client()
    assert text(await world.document(name, "ask", {"kinds": [], "rounds": 2}, client)) == [{}, {}]
    assert client.asked == []


@pytest.mark.parametrize("name", MODERN)
async def test_an_upstream_that_asks_for_ever_is_given_up(world: World, name: str) -> None:
    document = await world.document(name, "ask", {"kinds": [], "rounds": 1000}, Client())
    assert document["isError"] is True
    assert "again and again" in document["content"][0]["text"]


@pytest.mark.parametrize("name", MODERN)
async def test_questions_that_the_client_leaves_out_are_left_out(world: World, name: str) -> None:
    async def one(asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        return {"elicit-0": ANSWERS["elicitation/create"], "sample-1": NotAnswered(-1, "no")}

    rounds = text(await world.document(name, "ask", {"kinds": ["elicit", "sample", "roots"]}, Client(answering=one)))
    assert [list(given) for given in rounds] == [["elicit-0"]]


@pytest.mark.parametrize("name", ALL)
async def test_where_nobody_answers_the_upstream_and_the_caller_are_told(world: World, name: str) -> None:
    async def nobody(asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        return {}

    document = await world.document(name, "ask", {"kinds": ["elicit"]}, Client(answering=nobody))
    if name in MODERN:
        assert "nobody answered" in document["content"][0]["text"]
    else:
        assert text(document) == [{"action": "cancel"}]
        assert text(await world.document(name, "ask", {"kinds": ["sample"]}, Client(answering=nobody))) == [-1]


@pytest.mark.parametrize("name", ALL)
async def test_the_upstream_sees_what_this_client_can_do_and_nothing_else_is_asked(world: World, name: str) -> None:
    assert sorted(text(await world.document(name, "who", {}, Client({"sampling": {}})))) == ["sampling"]
    assert text(await world.document(name, "who", {}, Client({}))) == {}
    client = Client({"sampling": {}})
    document = await world.document(name, "ask", {"kinds": ["elicit"]}, client)
    assert client.asked == []
    assert document.get("isError") is True or text(document) == [-32601]


async def test_the_rest_of_a_stream_that_the_upstream_ended_is_fetched(world: World) -> None:
    client = Client(log_level="debug")
    document = await world.document("hand-http", "cut", {"kinds": ["elicit"]}, client)
    assert text(document)[0]["content"] == {"name": "Ada"}
    assert [params["data"] for _, params in client.told] == ["before"]


@pytest.mark.parametrize("name", MODERN)
async def test_a_prompt_may_ask_as_well(world: World, name: str) -> None:
    document = await world.document(name, "prompts/get", {"name": "asking"}, Client())
    (given,) = json.loads(document["messages"][0]["content"]["text"])
    assert given["elicit-0"]["content"] == {"name": "Ada"}


@pytest.mark.parametrize("name", HANDSHAKE)
async def test_a_call_cancelled_while_it_asks_is_cancelled_upstream_and_nothing_is_left(world: World, name: str) -> None:
    client = Client(answering=never)
    cancelled = text(await world.document(name, "waits"))
    call = asyncio.create_task(world.document(name, "ask", {"kinds": ["elicit"]}, client, session_id="c"))
    await eventually(lambda: bool(client.asked))
    before = world.status(name).own_sessions
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: world.status(name).own_sessions == before - 1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while name != "hand-stdio" and text(await world.document(name, "waits")) == cancelled:  # that one's process is gone
            pass
    assert text(await world.document(name, "echo", {"x": 1})) == {"x": 1}


@pytest.mark.parametrize("name", MODERN)
async def test_a_modern_call_cancelled_while_it_asks_leaves_nothing(world: World, name: str) -> None:
    client = Client(answering=never)
    call = asyncio.create_task(world.document(name, "ask", {"kinds": ["elicit"]}, client))
    await eventually(lambda: bool(client.asked))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert text(await world.document(name, "echo", {"x": 1})) == {"x": 1}


@pytest.mark.parametrize("name", ALL)
async def test_callers_at_once_never_get_each_others_questions(world: World, name: str) -> None:
    async def one(number: int) -> None:
        user = f"user-{number % 2}"

        async def answering(asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
            await asyncio.sleep(0)
            return await all_answered(asks)

        client = Client({"elicitation": {}}, answering, progress=True)
        question = f"from {number}"
        for _ in range(2):
            await world.document(name, "ask", {"kinds": ["elicit"], "question": question}, client, user=user)
        assert [ask.params["message"] for asks in client.asked for ask in asks.values()] == [question] * 2

    await asyncio.gather(*(one(number) for number in range(5)))
