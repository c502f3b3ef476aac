"""MCP over newline-delimited JSON: the process's own stdin and stdout, or a connection to the daemon's socket.

Own line reader: every frame goes through the strict parser, and a malformed one is answered at once.
"""

import asyncio
import contextlib
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import orjson
from mcp.server.lowlevel import Server
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter
from pydantic import ValidationError

from gateway.core import wire
from gateway.core.errors import GatewayError

_CHUNK = 64 * 1024
MAX_CONNECTIONS = 256
BUSY = -32000


class LineStream:
    """A pair of asyncio streams that carries one message per line. Writes are whole lines, one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._writing = asyncio.Lock()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Incoming bytes until the other side closes."""
        while chunk := await self._reader.read(_CHUNK):
            yield chunk

    async def frames(self) -> AsyncIterator[bytes | wire.Overlong]:
        """Incoming lines until the other side closes."""
        splitter = wire.LineSplitter()
        async for chunk in self.chunks():
            for frame in splitter.feed(chunk):
                yield frame

    async def write(self, line: bytes) -> None:
        """One line. Raises ConnectionError when the other side is gone."""
        await self.write_raw(line + b"\n")

    async def write_raw(self, data: bytes) -> None:
        """Bytes as they are, all of them before anyone else's."""
        async with self._writing:
            self._writer.write(data)
            await self._writer.drain()


async def serve(server: Server[Any], stream: LineStream) -> None:
    """Serve one connection until its client closes it."""
    incoming, to_server = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    from_server, outgoing = anyio.create_memory_object_stream[SessionMessage](0)

    async def read() -> None:
        async with incoming:
            async for frame in stream.frames():
                try:
                    message = _message(frame)
                except wire.Malformed as error:
                    await stream.write(orjson.dumps(error.reply()))
                    continue
                await incoming.send(SessionMessage(message))

    async def write() -> None:
        async with outgoing:
            async for item in outgoing:
                document = item.message.model_dump(mode="json", by_alias=True, exclude_unset=True)
                await stream.write(orjson.dumps(document))

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(write)
            await server.run(to_server, from_server, server.create_initialization_options())
            group.cancel_scope.cancel()
    except* (ConnectionError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # the client is gone


def _message(frame: bytes | wire.Overlong) -> JSONRPCMessage:
    """The message in a frame. Raises `Malformed`, also for a response whose result or error has no right form."""
    if isinstance(frame, wire.Overlong):
        raise wire.Malformed(wire.INVALID_REQUEST, f"message is larger than {frame.max_bytes} bytes")
    document = wire.message(frame)
    try:
        return jsonrpc_message_adapter.validate_python(document, by_name=False)
    except ValidationError as error:
        raise wire.Malformed(wire.INVALID_REQUEST, "not a JSON-RPC message of MCP") from error


@asynccontextmanager
async def own_stdio() -> AsyncIterator[LineStream]:
    """The process's stdin and stdout as a LineStream. Stray prints go to stderr meanwhile: stdout carries the protocol."""
    if any(stat.S_ISREG(os.fstat(number).st_mode) for number in (0, 1)):
        raise GatewayError("stdin and stdout must be pipes, sockets or a terminal, not files", code="stdio.unusable")
    wire_in, wire_out = os.dup(0), os.dup(1)
    devnull = os.open(os.devnull, os.O_RDONLY)
    os.dup2(devnull, 0)
    os.close(devnull)
    os.dup2(2, 1)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2 * wire.MAX_BYTES)
    try:
        read_transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(wire_in, "rb")
        )
        write_transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.streams.FlowControlMixin(loop=loop), os.fdopen(wire_out, "wb")
        )
    except ValueError as error:
        raise GatewayError("stdin and stdout must be pipes, sockets or a terminal", code="stdio.unusable") from error
    writer = asyncio.StreamWriter(write_transport, protocol, None, loop)
    try:
        yield LineStream(reader, writer)
    finally:
        read_transport.close()
        writer.close()
        sys.stdout.flush()


async def serve_socket(path: str, make_server: Callable[[], Server[Any]]) -> asyncio.Server:
    """Listen on a Unix socket, readable by its owner only; each connection is one MCP client, `MAX_CONNECTIONS` at a time.

    Such a client may say nothing for days, so none has to make room for another.
    """
    clients = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal clients
        clients += 1
        stream = LineStream(reader, writer)
        try:
            if clients > MAX_CONNECTIONS:
                refusal = wire.Malformed(BUSY, f"The gateway has {MAX_CONNECTIONS} clients on this socket; end one.")
                with contextlib.suppress(ConnectionError):
                    await stream.write(orjson.dumps(refusal.reply()))
            else:
                await serve(make_server(), stream)
        finally:
            clients -= 1
            writer.close()

    previous = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(connected, path, limit=2 * wire.MAX_BYTES)
    finally:
        os.umask(previous)
