"""What an upstream offers beside its tools is listed, used and listened to, in every era on every transport."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.core.conversation import SILENT
from gateway.core.method import READ
from gateway.core.reply import NotSent
from tests.upstream.world import World, at, eventually, over_sse, raw_stdio, running, talking_stdio

pytestmark = pytest.mark.anyio

ALL = ("hand-stdio", "hand-http", "sse", "mod-stdio", "mod-http")


@pytest.fixture(scope="module")
async def world(talking: dict[str, int]) -> AsyncIterator[World]:
    stdio = (raw_stdio(), talking_stdio("mod-stdio", "stdio"), talking_stdio("hand-stdio", "stdio-handshake"))
    web = at(talking["http"], "mod-http"), at(talking["http-handshake"], "hand-http"), over_sse(talking["sse"], "sse")
    async with running(*stdio, *web) as world:
        yield world


async def touch(world: World, name: str, uri: str) -> Any:
    return json.loads((await world.document(name, "touch", {"uri": uri}))["content"][0]["text"])


@pytest.mark.parametrize("name", ALL)
async def test_all_pages_of_all_lists_are_offered(world: World, name: str) -> None:
    surface = world.surfaces[name]
    assert [item["uri"] for item in surface.resources] == ["test://one", "test://two"]
    assert [item["uriTemplate"] for item in surface.templates] == ["test://item/{id}"]
    assert [item["name"] for item in surface.prompts] == ["greet", "asking"]
    assert surface.methods == READ


async def test_what_is_not_declared_is_not_asked_for(world: World) -> None:
    assert "raw" not in world.surfaces
    assert world.status("raw").state == "up"


@pytest.mark.parametrize("name", ALL)
async def test_resources_prompts_and_completions_are_read_and_nothing_forged_comes_along(world: World, name: str) -> None:
    read = await world.document(name, "resources/read", {"uri": "test://one"})
    assert read["contents"][0] == {"uri": "test://one", "text": "read"} | read["contents"][0]
    assert read["_meta"].get("vendor") == 1
    assert not [key for key in read["_meta"] if key.startswith("dev.sealgate/")]
    got = await world.document(name, "prompts/get", {"name": "greet", "arguments": {"who": "Ada"}})
    assert json.loads(got["messages"][0]["content"]["text"]) == {"who": "Ada"}
    reference = {"type": "ref/prompt", "name": "greet"}
    completed = await world.document(
        name, "completion/complete", {"ref": reference, "argument": {"name": "who", "value": "A"}}
    )
    assert completed["completion"]["values"] == ["A!"]


@pytest.mark.parametrize("name", ALL)
async def test_an_error_of_the_upstream_keeps_its_code_and_data(world: World, name: str) -> None:
    document = await world.document(name, "resources/read", {"uri": "test://nowhere"})
    error = {"code": -32602, "message": "no such resource", "data": {"uri": "test://nowhere"}}
    assert document == {"isError": True, "error": error}
    document = await world.document(name, "missing")
    assert document["isError"] is True
    assert document["error"]["code"] == -32021
    assert document["error"]["data"] == {"requiredCapabilities": {"sampling": {}}}
    assert document["content"][0]["text"] == "upstream error -32021: needs sampling"


@pytest.mark.parametrize("name", ALL)
async def test_a_list_that_is_said_to_have_changed_is_announced_even_where_nothing_differs(world: World, name: str) -> None:
    before = world.announced.count((name, "prompts"))
    await world.document(name, "relist")
    await eventually(lambda: world.announced.count((name, "prompts")) > before)
    assert world.surfaces[name].prompts


@pytest.mark.parametrize("name", ALL)
async def test_subscriptions_are_counted_and_their_events_told(world: World, name: str) -> None:
    uri = "test://one"
    for _ in range(2):
        assert await world.document(name, "resources/subscribe", {"uri": uri}) == {}
    assert await world.document(name, "resources/subscribe", {"uri": "test://two"}) == {}
    assert world.status(name).subscriptions == 2
    await touch(world, name, uri)
    await eventually(lambda: (name, uri) in world.updated)
    await world.upstreams.unsubscribe(name, uri)
    world.updated.clear()
    await touch(world, name, uri)
    await eventually(lambda: (name, uri) in world.updated)
    await world.upstreams.unsubscribe(name, uri)
    assert world.status(name).subscriptions == 1
    world.updated.clear()
    await touch(world, name, uri)
    await touch(world, name, "test://two")
    await eventually(lambda: (name, "test://two") in world.updated)
    assert (name, uri) not in world.updated
    await world.upstreams.unsubscribe(name, "test://two")


@pytest.mark.parametrize("mode", ["stdio", "stdio-handshake"])
async def test_a_subscription_outlives_the_session(mode: str) -> None:
    async with running(talking_stdio("up", mode)) as world:
        assert await world.document("up", "resources/subscribe", {"uri": "test://one"}) == {}
        reply = await world.run_sealed(world.call("up", "die"), SILENT)
        assert not isinstance(reply, NotSent)
        await world.is_up("up", restarts=1)
        await eventually(lambda: world.updated == [("up", "test://one")])  # it may have changed meanwhile
        await touch(world, "up", "test://one")
        await eventually(lambda: world.updated == [("up", "test://one")] * 2)


async def test_a_subscription_that_the_upstream_refuses_is_an_error_and_none(world: World) -> None:
    document = await world.document("raw", "resources/subscribe", {"uri": "test://one"})
    assert document == {"isError": True, "error": {"code": -32601, "message": "Method not found"}}
    assert world.status("raw").subscriptions == 0
