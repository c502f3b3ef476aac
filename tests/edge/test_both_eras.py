"""A call works and is recorded the same in both eras, over HTTP, the daemon's socket and stdio."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent

from gateway.adapters.keys import load_trusted_keys, make_keys
from tests.edge.box import Box, configured
from tests.edge.clients import HandshakeClient, LineClient, on_socket, on_stdio
from tests.running import ModernClient, outcome, text

Request = Callable[[str, dict[str, Any]], dict[str, Any]]
RECEIPT = "dev.sealgate/receipt"


@contextmanager
def connected(box: Box, how: str, folder: Path) -> Iterator[Request]:
    """A client of that transport and era, as a function that makes one request."""
    transport, era = how.split()
    if transport == "http":
        with ModernClient(box.gateway) if era == "modern" else HandshakeClient(box.gateway) as client:
            yield client.request
        return
    if transport == "socket":
        with on_socket(box.gateway.state / "mcp.sock") as line:
            yield _opened(line, era)
        return
    with on_stdio(box.gateway.folder / "gateway.yaml", folder / "relay.err") as (line, _):
        yield _opened(line, era)


def _opened(line: LineClient, era: str) -> Request:
    if era == "handshake":
        line.handshake()
    return line.request


WAYS = ["http modern", "http handshake", "socket modern", "socket handshake", "stdio modern", "stdio handshake"]


@pytest.mark.parametrize("how", WAYS)
def test_tools_are_listed_and_called_with_a_receipt_that_the_log_holds(box: Box, how: str, tmp_path: Path) -> None:
    with connected(box, how, tmp_path) as request:
        listed = request("tools/list", {})["result"]
        response = request("tools/call", {"name": "box__echo", "arguments": {"text": how}})
    modes = {tool["name"]: tool["_meta"]["dev.sealgate/approval-mode"] for tool in listed["tools"]}
    assert (modes["box__echo"], modes["box__add_row"], modes["box__drop"]) == ("read_only", "local_write", "destructive")
    assert text(response) == f"echo: {how}"
    receipt = response["result"]["_meta"][RECEIPT]
    stored, entry = box.stored(receipt["leaf_index"]), box.entry(receipt)
    assert stored.leaf.hex() == receipt["leaf_hash"]
    assert receipt["signature"].encode() in stored.entry
    assert (entry.id, entry.kind, entry.keyid) == (receipt["envelope_id"], receipt["kind"], receipt["keyid"])
    assert entry.predicate["capability"]["capability_id"] == "box__echo"
    assert entry.predicate["dev"] is True
    assert ("resultType" in response["result"]) is ("modern" in how)
    assert ("ttlMs" in listed) is ("modern" in how)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.anyio
async def test_the_official_client_lists_and_calls(box: Box, mode: Any) -> None:
    headers = {"Authorization": f"Bearer {box.gateway.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=20) as http,
        Client(streamable_http_client(box.gateway.url, http_client=http), mode=mode) as client,
    ):
        names = [tool.name for tool in (await client.list_tools()).tools]
        first = await client.call_tool("box__echo", {"text": mode})
        many = await asyncio.gather(*(client.call_tool("box__echo", {"text": str(turn)}) for turn in range(10)))
    assert "box__echo" in names
    assert isinstance(first.content[0], TextContent)
    assert first.content[0].text == f"echo: {mode}"
    assert first.meta is not None
    assert box.entry(first.meta[RECEIPT]).predicate["result"]["status"] == "completed"
    assert [result.content[0].text for result in many if isinstance(result.content[0], TextContent)] == [
        f"echo: {turn}" for turn in range(10)
    ]


def test_the_session_of_a_handshake_is_in_the_entry(box: Box) -> None:
    with HandshakeClient(box.gateway) as client:
        receipt = client.call("box__echo", {"text": "x"})["result"]["_meta"][RECEIPT]
        assert box.entry(receipt).predicate["run"]["session_id"] == client.session_id


def test_a_run_and_a_trace_are_in_the_entry(box: Box) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    meta = {"dev.sealgate/run": {"run_id": "run-7", "safety_mode": "network"}, "traceparent": trace, "tracestate": "a=1"}
    with ModernClient(box.gateway) as client:
        response = client.request("tools/call", {"name": "box__echo", "arguments": {"text": "x"}}, meta)
    said = box.entry(response["result"]["_meta"][RECEIPT]).predicate
    assert (said["run"]["run_id"], said["run"]["safety_mode"]) == ("run-7", "network")
    assert (said["run"]["trace_id"], said["traceparent"], said["tracestate"]) == (trace[3:35], trace, "a=1")


def test_an_upstream_cannot_forge_a_receipt(box: Box) -> None:
    with ModernClient(box.gateway) as client:
        meta = client.call("box__forged", {})["result"]["_meta"]
    assert meta[RECEIPT]["envelope_id"] != "forged"
    assert meta["dev.sealgate/outcome"] == {"outcome": "completed"}
    assert meta["example.org/kept"] == 1


@pytest.mark.parametrize(("tool", "says"), [("box__error", "the desk is closed"), ("box__is_error", "is_error: x")])
def test_an_error_of_the_tool_is_a_result_that_says_so(box: Box, tool: str, says: str) -> None:
    with ModernClient(box.gateway) as client:
        response = client.call(tool, {"text": "x"})
    assert response["result"]["isError"] is True
    assert says in text(response)
    entry = box.entry(response["result"]["_meta"][RECEIPT])
    assert (entry.predicate["result"]["status"], entry.predicate["result"]["is_error"]) == ("completed", True)


def test_an_effect_whose_answer_is_unusable_is_in_doubt_and_never_run_again(box: Box) -> None:
    with ModernClient(box.gateway) as client:
        first = client.call("box__no_content", {"text": "once"}, key="no-content")
        again = client.call("box__no_content", {"text": "once"}, key="no-content")
    assert (outcome(first)["outcome"], outcome(first)["reasons"]) == ("in_doubt", ["upstream.malformed"])
    assert (outcome(again)["outcome"], outcome(again)["reasons"]) == ("in_doubt", ["idempotency.in_doubt"])
    assert box.lines("rows").count("no_content once") == 1


def test_stdio_serves_without_a_daemon_on_keys_of_its_own(box: Box, tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "gateway.yaml").write_text(configured(tmp_path / "box"))
    (tmp_path / "gateway.lock").write_bytes((box.gateway.folder / "gateway.lock").read_bytes())
    make_keys(tmp_path / ".sealgate" / "keys", origin="sealgate.local/default", dev=False)
    with on_stdio(tmp_path / "gateway.yaml", tmp_path / "stdio.err") as (line, process):
        response = line.call("box__echo", {"text": "alone"})
        assert line.ask(b"garbage") is not None
        alone = Box(box.gateway.__class__(tmp_path), tmp_path / "box")
        entry = alone.entry(response["result"]["_meta"][RECEIPT])
        line.send(b'{"jsonrpc":"2.0","id":9,"method":"tools/ca')  # and the client goes away in the middle of a line
    assert process.returncode == 0
    assert text(response) == "echo: alone"
    assert (entry.predicate["dev"], entry.predicate["run"]["principal_chain"][-1]) == (False, "agent:stdio-client")
    keys = load_trusted_keys(tmp_path / ".sealgate" / "keys" / "public.json")
    assert list(keys.entry_keys) == [entry.keyid]
    assert "Traceback" not in (tmp_path / "stdio.err").read_text()
