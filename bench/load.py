"""The load client: keep-alive HTTP/1.1 connections in a closed loop, each with one call under way.

A raw protocol with a C parser, so that the client costs little next to what it measures. A response counts when its
whole body (Content-Length, chunked, JSON or SSE) is there.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httptools

from bench.calls import Call, Door, Era, Reply, initialize, initialized, make_call

PATIENCE_SECONDS = 30.0
MOST_FAILURES = 50


class NoAnswer(ConnectionError):
    """The connection ended before the response did."""


class Connection(asyncio.Protocol):
    """One connection; `ask` one thing at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._answer: asyncio.Future[Reply] | None = None
        self._closed = False

    @classmethod
    async def open(cls, port: int) -> "Connection":
        """Connect to loopback. Raises `OSError`."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def ask(self, request: bytes) -> Reply:
        """Send `request` and wait for the whole response. Raises `NoAnswer`."""
        if self._closed:
            raise NoAnswer("the server closed the connection")
        self._answer = self._loop.create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # TCP: a Transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed = True
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(NoAnswer("the connection ended before the response did"))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        reply = Reply(self._parser.get_status_code(), self._headers, b"".join(self._body))
        self._headers, self._body = {}, []
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(reply)


@dataclass(slots=True)
class Tally:
    """What one closed loop saw. Latencies in milliseconds, of successes only; seconds are those of the counted part."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    first_failure: str | None = None
    seconds: float = 0.0

    @property
    def calls(self) -> int:
        return len(self.latencies)

    def count(self, milliseconds: float, problem: str | None) -> None:
        if problem is None:
            self.latencies.append(milliseconds)
            return
        self.failures += 1
        self.first_failure = self.first_failure or problem

    def percentile(self, share: float) -> float:
        """In milliseconds, by nearest rank; NaN where nothing succeeded."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


async def open_session(door: Door) -> str:
    """The handshake; the session id."""
    connection = await Connection.open(door.port)
    try:
        reply = await connection.ask(initialize(door))
        session_id = reply.headers.get("mcp-session-id")
        if reply.status != 200 or session_id is None:
            raise NoAnswer(f"no session was opened: HTTP {reply.status} {reply.body[:200]!r}")
        await connection.ask(initialized(door, session_id))
        return session_id
    finally:
        connection.close()


async def load(
    door: Door,
    era: Era,
    session_id: str | None,
    *,
    concurrency: int,
    seconds: float,
    warm_seconds: float,
    on_warm: Callable[[], None] = lambda: None,
    pause_seconds: float = 0.0,
) -> Tally:
    """`concurrency` closed loops for `seconds`, after an uncounted warm-up; each loop makes two counted calls at least.

    `on_warm` is called once between the two, with no call under way. `pause_seconds` lie between a loop's calls.
    """
    warm = Tally()
    tally = Tally()
    async with asyncio.timeout(seconds + warm_seconds + PATIENCE_SECONDS):
        connections = [await Connection.open(door.port) for _ in range(concurrency)]
        try:
            loops = [_Loop(door, era, session_id, connection, pause_seconds) for connection in connections]
            await asyncio.gather(*(loop.run(warm, warm_seconds) for loop in loops))
            on_warm()
            started = time.perf_counter()
            await asyncio.gather(*(loop.run(tally, seconds) for loop in loops))
            tally.seconds = time.perf_counter() - started
        finally:
            for connection in connections:
                connection.close()
    tally.failures += warm.failures
    tally.first_failure = warm.first_failure or tally.first_failure
    return tally


@dataclass(frozen=True, slots=True)
class _Loop:
    door: Door
    era: Era
    session_id: str | None
    connection: Connection
    pause_seconds: float

    async def run(self, tally: Tally, seconds: float) -> None:
        end = time.perf_counter() + seconds
        made = 0
        while (made < 2 or time.perf_counter() < end) and tally.failures < MOST_FAILURES:
            made += 1
            await self._one(tally, make_call(self.door, self.era, self.session_id))
            if self.pause_seconds:
                await asyncio.sleep(self.pause_seconds)

    async def _one(self, tally: Tally, call: Call) -> None:
        started = time.perf_counter()
        try:
            reply = await self.connection.ask(call.request)
        except NoAnswer as error:
            tally.count(0.0, str(error))
            return
        took = (time.perf_counter() - started) * 1000
        tally.count(took, call.problem(reply))
