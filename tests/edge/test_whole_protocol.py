"""What is no tool: read, got, completed, told and asked through the gateway, by the official client in both eras."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    PromptReference,
    RequestParamsMeta,
    ResourceUpdatedNotification,
    Root,
    TextContent,
    TextResourceContents,
)
from pydantic import FileUrl

from gateway.core.entry import Kind
from tests.edge.box import Box
from tests.edge.talking import in_front_of_it
from tests.running import RunningGateway

OUTCOME = "dev.sealgate/outcome"
MODES = ["auto", "legacy"]
INFORMED = cast("RequestParamsMeta", {"io.modelcontextprotocol/logLevel": "info"})
CONFIG = """
mcpServers: {talk: {url: "http://127.0.0.1:PORT/mcp"}, other: {url: "http://127.0.0.1:PORT/mcp"}}
upstreams: {talk: {names: bare}}
tools:
  - {match: talk__*, mode: read_only, trust: trusted, owner: test}
  - {match: ["talk__elicitation/create", "talk__sampling/*", "talk__roots/list"], mode: read_only, owner: test}
  - {match: other__prompts/get, mode: destructive, owner: test}
"""

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with in_front_of_it(tmp_path_factory.mktemp("whole"), CONFIG) as gateway:
        yield gateway


@asynccontextmanager
async def client_of(gateway: RunningGateway, mode: Any, **callbacks: Any) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(gateway.url, http_client=http), mode=mode, cache=None, **callbacks) as client,
    ):
        yield client


def last_entry(gateway: RunningGateway, capability: str) -> Any:
    """The newest entry about that capability."""
    entries = (entry for entry in Box(gateway, gateway.folder).entries() if entry.kind is not Kind.BOOT)
    return [entry for entry in entries if (entry.predicate.get("capability") or {}).get("capability_id") == capability][-1]


async def ask_all(client: Client) -> list[Any]:
    result = await client.call_tool("ask", {"kinds": ["elicit", "sample", "roots"]})
    assert isinstance(result.content[0], TextContent)
    told: list[Any] = json.loads(result.content[0].text)
    return told


@pytest.mark.parametrize("mode", MODES)
async def test_a_resource_is_listed_and_read_and_the_reading_is_in_the_log(gateway: RunningGateway, mode: str) -> None:
    async with client_of(gateway, mode) as client:
        listed = await client.list_resources()
        templates = await client.list_resource_templates()
        read = [await client.read_resource(uri) for uri in ("test://one", "test://item/7")]
    assert [resource.uri for resource in listed.resources] == ["test://one", "test://two"]
    assert [template.uri_template for template in templates.resource_templates] == ["test://item/{id}"]
    for result in read:
        assert isinstance(result.contents[0], TextResourceContents)
        assert result.contents[0].text == "read"
        assert result.meta is not None
        assert result.meta[OUTCOME] == {"outcome": "completed"}
    entry = last_entry(gateway, "talk__resources/read")
    assert entry.id == read[-1].meta["dev.sealgate/receipt"]["envelope_id"]  # type: ignore[index]
    assert "test://item/7" not in json.dumps(entry.predicate)


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_not_there_is_an_error_with_its_uri(gateway: RunningGateway, mode: str) -> None:
    async with client_of(gateway, mode) as client:
        with pytest.raises(MCPError) as theirs:
            await client.read_resource("test://nowhere")
        with pytest.raises(MCPError) as ours:
            await client.get_prompt("nothing")
    assert theirs.value.code == (-32002 if mode == "legacy" else -32602)
    assert theirs.value.data["uri"] == "test://nowhere"
    assert "dev.sealgate/receipt" in theirs.value.data
    assert ours.value.code == -32602
    assert "dev.sealgate/receipt" in ours.value.data


@pytest.mark.parametrize("mode", MODES)
async def test_prompts_are_got_and_completed_by_the_name_they_are_listed_under(gateway: RunningGateway, mode: str) -> None:
    async with client_of(gateway, mode) as client:
        names = [prompt.name for prompt in (await client.list_prompts()).prompts]
        got = await client.get_prompt("greet", {"who": "Ann"})
        completed = await client.complete(PromptReference(name="greet"), {"name": "who", "value": "A"})
    assert names == ["asking", "greet", "other__asking", "other__greet"]
    assert isinstance(got.messages[0].content, TextContent)
    assert json.loads(got.messages[0].content.text) == {"who": "Ann"}
    assert completed.completion.values == ["A!"]


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_rule_makes_destructive_waits_for_a_person(gateway: RunningGateway, mode: str) -> None:
    async with client_of(gateway, mode) as client:
        with pytest.raises(MCPError) as refused:
            await client.get_prompt("other__greet", {"who": mode})
        assert refused.value.data[OUTCOME]["outcome"] == "awaiting_approval"
        gateway.run("approvals", "approve", refused.value.data[OUTCOME]["approval_id"], "--yes")
        got = await client.get_prompt("other__greet", {"who": mode})
    assert isinstance(got.messages[0].content, TextContent)
    assert json.loads(got.messages[0].content.text) == {"who": mode}


@pytest.mark.parametrize("mode", MODES)
async def test_progress_and_log_messages_come_before_the_result(gateway: RunningGateway, mode: str) -> None:
    told: list[float] = []
    logged: list[str] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(progress)

    async def log(params: Any) -> None:
        logged.append(params.level)

    async with client_of(gateway, mode, logging_callback=log) as client:
        await client.call_tool("progress", {}, progress_callback=on_progress)
        silent = list(logged)
        if mode == "legacy":
            await client.set_logging_level("info")
            await client.call_tool("log", {})
        else:
            await client.call_tool("log", {}, meta=INFORMED)
    assert told == [1, 2, 3]
    assert (silent, logged) == ([], ["info", "error"])


@pytest.mark.parametrize("mode", MODES)
async def test_a_server_asks_the_client_where_rules_let_it(gateway: RunningGateway, mode: str) -> None:
    asked: list[str] = []

    async def elicit(context: Any, params: Any) -> ElicitResult:
        asked.append(params.message)
        return ElicitResult(action="accept", content={"name": "Ann"})

    async def sample(context: Any, params: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", model="m", content=TextContent(text="hi"))

    async def roots(context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=FileUrl("file:///srv"))])

    callbacks = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
    async with client_of(gateway, mode, **callbacks) as client:
        told = await ask_all(client)
    assert asked == ["talk: who?"]
    for said in ('"Ann"', '"hi"', "file:///srv"):
        assert said in json.dumps(told)
    for method in ("elicitation/create", "sampling/createMessage", "roots/list"):
        assert last_entry(gateway, f"talk__{method}").predicate["result"]["status"] == "completed"


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_is_told_of_a_resource_that_it_subscribed_to(gateway: RunningGateway, mode: str) -> None:
    updated = asyncio.Event()

    async def heard(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification) and message.params.uri == "test://one":
            updated.set()

    async with client_of(gateway, mode, message_handler=heard) as client:
        if mode == "legacy":
            await client.subscribe_resource("test://one")
            await _touched(client, updated)
            return
        async with client.listen(resource_subscriptions=["test://one", "other://x"]) as stream:
            assert stream.honored.resource_subscriptions == ["test://one"]
            touching = asyncio.create_task(_touched(client, updated))
            async for event in stream:
                assert event == ResourceUpdated(uri="test://one")
                updated.set()
                break
            await touching


async def _touched(client: Client, updated: asyncio.Event) -> None:
    """Until the client was told: the gateway's own subscription may come a moment later than the client's."""
    async with asyncio.timeout(20):
        while not updated.is_set():
            await client.call_tool("touch", {"uri": "test://one"})
            try:
                async with asyncio.timeout(0.2):
                    await updated.wait()
            except TimeoutError:
                continue


@pytest.mark.parametrize("mode", MODES)
async def test_what_is_no_tool_is_none(gateway: RunningGateway, mode: str) -> None:
    async with client_of(gateway, mode) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert not any("/" in name for name in names)
        for name in ("talk__resources/read", "talk__sampling/createMessage"):
            with pytest.raises(MCPError) as refused:
                await client.call_tool(name, {"uri": "test://one"})
            assert refused.value.code == -32602
