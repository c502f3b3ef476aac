"""A TCP proxy for HTTP/1.1 that fails as the call says: its `key` argument begins with the way to fail.

Each connection carries one request. What names no way is passed on, answers and event streams included.
"""

import asyncio
import re
import threading
from collections import Counter
from enum import StrEnum
from types import TracebackType

_KEY = re.compile(rb'"key"\s*:\s*"([a-z]+)-')
_LENGTH = re.compile(rb"(?im)^content-length:\s*(\d+)\s*$")
_CONNECTION = re.compile(rb"(?im)^connection:.*\r\n")
READ_BYTES = 65536
STALL_SECONDS = 60


class Way(StrEnum):
    """`before`: cut when the request is there, nothing was passed on. `after`: cut when the answer is there. `middle`: cut
    in the middle of the answer. `stall`: the answer never comes on. `reset`: passed on, then cut at once."""

    PASS = "pass"  # noqa: S105 a word, no password
    BEFORE = "before"
    AFTER = "after"
    MIDDLE = "middle"
    STALL = "stall"
    RESET = "reset"


class Proxy:
    """In front of `port`; runs in a thread of its own. Use as a context manager. `met` counts the ways it failed."""

    def __init__(self, listen: int, port: int) -> None:
        self._listen = listen
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.met: Counter[str] = Counter()

    def __enter__(self) -> "Proxy":
        self._thread.start()
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.shut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    def open(self) -> None:
        """Take connections."""
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(10)

    def shut(self) -> None:
        """Refuse connections, and cut those there are."""
        asyncio.run_coroutine_threadsafe(self._shut(), self._loop).result(10)

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._listen)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 asyncio runs this as one
        self._tasks.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._tasks.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length is not None else b""
        named = _KEY.search(body)
        way = Way(named[1].decode()) if named is not None and named[1].decode() in list(Way) else Way.PASS
        if named is not None:
            self.met[way] += 1
        if way is Way.BEFORE:
            writer.transport.abort()
            return
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            upstream.write(_CONNECTION.sub(b"", head)[:-2] + b"Connection: close\r\n\r\n" + body)
            await upstream.drain()
            if way is Way.PASS:
                while chunk := await upstream_reader.read(READ_BYTES):
                    writer.write(chunk)
                    await writer.drain()
                writer.close()
                return
            if way is not Way.RESET:
                answer = await upstream_reader.read(-1)
                if way is Way.MIDDLE:
                    writer.write(answer[: len(answer) - 20])
                    await writer.drain()
                if way is Way.STALL:
                    await asyncio.wait_for(reader.read(1), STALL_SECONDS)  # until the gateway has lost patience
            writer.transport.abort()
        finally:
            upstream.close()
