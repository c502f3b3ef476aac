"""Clients that others wrote, in front of the gateway: each lists the tools, calls one, is told why another was denied, and
reads a resource.

The TypeScript SDKs (1.x over HTTP and stdio, 2.x in both eras), the Python SDK in both eras, FastMCP's client in both eras
and the MCP Inspector. All of them read the same server behind one gateway.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextResourceContents

from tests.running import PATIENT, REPOSITORY, RunningGateway, running

pytestmark = [pytest.mark.node, pytest.mark.peers]

READ: dict[str, Any] = {"name": "everything__test_simple_text", "arguments": {}}
DENIED: dict[str, Any] = {"name": "everything__greet", "arguments": {"name": "you"}}
RESOURCE = "test://static-text"
RESOURCE_TEXT = "What this resource always says."
TOOL_ERROR = 5
"""What the Inspector ends with where a tool's result is an error."""
CONFIG = f"""
mcpServers:
  everything: {{command: {sys.executable}, args: [-m, tests.conformance.everything, stdio], cwd: {REPOSITORY}}}
tools:
  - {{match: {READ["name"]}, mode: read_only, trust: trusted}}
  - {{match: {DENIED["name"]}, mode: delegated, trust: trusted}}
"""


@dataclass(frozen=True)
class Reach:
    """The gateway, and the programs of others."""

    gateway: RunningGateway
    npm: Path
    pypi: Path
    home: Path

    @property
    def plan(self) -> dict[str, Any]:
        """What every client is told to do."""
        return {"url": self.gateway.url, "token": self.gateway.token, "read": READ, "denied": DENIED, "resource": RESOURCE}

    def run(self, *command: str, ends_with: int = 0) -> Any:
        """A program to its end; the JSON that it prints."""
        path = f"{self.npm / '.bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            env={**os.environ, "HOME": str(self.home), "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == ends_with, done.stderr + done.stdout
        return json.loads(done.stdout)


Seen = dict[str, Any]


def typescript(reach: Reach, sdk: int, **more: Any) -> Seen:
    """What a TypeScript SDK saw."""
    script = str(REPOSITORY / "tests" / "node" / "sdk_client.mjs")
    plan = {**reach.plan, "sdk": sdk, **more}
    seen: Seen = reach.run(str(reach.npm / ".bin" / "node"), script, json.dumps(plan))
    return seen


def typescript_stdio(reach: Reach, sdk: int, **more: Any) -> Seen:
    """As a client that starts its servers itself: `sealgate serve --stdio` relays to the running gateway."""
    arguments = ["-m", "gateway", "serve", "--stdio", "--config", str(reach.gateway.folder / "gateway.yaml")]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), **PATIENT}
    return typescript(reach, sdk, url=None, command=sys.executable, args=arguments, env=env, **more)


def fastmcp(reach: Reach, mode: str) -> Seen:
    script = str(REPOSITORY / "tests" / "peers" / "fastmcp_client.py")
    seen: Seen = reach.run(str(reach.pypi / "python"), script, json.dumps({**reach.plan, "mode": mode}))
    return seen


def inspector(reach: Reach, era: str) -> Seen:
    """Three runs of its command line."""

    def ask(*arguments: str, ends_with: int = 0) -> Any:
        return reach.run(
            str(reach.npm / ".bin" / "mcp-inspector"),
            *("--cli", reach.gateway.url, "--transport", "http", "--header", f"Authorization: Bearer {reach.gateway.token}"),
            *("--protocol-era", era, "--method", *arguments),
            ends_with=ends_with,
        )

    def call(tool: str, *arguments: str, ends_with: int = 0) -> Seen:
        answer = ask("tools/call", "--tool-name", tool, *arguments, ends_with=ends_with)
        text = "\n".join(block.get("text", "") for block in answer["content"])
        return {"text": text, "isError": answer.get("isError", False), "meta": answer.get("_meta")}

    return {
        "tools": [tool["name"] for tool in ask("tools/list")["tools"]],
        "read": call(READ["name"]),
        "denied": call(DENIED["name"], "--tool-arg", "name=you", ends_with=TOOL_ERROR),
        "resource": ask("resources/read", "--uri", RESOURCE)["contents"][0]["text"],
    }


def python(reach: Reach, mode: Any) -> Seen:
    """The Python SDK, in this process."""

    async def see() -> Seen:
        headers = {"Authorization": f"Bearer {reach.gateway.token}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20) as http,
            Client(streamable_http_client(reach.gateway.url, http_client=http), mode=mode) as client,
        ):
            seen: Seen = {"tools": [tool.name for tool in (await client.list_tools()).tools]}
            for step, call in {"read": READ, "denied": DENIED}.items():
                result = await client.call_tool(**call)
                text = "\n".join(getattr(block, "text", "") for block in result.content)
                seen[step] = {"text": text, "isError": bool(result.is_error), "meta": result.meta}
            (content,) = (await client.read_resource(RESOURCE)).contents
            assert isinstance(content, TextResourceContents)
            return {**seen, "resource": content.text}

    return asyncio.run(see())


IN_SHORT: dict[str, Callable[[Reach], Seen]] = {
    "typescript 1.x, http": lambda reach: typescript(reach, 1),
    "typescript 2.x, http, handshake": lambda reach: typescript(reach, 2),
    "typescript 2.x, http, 2026-07-28": lambda reach: typescript(reach, 2, pin="2026-07-28"),
    "python, handshake": lambda reach: python(reach, "legacy"),
    "python, 2026-07-28": lambda reach: python(reach, "2026-07-28"),
    "fastmcp, 2026-07-28": lambda reach: fastmcp(reach, "2026-07-28"),
}
IN_LENGTH: dict[str, Callable[[Reach], Seen]] = {
    "typescript 1.x, stdio": lambda reach: typescript_stdio(reach, 1),
    "typescript 2.x, stdio, 2026-07-28": lambda reach: typescript_stdio(reach, 2, pin="2026-07-28"),
    "fastmcp, handshake": lambda reach: fastmcp(reach, "legacy"),
    "inspector, handshake": lambda reach: inspector(reach, "legacy"),
    "inspector, 2026-07-28": lambda reach: inspector(reach, "modern"),
}


@pytest.fixture(scope="module")
def reach(node_modules: Path, peer_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reach]:
    """One gateway for all clients. At the end its log must verify."""
    with running(tmp_path_factory.mktemp("gateway"), CONFIG) as gateway:
        yield Reach(gateway, node_modules, peer_programs, tmp_path_factory.mktemp("home"))
        gateway.run("log", "verify")


@pytest.mark.parametrize("client", IN_SHORT)
def test_a_client_lists_and_calls_and_is_told_why_it_was_denied(reach: Reach, client: str) -> None:
    assert_governed(IN_SHORT[client](reach))


@pytest.mark.long
@pytest.mark.parametrize("client", IN_LENGTH)
def test_a_client_that_takes_its_time_does_so_too(reach: Reach, client: str) -> None:
    assert_governed(IN_LENGTH[client](reach))


def assert_governed(seen: Seen) -> None:
    """The tools that are allowed, the answer of one, the refusal of the other with its reason, and a resource."""
    assert sorted(seen["tools"]) == sorted([DENIED["name"], READ["name"]])
    assert (seen["read"]["text"], seen["read"]["isError"]) == ("A plain answer of one line.", False)
    assert seen["denied"]["isError"] is True
    assert "[delegation.missing]" in seen["denied"]["text"]
    assert seen["denied"]["meta"]["dev.sealgate/outcome"] == {"outcome": "denied", "reasons": ["delegation.missing"]}
    assert seen["resource"] == RESOURCE_TEXT
