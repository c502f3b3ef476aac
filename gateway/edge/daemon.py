"""The daemon's surfaces: the HTTP port, the operator's socket, and the socket that stdio clients are relayed to."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from starlette.types import ASGIApp

from gateway.adapters.state import StateFolder
from gateway.core.errors import GatewayError, Unreachable
from gateway.edge.connections import Room, bounded, room_for_files
from gateway.edge.lines import LineStream, serve_socket

_SHUTDOWN_SECONDS = 5
_TICK_SECONDS = 0.1
_CHUNK = 64 * 1024
_START_SECONDS = 15.0
_OPERATORS = 64


class _Uvicorn(uvicorn.Server):
    """uvicorn without its own signal handlers: one process has several of these and one owner of signals."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stop = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Take no more connections, finish what is being answered, and end."""
        self.should_exit = True
        self._stop.set()

    async def main_loop(self) -> None:
        """uvicorn's, but for the end: it comes when it is asked for, not at the next tick."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._stop.wait()


@asynccontextmanager
async def operator_surfaces(
    state: StateFolder, control: ASGIApp, make_server: Callable[[], Server[Any]]
) -> AsyncIterator[None]:
    """Listen on the two sockets in the state folder, both for the folder's owner only."""
    server = _Uvicorn(_config(control, bounded(Room(_OPERATORS)), uds=str(state.control_socket)))
    async with _running(server):
        state.control_socket.chmod(0o600)
        lines = await serve_socket(str(state.mcp_socket), make_server)
        try:
            yield
        finally:
            lines.close()


@contextlib.contextmanager
def http_port(host: str, port: int) -> Iterator[socket.socket]:
    """A socket bound to the HTTP port; port 0 takes any free one. Raises `GatewayError` where it is taken."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
        except OSError as error:
            raise GatewayError(f"cannot listen on {host}:{port}: {error.strerror}", code="listen.failed") from error
        bound.set_inheritable(False)
        yield bound


@asynccontextmanager
async def http_surface(app: ASGIApp, bound: socket.socket) -> AsyncIterator[None]:
    """Listen on the HTTP port."""
    async with _running(_Uvicorn(_config(app, bounded(room_for_files()))), [bound]):
        yield


async def until_stopped(death: asyncio.Event) -> None:
    """Wait for SIGINT, SIGTERM or the journal's death."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(death.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def relay(stream: LineStream, state: StateFolder) -> None:
    """Carry stdin and stdout to the daemon that owns the state folder; it parses and answers. Raises `Unreachable`."""
    reader, writer = await _connected(state)

    async def inward() -> None:
        async for chunk in stream.chunks():
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()

    async def outward() -> None:
        while chunk := await reader.read(_CHUNK):
            await stream.write_raw(chunk)

    inward_task = asyncio.ensure_future(inward())
    try:
        await outward()
    finally:
        inward_task.cancel()
        writer.close()


async def _connected(state: StateFolder) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the daemon. One that is just starting has the folder before it has its socket."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _START_SECONDS
    while True:
        try:
            return await asyncio.open_unix_connection(str(state.mcp_socket))
        except OSError as error:
            if loop.time() > end or not state.owned():
                raise Unreachable(
                    f"the daemon that owns {state.path} does not answer: {error.strerror}",
                    hint="See what it said, and try again.",
                ) from error
        await asyncio.sleep(0.05)


@asynccontextmanager
async def served(app: ASGIApp, http: type[asyncio.Protocol], **listen: Any) -> AsyncIterator[None]:
    """Serve an app, each connection by an `http`, as uvicorn's own settings `listen` say."""
    async with _running(_Uvicorn(_config(app, http, **listen))):
        yield


def _config(app: ASGIApp, http: type[asyncio.Protocol], **listen: Any) -> uvicorn.Config:
    usual: dict[str, Any] = {
        "http": http,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "ws": "none",  # no surface of ours speaks it, so none has to judge it
        "proxy_headers": False,  # else X-Forwarded-For names the address whose refused logins are counted
        "timeout_graceful_shutdown": _SHUTDOWN_SECONDS,
        "lifespan": "on",
    }
    return uvicorn.Config(app, **{**usual, **listen})


@asynccontextmanager
async def _running(server: _Uvicorn, sockets: list[socket.socket] | None = None) -> AsyncIterator[None]:
    if not server.config.loaded:
        server.config.load()
    task = asyncio.ensure_future(server.serve(sockets=sockets))
    try:
        while not server.started:
            if task.done():
                await task
                raise GatewayError("the server did not start", code="listen.failed")
            await asyncio.sleep(0.005)
        yield
    finally:
        server.stop()
        await task
