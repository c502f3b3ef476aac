"""The load client counts a call as good only where the whole answer is there and is the expected echo."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from bench.calls import Door, Era
from bench.load import Tally, load

pytestmark = pytest.mark.anyio

Answer = Callable[[bytes], bytes]


def _http(body: bytes, kind: str = "application/json", status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


def _chunked(body: bytes, kind: str) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    parts = [body[at : at + 7] for at in range(0, len(body), 7)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _echo(request: bytes, **changed: object) -> bytes:
    message = json.loads(request)
    result = {"content": [{"type": "text", "text": message["params"]["arguments"]["text"]}]}
    return json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": {**result, **changed}}).encode()


def _events(request: bytes) -> bytes:
    note = b'event: message\ndata: {"jsonrpc": "2.0", "method": "notifications/message", "params": {}}\n\n'
    return b": ping\n\n" + note + b"event: message\r\ndata: " + _echo(request) + b"\r\n\r\n"


async def _measured(answer: Answer) -> Tally:
    async with _server(answer) as port:
        return await load(Door(port, "look"), Era.MODERN, None, concurrency=2, seconds=0.01, warm_seconds=0.0)


@asynccontextmanager
async def _server(answer: Answer) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                writer.write(answer(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: _http(_echo(request)),
        lambda request: _chunked(_echo(request), "application/json"),
        lambda request: _chunked(_events(request), "text/event-stream"),
        lambda request: _http(_events(request), "text/event-stream; charset=utf-8"),
    ],
    ids=["content-length", "chunked", "chunked events", "events"],
)
async def test_an_echo_counts_however_it_is_framed(answer: Answer) -> None:
    tally = await _measured(answer)
    assert (tally.failures, tally.first_failure) == (0, None)
    assert tally.calls >= 4, "two loops with two counted calls each, at least"
    assert 0 < tally.percentile(0.5) <= tally.percentile(0.99)


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: _http(_echo(request, isError=True)),
        lambda request: _http(_echo(request, content=[{"type": "text", "text": "another call's echo"}])),
        lambda request: _http(_echo(request), status="202 Accepted"),
        lambda request: _http(b'{"jsonrpc": "2.0", "id": 0, "error": {"code": -32000, "message": "busy"}}'),
        lambda request: _http(b"<html>", kind="text/html"),
        lambda request: _chunked(b": ping\n\n", "text/event-stream"),
        lambda request: b"not HTTP\r\n\r\n",
        lambda request: b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ],
    ids=["tool error", "other text", "status", "error", "no JSON", "no answer", "no HTTP", "empty"],
)
async def test_anything_else_is_a_failure_that_is_told(answer: Answer) -> None:
    tally = await _measured(answer)
    assert tally.calls == 0
    assert tally.failures >= 4
    assert tally.first_failure
