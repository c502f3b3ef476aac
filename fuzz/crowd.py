"""More connections than there is room for: clients of the socket, garbage that comes and goes, thousands of idle ones."""

import asyncio
import contextlib
import json

from fuzz.clients import connected
from fuzz.tally import Finding, Tally
from gateway.edge.connections import HEAD_SECONDS, MAX_CONNECTIONS
from gateway.edge.lines import MAX_CONNECTIONS as MAX_LINE_CLIENTS
from tests.edge.box import Box

SLACK_SECONDS = 4.0
PATIENCE_SECONDS = 20.0


class Crowd:
    """Connections to one gateway."""

    def __init__(self, box: Box, tally: Tally) -> None:
        self._box = box
        self._port = box.gateway.port
        self._tally = tally

    async def line_clients(self) -> None:
        """More clients on the daemon's socket than it takes: the last are told, and a place that is left is there again."""
        path = str(self._box.gateway.state / "mcp.sock")
        held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for _ in range(MAX_LINE_CLIENTS):
            held.append(await _on_socket(path))
            self._tally.did["clients of the socket"] += 1
        for _, writer in held[:20]:
            writer.write(b'{"jsonrpc":"2.0","id":1,"meth')  # and never its end
        reader, writer = await _on_socket(path)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                told = json.loads(await reader.readline())
                self._tally.check(told["error"]["code"] == -32000, f"one client too many is told {told!r}")
                self._tally.check(await reader.read() == b"", "one client too many stays")
        except (TimeoutError, ValueError) as error:
            self._tally.find(Finding.UNANSWERED, f"one client too many is told nothing: {error!r}")
        for _, other in (*held, (reader, writer)):
            other.close()
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while await self._first_error(path) != -32700:  # noqa: ASYNC110 - another process lets them go
                    await asyncio.sleep(0.05)
        except TimeoutError:
            self._tally.find(Finding.UNANSWERED, "the places of clients that left stay taken")

    async def _first_error(self, path: str) -> int | None:
        """What a client of the socket is told when it says something that is no message."""
        reader, writer = await _on_socket(path)
        try:
            writer.write(b"garbage\n")
            code: int = json.loads(await reader.readline())["error"]["code"]
            return code
        except (ConnectionError, ValueError):
            return None
        finally:
            writer.close()

    async def flood(self) -> None:
        """Connections that send garbage and are dropped, as fast as they can be made."""
        for _ in range(20):
            async with asyncio.TaskGroup() as group:
                for _ in range(50):
                    self._tally.did["connections that send garbage"] += 1
                    group.create_task(self._garbage())

    async def _garbage(self) -> None:
        reader, writer = await connected(self._port)
        writer.write(b"\x00\x01garbage\r\n\r\n" * 20)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                with contextlib.suppress(ConnectionError):
                    await reader.read(-1)
        except TimeoutError:
            self._tally.find(Finding.UNANSWERED, "a connection that sends garbage stays open")
        writer.close()

    async def warm(self) -> None:
        """As many connections as there is room for, and then none: what they cost at most is no growth later."""
        for _, writer in await self._silent(MAX_CONNECTIONS + 100):
            writer.close()

    async def idle(self, connections: int) -> None:
        """So many connections that say nothing: calls are answered meanwhile, and all of them are closed in time."""
        pairs = await self._silent(connections)
        readers, held = [reader for reader, _ in pairs], [writer for _, writer in pairs]
        self._tally.did["idle connections"] += len(held)
        await asyncio.sleep(2.0)
        still = sum(not reader.at_eof() and reader.exception() is None for reader in readers)
        self._tally.check(still <= MAX_CONNECTIONS, f"{still} connections are open, not {MAX_CONNECTIONS} at most")
        self._tally.notes.append(f"of {len(held):,} idle connections {still:,} were open together when all were there")
        await asyncio.sleep(HEAD_SECONDS + SLACK_SECONDS - 2.0)
        still = sum(not reader.at_eof() and reader.exception() is None for reader in readers)
        self._tally.check(still == 0, f"{still} idle connections are open after {HEAD_SECONDS + SLACK_SECONDS:.0f} s")
        for writer in held:
            writer.close()

    async def _silent(self, connections: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """Connections that say nothing."""
        held = []
        for _ in range(connections // 100):
            made = await asyncio.gather(*(connected(self._port) for _ in range(100)), return_exceptions=True)
            for each in made:
                if isinstance(each, BaseException):
                    self._tally.find(Finding.OTHER, f"a connection was not accepted: {each!r}")
                else:
                    held.append(each)
        return held


async def _on_socket(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to a Unix socket: the queue of those that are not accepted yet is short."""
    while True:
        try:
            return await asyncio.open_unix_connection(path)
        except BlockingIOError:
            await asyncio.sleep(0.01)
