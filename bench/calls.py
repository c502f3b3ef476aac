"""The tools/call requests that the load client sends, as HTTP/1.1 bytes, and what counts as a good answer.

Each call echoes a text of its own, so that a stored result of another call could never pass for its answer.
"""

import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

TEXT_BYTES = 100
IDEMPOTENCY_KEY = "dev.sealgate/idempotency-key"
_ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"},
}
_numbers = itertools.count(1)


class Era(StrEnum):
    """`modern`: one POST per call, no session. `handshake`: initialized once, then one POST per call with the session id."""

    MODERN = "2026-07-28"
    HANDSHAKE = "2025-11-25"


@dataclass(frozen=True, slots=True)
class Door:
    """Where a tool is called. `keyed`: each call brings a fresh idempotency key."""

    port: int
    tool: str
    token: str | None = None
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP response. Header names are lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def messages(self) -> list[Any]:
        """The JSON-RPC messages of a JSON or SSE body. Raises `ValueError` where one is no JSON."""
        if self.headers.get("content-type", "").startswith("text/event-stream"):
            lines = self.body.splitlines()
            return [orjson.loads(line[5:]) for line in lines if line.startswith(b"data:") and line[5:].strip()]
        return [orjson.loads(self.body)]


@dataclass(frozen=True, slots=True)
class Call:
    """One tools/call that is on its way."""

    number: int
    text: str
    request: bytes

    def problem(self, reply: Reply) -> str | None:
        """Why `reply` is no success with the expected echo, or None."""
        shown = f"HTTP {reply.status}: {reply.body[:200]!r}"
        if reply.status != 200:
            return shown
        try:
            message = next(each for each in reply.messages() if each.get("id") == self.number)
            result = message["result"]
            good = result.get("isError", False) is False and result["content"] == [{"type": "text", "text": self.text}]
        except (ValueError, KeyError, AttributeError, StopIteration):
            return shown
        return None if good else shown


def make_call(door: Door, era: Era, session_id: str | None) -> Call:
    """The next call: its number and its text are used once in this process."""
    number = next(_numbers)
    text = f"{number} ".ljust(TEXT_BYTES, "x")
    params: dict[str, Any] = {"name": door.tool, "arguments": {"text": text}}
    meta: dict[str, Any] = dict(_ENVELOPE) if era is Era.MODERN else {}
    if door.keyed:
        meta[IDEMPOTENCY_KEY] = f"bench-{number}"
    if meta:
        params["_meta"] = meta
    body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
    return Call(number, text, post(door, era, body, session_id))


def post(door: Door, era: Era, message: dict[str, Any], session_id: str | None = None) -> bytes:
    """`message` as one POST to /mcp."""
    body = orjson.dumps(message)
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {era}\r\nContent-Length: {len(body)}\r\n"
    )
    if era is Era.MODERN:
        named = f"Mcp-Name: {door.tool}\r\n" if message["method"] == "tools/call" else ""
        head += f"Mcp-Method: {message['method']}\r\n{named}"
    if session_id is not None:
        head += f"Mcp-Session-Id: {session_id}\r\n"
    if door.token is not None:
        head += f"Authorization: Bearer {door.token}\r\n"
    return head.encode() + b"\r\n" + body


def ask(door: Door, method: str, params: dict[str, Any]) -> bytes:
    """Any other request of the modern era; of tools/call, one of `door.tool`."""
    meta = {"_meta": dict(_ENVELOPE)}
    body = {"jsonrpc": "2.0", "id": next(_numbers), "method": method, "params": {**params, **meta}}
    return post(door, Era.MODERN, body)


def initialize(door: Door) -> bytes:
    """The handshake's first message."""
    client = {"name": "bench", "version": "1"}
    params = {"protocolVersion": Era.HANDSHAKE, "capabilities": {}, "clientInfo": client}
    return post(door, Era.HANDSHAKE, {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})


def initialized(door: Door, session_id: str) -> bytes:
    """The handshake's last message."""
    return post(door, Era.HANDSHAKE, {"jsonrpc": "2.0", "method": "notifications/initialized"}, session_id)
