"""Where a document comes from: a file, read again when it changed, or a URL, fetched until it has the pinned digest."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from gateway.adapters.upstream.openapi.document import MAX_BYTES, Document, UnusableDocument, read_document
from gateway.adapters.upstream.openapi.request import Request
from gateway.adapters.upstream.openapi.sending import Sending, send
from gateway.adapters.upstream.rpc import Fault
from gateway.adapters.upstream.spec import OpenApiSpec


class Source:
    """The document of one API. `read` gives the same object as long as nothing changed."""

    def __init__(self, spec: OpenApiSpec, session: aiohttp.ClientSession) -> None:
        self._spec = spec
        self._session = session
        self._kept: tuple[tuple[int, ...], Document] | None = None

    async def read(self) -> Document:
        """The document as it is now. Raises `UnusableDocument`."""
        if self._spec.fetched:
            return await self._read((), self._fetched)
        stamp = await asyncio.to_thread(_stamp, self._spec.document)  # a file system may hang
        return await self._read(stamp, lambda: asyncio.to_thread(_read_file, self._spec.document))

    async def _read(self, stamp: tuple[int, ...], data: Callable[[], Awaitable[bytes]]) -> Document:
        if self._kept is None or self._kept[0] != stamp:
            self._kept = None
            document = await asyncio.to_thread(read_document, await data(), self._spec.sha256)
            self._kept = stamp, document
        return self._kept[1]

    async def _fetched(self) -> bytes:
        request = Request("GET", self._spec.document, {"accept-encoding": "identity"}, None)
        limits = self._spec.limits
        try:
            async with asyncio.timeout(limits.deadline_seconds):
                answer = await send(self._session, request, Sending(once=False), MAX_BYTES, limits.connect_seconds)
        except (Fault, TimeoutError) as error:
            raise UnusableDocument("Its document cannot be fetched.") from error
        if answer.status != 200:
            raise UnusableDocument("Its document cannot be fetched.")
        return answer.body


def _stamp(path: str) -> tuple[int, ...]:
    """What tells a changed file from one that was read."""
    try:
        told = os.stat(path)
    except OSError as error:
        raise UnusableDocument("Its document cannot be read.") from error
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns


def _read_file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnusableDocument("Its document cannot be read.") from error
