"""Clients that send many frames before they read an answer: lines over a socket or pipes, requests over HTTP."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from fuzz.corpus import Frame
from tests.edge.clients import HANDSHAKE, MODERN
from tests.running import RunningGateway

HANG_SECONDS = 10.0


class Hung(Exception):
    """No answer for so long that none will come, or the connection was closed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that came, how many seconds after it was asked for, and the HTTP status it came with."""

    message: dict[str, Any]
    seconds: float
    status: int = 0


class Lines:
    """One message a line. `marker` is refused by the reader at once, so all refusals before it have come when it is."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hang_seconds: float = HANG_SECONDS
    ) -> None:
        self._hang_seconds = hang_seconds
        self._reader = reader
        self._writer = writer
        self._markers = 0

    async def begin(self, *, modern: bool) -> None:
        """The first request, which settles the era."""
        info = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "fuzz", "version": "1"}}
        meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
        first = ("server/discover", {"_meta": meta}) if modern else ("initialize", info)
        document = {"jsonrpc": "2.0", "id": "first", "method": first[0], "params": first[1]}
        self._writer.write(json.dumps(document).encode() + b"\n")
        await self._message()
        if not modern:
            self._writer.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    async def exchange(self, frames: Sequence[Frame], waited_for: set[str | int]) -> list[Answer]:
        """Send all, and read until everything in `waited_for` was answered and the marker too. Raises `Hung`."""
        self._markers += 1
        marker = f"marker-{self._markers}"
        sent = monotonic()
        self._writer.writelines([line for frame in frames for line in (frame.data, b"\n")])
        self._writer.write(b'{"jsonrpc":"1.0","id":"%b","method":"ping"}\n' % marker.encode())
        missing = {*waited_for, marker}
        answers: list[Answer] = []
        while missing:
            try:
                async with asyncio.timeout(self._hang_seconds):
                    message = await self._message()
            except (TimeoutError, ConnectionError) as error:
                raise Hung(f"no answer to {sorted(map(repr, missing))[:5]}: {error!r}") from error
            if "id" not in message or "method" in message:
                continue
            if isinstance(message["id"], str | int):
                missing.discard(message["id"])
            if message["id"] != marker:
                answers.append(Answer(message, monotonic() - sent))
        return answers

    async def _message(self) -> dict[str, Any]:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection was closed")
        message: dict[str, Any] = json.loads(line)
        return message

    def close(self) -> None:
        """Leave."""
        self._writer.close()


class Http:
    """One keep-alive connection. Requests are pipelined: the answers come in their order."""

    def __init__(self, gateway: RunningGateway, *, modern: bool, hang_seconds: float = HANG_SECONDS) -> None:
        self._hang_seconds = hang_seconds
        self._gateway = gateway
        self._modern = modern
        self._session = b""
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def begin(self) -> None:
        """Connect, and open a session where the era has them."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._gateway.port, limit=1 << 24)
        self._usual = (
            b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %b\r\nContent-Type: application/json\r\n"
            b"Accept: application/json, text/event-stream\r\n" % (self._gateway.port, self._gateway.token.encode())
        )
        if self._modern:
            self._usual += b"MCP-Protocol-Version: %b\r\n" % MODERN.encode()
            return
        info = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "fuzz", "version": "1"}}
        first = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": info}).encode()
        self._writer.write(self._request(first, b""))
        _, headers, _ = await self._response()
        session = headers[b"mcp-session-id"]
        self._usual += b"MCP-Protocol-Version: %b\r\nMcp-Session-Id: %b\r\n" % (HANDSHAKE.encode(), session)
        self._writer.write(self._request(b'{"jsonrpc":"2.0","method":"notifications/initialized"}', b""))
        await self._response()

    async def exchange(self, frames: Sequence[Frame]) -> list[Answer]:
        """One answer for each frame. Raises `Hung`."""
        self._writer.write(b"".join(self._request(frame.data, self._routing(frame)) for frame in frames))
        answers: list[Answer] = []
        before = monotonic()
        for frame in frames:
            try:
                async with asyncio.timeout(self._hang_seconds):
                    status, headers, body = await self._response()
            except (TimeoutError, ConnectionError, asyncio.IncompleteReadError) as error:
                raise Hung(f"no answer to {frame.data[:300]!r}: {error!r}") from error
            now = monotonic()
            answers.append(Answer(_document(headers, body), now - before, status))
            before = now
        return answers

    def _routing(self, frame: Frame) -> bytes:
        """The headers that a modern client repeats method and name in, as far as a header can hold them."""
        if not self._modern or not frame.method.isprintable() or not frame.method.isascii():
            return b""
        lines = b"Mcp-Method: %b\r\n" % frame.method.encode()
        if frame.name:
            lines += b"Mcp-Name: =?base64?%b?=\r\n" % b64encode(frame.name.encode())
        return lines

    def _request(self, body: bytes, more: bytes) -> bytes:
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._usual, more, len(body), body)

    async def _response(self) -> tuple[int, dict[bytes, bytes], bytes]:
        head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines if line)}
        if headers.get(b"transfer-encoding") == b"chunked":
            body = b""
            while size := int(await self._reader.readline(), 16):
                body += (await self._reader.readexactly(size + 2))[:-2]
            await self._reader.readexactly(2)
        else:
            body = await self._reader.readexactly(int(headers.get(b"content-length", b"0")))
        return int(first.split()[1]), headers, body

    def close(self) -> None:
        """Leave."""
        self._writer.close()


def _document(headers: dict[bytes, bytes], body: bytes) -> dict[str, Any]:
    """The message in a JSON body or an event stream; {} where it has none."""
    if headers.get(b"content-type", b"").startswith(b"text/event-stream"):
        data = [line.removeprefix(b"data:").strip() for line in body.splitlines() if line.startswith(b"data:")]
        return next((found for found in map(json.loads, filter(None, data)) if "id" in found), {})
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def connected(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of which a part says every byte."""
    return await asyncio.open_connection("127.0.0.1", port)


def responses(data: bytes, *, head: bool = False) -> list[tuple[int, bytes]]:
    """Statuses and bodies of the answers in these bytes."""
    found: list[tuple[int, bytes]] = []
    while data.startswith(b"HTTP/1.1 "):
        top, _, rest = data.partition(b"\r\n\r\n")
        status = int(top[9:12])
        fields = dict(line.lower().split(b": ", 1) for line in top.split(b"\r\n")[1:])
        if status == 100 or head:
            body, data = b"", rest
        elif b"content-length" in fields:
            size = int(fields[b"content-length"])
            body, data = rest[:size], rest[size:]
        else:
            body, _, data = rest.partition(b"0\r\n\r\n")
        found.append((status, body))
    return found
