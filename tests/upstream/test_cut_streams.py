"""A handshake server that ends each stream of an answer at once, and has the rest asked for without a pause."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.adapters.upstream.addresses import Addresses, system_resolve
from gateway.adapters.upstream.http import SHORTEST_RESUME_SECONDS, HttpLink, http_session
from gateway.adapters.upstream.requests import Era, plain
from tests.upstream.world import at

pytestmark = pytest.mark.anyio

SECONDS = 1.0


@asynccontextmanager
async def cutting(asked: list[str]) -> AsyncIterator[int]:
    """The port of such a server; `asked`: the methods of the requests that it gets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.split(b" ")[0].decode())
        event = f"id: {len(asked)}\nretry: 0\ndata:\n\n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n" + event)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_it_is_not_asked_for_the_rest_without_a_pause() -> None:
    asked: list[str] = []
    async with cutting(asked) as port:
        spec = at(port)
        http = http_session(True, Addresses(system_resolve, [spec.place]))
        link = HttpLink(spec, Era("2025-11-25"), None, http, lambda *_: None, lambda: None, lambda: None)
        try:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SECONDS):
                    await link.request(plain(Era("2025-11-25"), "tools/call"))
        finally:
            await link.close()
            await http.close()
    assert asked[:2] == ["POST", "GET"]
    assert len(asked) <= SECONDS / SHORTEST_RESUME_SECONDS + 3
