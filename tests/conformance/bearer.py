"""A relay on loopback that adds a bearer token to every request: the suite cannot send one, the gateway wants one.

All other bytes pass as they came, in both directions and at once, so that what the suite sends and sees is the gateway's.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_CHUNK = 64 * 1024
_MAX_HEAD_BYTES = 64 * 1024


@contextlib.asynccontextmanager
async def with_bearer(listen: int, port: int, token: str) -> AsyncIterator[None]:
    """Relay 127.0.0.1:`listen` to 127.0.0.1:`port`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", port)
        inward = asyncio.ensure_future(_requests(reader, ahead, token))
        outward = asyncio.ensure_future(_bytes(behind, writer))
        try:
            # Whichever side ends, ends the other: an aborted stream must reach the gateway.
            await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.gather(inward, outward, return_exceptions=True)
            for end in (writer, ahead):
                end.close()

    server = await asyncio.start_server(serve, "127.0.0.1", listen, limit=_MAX_HEAD_BYTES)
    async with server:
        yield


async def _requests(reader: asyncio.StreamReader, ahead: asyncio.StreamWriter, token: str) -> None:
    """Each request with the header added behind its first line. A body whose end is not told by its length is refused."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            line, _, fields = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            left = _length(fields)
            ahead.write(line + b"\r\nAuthorization: Bearer " + token.encode() + b"\r\n" + fields)
            while left:
                held = await reader.read(min(left, _CHUNK))
                if not held:
                    return
                ahead.write(held)
                left -= len(held)
            await ahead.drain()


async def _bytes(behind: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while held := await behind.read(_CHUNK):
            writer.write(held)
            await writer.drain()


def _length(fields: bytes) -> int:
    """The length of the body in bytes. Raises `ValueError` where the fields do not tell it."""
    lines = (line.partition(b":") for line in fields.split(b"\r\n"))
    told = {name.strip().lower(): value.strip() for name, _, value in lines}
    if b"transfer-encoding" in told:
        raise ValueError("a request with Transfer-Encoding is not relayed")
    return int(told.get(b"content-length", b"0"))
