"""The log as a C2SP tiled log over HTTP: `/log/checkpoint`, `/log/tile/…`, `/log/tile/entries/…`, for auditors and admins.

Every answer but the checkpoint never changes. Reading happens in threads, on connections that cannot write.
Source: https://c2sp.org/tlog-tiles.
"""

import gzip
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.errors import GatewayError
from gateway.core.tiles import tile_name
from gateway.edge.door import Door

ROLES = frozenset({"auditor", "admin"})
MAX_READS = 4
"""At the same time. A bundle of the largest entries has 16 MiB."""

_FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
_NOT_KEPT = {"Cache-Control": "private, no-cache"}

_log = structlog.get_logger("sealgate.log")
T = TypeVar("T")


class LogFiles:
    """Answers the paths below the log's prefix, whoever asks."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._reads = anyio.CapacityLimiter(MAX_READS)

    def routes(self) -> list[Route]:
        """`/checkpoint` and `/tile/…`."""
        return [Route("/checkpoint", self._checkpoint), Route("/tile/{rest:path}", self._tile)]

    async def _checkpoint(self, request: Request) -> Response:
        cosigned = request.query_params.get("cosigned") == "true"
        note = await self._read(lambda log: log.checkpoint(cosigned=cosigned))
        if isinstance(note, Response):
            return note
        if note is None:
            return _missing("The log has no such checkpoint yet.")
        return Response(note, media_type="text/plain; charset=utf-8", headers=_NOT_KEPT)

    async def _tile(self, request: Request) -> Response:
        name = tile_name(f"tile/{request.path_params['rest']}")
        if name is None:
            return _missing("That is not the path of a tile.")
        packed = name.level is None and "gzip" in request.headers.get("accept-encoding", "")

        def read(log: SqliteLog) -> bytes | None:
            data = log.tile(name)
            return gzip.compress(data, compresslevel=1, mtime=0) if packed and data is not None else data

        data = await self._read(read)
        if isinstance(data, Response):
            return data
        if data is None:
            return _missing("The log is not that long.")
        headers = {**_FOR_EVER, **({"Vary": "Accept-Encoding"} if name.level is None else {})}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return Response(data, media_type="application/octet-stream", headers=headers)

    async def _read(self, read: Callable[[SqliteLog], T]) -> T | Response:
        """What `read` finds, or the answer where the log cannot be read: its cause goes to the gateway's own log."""

        def opened() -> T:
            with closing(SqliteLog(self._journal)) as log:
                return read(log)

        try:
            return await anyio.to_thread.run_sync(opened, limiter=self._reads)
        except GatewayError as error:
            _log.error("log_unreadable", code=error.code, cause=error.message)
            return JSONResponse({"error": error.code, "message": "The log cannot be read."}, status_code=500)


class GuardedLog:
    """ASGI: `LogFiles` behind the door, for callers with one of `ROLES`."""

    def __init__(self, files: LogFiles, door: Door) -> None:
        self._app: ASGIApp = Router(routes=files.routes(), redirect_slashes=False)
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        caller = await self._door.admit(request)
        if isinstance(caller, Response):
            await caller(scope, receive, send)
        elif not caller.roles & ROLES:
            told = {"error": "forbidden", "message": "Reading the log needs the role auditor or admin."}
            await JSONResponse(told, status_code=403)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _missing(message: str) -> Response:
    return JSONResponse({"error": "not_found", "message": message}, status_code=404, headers=_NOT_KEPT)
