"""A client of either era, through a whole gateway, with a server of either era on every transport.

What the one asks, the other answers, and all of it stands in the log.
"""

import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.running import NO_AUTHORITIES, RunningGateway
from tests.upstream.world import SERVERS

pytestmark = pytest.mark.anyio

UPSTREAMS = ("hand-stdio", "hand-http", "old-sse", "mod-stdio", "mod-http")
CLIENTS = {"handshake": "legacy", "modern": "2026-07-28"}
CONFIGURATION = """
mcpServers:
  hand-stdio: {{command: {python}, args: ["{server}", stdio-handshake]}}
  hand-http: {{url: "http://127.0.0.1:{handshake}/mcp"}}
  old-sse: {{url: "http://127.0.0.1:{sse}/mcp", type: sse}}
  mod-stdio: {{command: {python}, args: ["{server}", stdio]}}
  mod-http: {{url: "http://127.0.0.1:{http}/mcp"}}
tools:
  - {{match: "*__elicitation/create", mode: read_only, owner: ops, trust: trusted}}
  - {{match: "*__sampling/createMessage", mode: read_only, owner: ops, trust: trusted}}
  - {{match: "*__*", mode: read_only, owner: ops, trust: trusted}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, talking: dict[str, int]) -> Iterator[RunningGateway]:
    gateway = RunningGateway(tmp_path_factory.mktemp("any"))
    ports = {mode.replace("http-handshake", "handshake"): port for mode, port in talking.items()}
    gateway.configure(CONFIGURATION.format(python=sys.executable, server=SERVERS / "talking_server.py", **ports))
    gateway.start()
    try:
        gateway.approve_tools()
        yield gateway
        gateway.run("log", "verify")
    finally:
        gateway.stop()


@asynccontextmanager
async def connected(gateway: RunningGateway, mode: Any) -> AsyncIterator[Client]:
    """An SDK client that answers everything it is asked."""

    async def elicited(context: Any, params: Any) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"name": params.message})

    async def sampled(context: Any, params: Any) -> types.CreateMessageResult:
        return types.CreateMessageResult(role="assistant", content=types.TextContent(text="hi"), model="m")

    async def rooted(context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root.model_validate({"uri": "file:///srv"})])

    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, verify=NO_AUTHORITIES) as http:
        transport = streamable_http_client(gateway.url, http_client=http)
        callbacks = {
            "elicitation_callback": elicited,
            "sampling_callback": sampled,
            "list_roots_callback": rooted,
        }
        async with Client(transport, mode=mode, cache=None, **callbacks) as client:  # type: ignore[arg-type]
            yield client


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("era", CLIENTS)
async def test_any_client_answers_any_server(gateway: RunningGateway, era: str, upstream: str) -> None:
    steps: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with connected(gateway, CLIENTS[era]) as client:
        asked = await client.call_tool(f"{upstream}__ask", {"kinds": ["elicit", "sample", "roots"], "for": era})
        await client.call_tool(f"{upstream}__progress", {"for": era}, progress_callback=on_progress)
        prompts = [prompt.name for prompt in (await client.list_prompts()).prompts]
        prompt = await client.get_prompt(f"{upstream}__greet", {"who": era})
    told = json.loads(asked.content[0].text)  # type: ignore[union-attr]
    answers = list(told[0].values()) if upstream.startswith("mod") else told
    elicited, sampled, *rest = answers
    assert elicited == {"action": "accept", "content": {"name": f"{upstream}: who?"}}  # a form begins with who asks
    assert sampled["content"]["text"] == "hi"
    assert rest in ([], [-32601])  # no rule lets a server ask for roots
    assert steps == [1.0, 2.0, 3.0]
    assert f"{upstream}__greet" in prompts
    assert json.loads(prompt.messages[0].content.text) == {"who": era}  # type: ignore[union-attr]


async def test_what_was_asked_stands_in_the_log(gateway: RunningGateway) -> None:
    async with connected(gateway, "legacy") as client:
        await client.call_tool("mod-http__ask", {"kinds": ["elicit"], "for": "the log"})
        await client.read_resource("test://one")
    names = gateway.run("log", "list").stdout
    assert "mod-http__elicitation/create" in names
    assert "hand-stdio__resources/read" in names  # the first in the configuration that offers it
    assert "roots/list" not in names
