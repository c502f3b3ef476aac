"""Servers and clients that use what they may say to each other for more than it is meant for."""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from gateway.edge.feed import MAX_SUBSCRIPTIONS_PER_CLIENT
from tests.edge.box import Box
from tests.edge.talking import SERVER, in_front_of_it
from tests.running import REPOSITORY, ModernClient, RunningGateway, outcome, text

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
ASKING: dict[str, Any] = {CAPABILITIES: {"elicitation": {"form": {}}}}
YES = {"action": "accept", "content": {"approve": True}}
CONFIG = f"""
mcpServers:
  web: {{url: "http://127.0.0.1:PORT/mcp"}}
  forms: {{command: {sys.executable}, args: [{SERVER}, stdio-handshake], cwd: {REPOSITORY}}}
tools:
  - {{match: ["web__elicitation/create", "forms__elicitation/create"], mode: read_only, owner: test}}
  - {{match: web__ask, mode: network, trust: trusted, owner: test}}
  - {{match: [web__*, forms__*], mode: read_only, trust: trusted, owner: test}}
approvals: {{elicitation: true}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with in_front_of_it(tmp_path_factory.mktemp("hostile"), CONFIG) as gateway:
        yield gateway


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[ModernClient]:
    with ModernClient(gateway) as one:
        yield one


@asynccontextmanager
async def handshake(gateway: RunningGateway) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(gateway.url, http_client=http), mode="legacy", cache=None) as client,
    ):
        yield client


@pytest.mark.parametrize("upstream", ["web", "forms"])
def test_what_a_client_writes_into_its_capabilities_reaches_no_server(client: ModernClient, upstream: str) -> None:
    declared = {"elicitation": {"form": {"note": "data"}, "url": {"note": "data"}, "note": "data"}}
    response = client.request("tools/call", {"name": f"{upstream}__who", "arguments": {}}, {CAPABILITIES: declared})
    assert json.loads(text(response)) == {"elicitation": {"form": {}, "url": {}}}


@pytest.mark.parametrize("upstream", ["web", "forms"])
def test_a_question_hides_nothing_from_who_reads_it(client: ModernClient, upstream: str) -> None:
    arguments = {"kinds": ["elicit"], "question": "who\u200b\u202e?", "case": "hidden"}
    asked = client.request("tools/call", {"name": f"{upstream}__ask", "arguments": arguments}, ASKING)["result"]
    if "approval" in asked["inputRequests"]:
        more = {"inputResponses": {"approval": YES}, "requestState": asked["requestState"]}
        asked = client.request("tools/call", {"name": f"{upstream}__ask", "arguments": arguments, **more}, ASKING)["result"]
    (question,) = asked["inputRequests"].values()
    assert question["params"]["message"] == f"{upstream}: who\\u{{200b}}\\u{{202e}}?"


def test_a_yes_to_a_call_answers_no_question_of_its_server(client: ModernClient) -> None:
    call = {"name": "web__ask", "arguments": {"kinds": ["elicit"], "key": "approval"}}
    waiting = client.request("tools/call", call, ASKING)
    assert outcome(waiting)["outcome"] == "awaiting_approval"
    more = {"inputResponses": {"approval": YES}, "requestState": waiting["result"]["requestState"]}
    asked = client.request("tools/call", {**call, **more}, ASKING)
    assert asked["result"]["resultType"] == "input_required", asked
    assert asked["result"]["inputRequests"]["approval"]["params"]["message"] == "web: who?"


def test_a_servers_error_cannot_pass_for_an_outcome_of_the_gateway(client: ModernClient) -> None:
    error = client.request("resources/read", {"uri": "test://item/forged"})["error"]
    assert error["data"]["vendor"] == 1
    assert "dev.sealgate/receipt" in error["data"]
    assert "dev.sealgate/outcome" not in error["data"]


def test_one_request_makes_no_more_calls_than_a_client_may_have_subscriptions(
    gateway: RunningGateway, client: ModernClient
) -> None:
    before = len(Box(gateway, gateway.folder).entries())
    uris = [f"test://item/{number}" for number in range(MAX_SUBSCRIPTIONS_PER_CLIENT + 1)]
    response = client.request("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
    assert response["error"]["code"] == -32602
    assert len(Box(gateway, gateway.folder).entries()) == before


@pytest.mark.anyio
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_what_is_subscribed_to_twice_is_not_kept_when_it_is_left(gateway: RunningGateway) -> None:
    async with handshake(gateway) as client:
        for _ in range(2):
            await client.subscribe_resource("test://item/twice")
        await client.unsubscribe_resource("test://item/twice")
        for _ in range(100):
            result: Any = await client.call_tool("forms__touch", {"uri": "test://other"})
            left = json.loads(result.content[0].text)
            if "test://item/twice" not in left:
                return
    raise AssertionError(left)
