"""Requests that never end, and answers that nobody reads: each such connection must be closed when it is due."""

import asyncio
import contextlib
import json
import socket
from time import monotonic

from fuzz.attacks import BODY, CHUNKED, Writer
from fuzz.clients import connected, responses
from fuzz.tally import Finding, Tally
from gateway.edge.connections import BODY_SECONDS, HEAD_SECONDS, WRITE_SECONDS
from tests.edge.frames import call

SLACK_SECONDS = 4.0
SLOW = 40
DRIP_SECONDS = 0.5


class Slow:
    """Connections to one port; `write` makes requests to it."""

    def __init__(self, port: int, write: Writer, tally: Tally) -> None:
        self._port = port
        self._write = write
        self._tally = tally

    async def all(self) -> None:
        """Requests that never end, each kind on many connections: closed when they are due."""
        head, partial = self._write.head(length=len(BODY)), self._write.head(CHUNKED)
        served = self._write.whole()
        last = b"POST /mcp HTTP/1.1\r\nX-A: "
        kinds: list[tuple[str, bytes, bytes, float, frozenset[int]]] = [
            ("says nothing", b"", b"", HEAD_SECONDS, frozenset()),
            ("empty lines for ever", b"", b"\r\n", HEAD_SECONDS, frozenset()),
            ("a head byte by byte", head[:20], b"a", HEAD_SECONDS, frozenset({408})),
            ("a field without an end", last, b"a", HEAD_SECONDS, frozenset({408})),
            ("a body byte by byte", head, b" ", BODY_SECONDS, frozenset({408})),
            ("a body that never begins", head, b"", BODY_SECONDS, frozenset({408})),
            ("chunks of one byte", partial, b"1\r\n \r\n", BODY_SECONDS, frozenset({408})),
            ("a chunk size without an end", partial, b"0", BODY_SECONDS, frozenset({408, 400})),
            ("a second head, byte by byte", served + last, b"a", HEAD_SECONDS, frozenset({200, 408})),
            ("HTTP/0.9", b"GET /mcp\r\n", b"", HEAD_SECONDS, frozenset({408, 400})),
        ]
        async with asyncio.TaskGroup() as group:
            for name, first, drip, seconds, statuses in kinds:
                for _ in range(SLOW // 4):
                    group.create_task(self._drip(name, first, drip, seconds, statuses))
            for _ in range(SLOW // 10):
                group.create_task(self._unread())
                group.create_task(self._half_closed())

    async def _drip(self, name: str, first: bytes, drip: bytes, seconds: float, statuses: frozenset[int]) -> None:
        self._tally.did["connections that never end a request"] += 1
        reader, writer = await connected(self._port)
        began = monotonic()
        held = bytearray()

        async def read() -> None:
            with contextlib.suppress(ConnectionError):
                while chunk := await reader.read(1 << 16):
                    held.extend(chunk)

        reading = asyncio.create_task(read())
        writer.write(first)
        try:
            async with asyncio.timeout(seconds + SLACK_SECONDS):
                while not reading.done():
                    if drip:
                        writer.write(drip)
                    await asyncio.wait({reading}, timeout=DRIP_SECONDS)
        except TimeoutError:
            self._tally.find(Finding.UNANSWERED, f"{name}: open after {monotonic() - began:.0f} s")
        finally:
            reading.cancel()
            writer.close()
        found = {status for status, _ in responses(bytes(held))}
        if not found <= statuses or bool(found) != bool(statuses):
            self._tally.find(Finding.TAKEN, f"{name}: answered {sorted(found)}, not {sorted(statuses)}")

    async def _unread(self) -> None:
        """Many requests, and no answer is ever read: the connection ends."""
        self._tally.did["connections that read no answer"] += 1
        mute = socket.socket()
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        mute.setblocking(False)
        await asyncio.get_running_loop().sock_connect(mute, ("127.0.0.1", self._port))
        _, writer = await asyncio.open_connection(sock=mute, limit=4096)
        document = {"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": json.loads(call())["params"]}
        data = json.dumps(document).encode()
        request = self._write.whole(body=data).replace(b"Mcp-Method: tools/call", b"Mcp-Method: tools/list")
        began = monotonic()
        transport = writer.transport
        try:
            async with asyncio.timeout(WRITE_SECONDS + 3 * SLACK_SECONDS):
                with contextlib.suppress(ConnectionError):
                    while not transport.is_closing():
                        writer.write(request)
                        await writer.drain()
        except TimeoutError:
            self._tally.find(Finding.UNANSWERED, f"a client that reads nothing: open after {monotonic() - began:.0f} s")
        finally:
            writer.transport.abort()

    async def _half_closed(self) -> None:
        """A client that closes its side after the request is gone, for HTTP servers on asyncio: closed at once."""
        self._tally.did["half-closed connections"] += 1
        reader, writer = await connected(self._port)
        writer.write(self._write.whole())
        writer.write_eof()
        try:
            async with asyncio.timeout(SLACK_SECONDS):
                with contextlib.suppress(ConnectionError):
                    await reader.read(-1)
        except TimeoutError:
            self._tally.find(Finding.UNANSWERED, "a half-closed connection stays open")
        writer.close()
