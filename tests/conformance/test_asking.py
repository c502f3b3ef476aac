"""A server that asks in the middle of a call, behind the gateway: each era in front of each era, the question is relayed.

The suite looks at this as well (`make conformance`, long); here is the shortest form of it.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult, TextContent

from tests.conformance.world import governed
from tests.running import ModernClient, RunningGateway, free_port, text

TOOL = "test_input_required_result_elicitation"
ABLE: dict[str, Any] = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
ADA: dict[str, Any] = {"action": "accept", "content": {"name": "Ada"}}


@pytest.fixture(scope="module", params=["http", "http-handshake"])
def gateway(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway in front of the everything server, which asks by `input_required` (http) or by a request."""
    with governed(tmp_path_factory.mktemp("gateway"), request.param, free_port()) as gateway:
        yield gateway
        gateway.run("log", "verify")


def asked_for(gateway: RunningGateway) -> int:
    """How many questions the log has that were answered."""
    entries = gateway.json("log", "list", "--limit", "500", "--kind", "outcome")["entries"]
    return sum("everything__elicitation/create" in json.dumps(entry) for entry in entries)


def test_a_client_of_2026_07_28_answers_and_makes_the_call_again(gateway: RunningGateway) -> None:
    before = asked_for(gateway)
    with ModernClient(gateway) as client:
        first = client.request("tools/call", {"name": TOOL, "arguments": {}}, ABLE)["result"]
        assert first["resultType"] == "input_required"
        ((key, question),) = first["inputRequests"].items()
        assert key
        assert question["method"] == "elicitation/create"
        assert question["params"]["requestedSchema"]["properties"] == {"name": {"type": "string"}}
        again = {"name": TOOL, "arguments": {}, "inputResponses": {key: ADA}, "requestState": first["requestState"]}
        second = client.request("tools/call", again, ABLE)
    assert text(second) == "Hello, Ada!"
    assert asked_for(gateway) == before + 1


@pytest.mark.anyio
async def test_a_client_of_a_handshake_version_is_asked_while_its_call_waits(gateway: RunningGateway) -> None:
    heard: list[dict[str, Any]] = []

    async def answer(context: Any, params: Any) -> ElicitResult:
        heard.append(params.requested_schema)
        return ElicitResult.model_validate(ADA)

    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=20))
        transport = streamable_http_client(gateway.url, http_client=http)
        client = await stack.enter_async_context(Client(transport, mode="legacy", elicitation_callback=answer))
        result = await client.call_tool(TOOL, {})
    assert isinstance(result.content[0], TextContent)
    assert result.content[0].text == "Hello, Ada!"
    assert [schema["properties"] for schema in heard] == [{"name": {"type": "string"}}]


def test_a_client_that_cannot_answer_is_told_so(gateway: RunningGateway) -> None:
    before = asked_for(gateway)
    with ModernClient(gateway) as client:
        answer = client.request("tools/call", {"name": TOOL, "arguments": {}})
    assert answer.get("error", {}).get("code") == -32021 or answer["result"]["isError"] is True
    assert asked_for(gateway) == before
