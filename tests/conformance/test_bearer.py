"""The relay that the suite speaks through changes one thing: each request carries the token."""

import asyncio

import pytest

from tests.conformance.bearer import with_bearer
from tests.running import free_port

pytestmark = pytest.mark.anyio
SECONDS = 10
FIRST = b"POST /mcp HTTP/1.1\r\nHost: a\r\nX-Odd:  two  spaces \r\nContent-Length: 9\r\n\r\n\r\n\r\nbody\xff"
SECOND = b"GET /mcp HTTP/1.1\r\nHost: a\r\n\r\n"
TOKEN = b"\r\nAuthorization: Bearer secret\r\n"


async def relayed(*requests: bytes, close: bool = True) -> tuple[bytes, bytes]:
    """What arrives behind the relay, and what comes back in front of it, where the server answers at once and hangs up."""
    arrived = bytearray()
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nanswer")
        while chunk := await reader.read(65_536):
            arrived.extend(chunk)
        writer.close()
        ended.set()

    listen = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with with_bearer(listen, port, "secret"), asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", listen)
            writer.write(b"".join(requests))
            answer = await reader.readexactly(len(b"HTTP/1.1 200 OK\r\n\r\nanswer"))
            if close:
                writer.close()
            await ended.wait()
            writer.close()
    return bytes(arrived), answer


async def test_every_request_of_a_connection_gets_the_token_and_is_else_as_it_came() -> None:
    arrived, answer = await relayed(FIRST, SECOND)
    assert arrived == FIRST.replace(b"\r\n", TOKEN, 1) + SECOND.replace(b"\r\n", TOKEN, 1)
    assert answer == b"HTTP/1.1 200 OK\r\n\r\nanswer"


async def test_a_body_whose_length_is_not_told_is_not_passed_on() -> None:
    chunked = FIRST.replace(b"Content-Length: 9", b"Transfer-Encoding: chunked")
    arrived, _ = await relayed(chunked, close=False)
    assert arrived == b""
