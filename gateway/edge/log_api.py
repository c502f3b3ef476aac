"""The log for `sealgate log`, by pages: entries, checkpoints, anchors, and the tiles that proofs are made of.

A page is read on a connection of its own, in a thread, and no longer than a page is: a reader that is slow, or goes away,
holds nothing. Pages of one log fit together whatever is appended between them, since nothing in a log changes.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import orjson
from starlette.responses import Response

from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.anchor import Anchor
from gateway.core.errors import GatewayError
from gateway.core.tiles import tile_name
from gateway.edge import api_told as told
from gateway.edge.api_route import READING, ApiRoute, Asked, Nothing
from gateway.edge.api_sent import AnchoredQuery, CheckpointQuery, CheckpointsQuery, EntriesQuery, TileQuery

MAX_READS = 4
"""At the same time. A page is at most somewhat longer than `PAGE_BYTES`."""
PAGE_BYTES = 4 << 20
LOG = "/api/v1/log"

T = TypeVar("T")
Document = dict[str, Any]


class LogDesk:
    """Answers the routes below."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._reads = anyio.CapacityLimiter(MAX_READS)

    def routes(self) -> list[ApiRoute[Any, Any]]:
        """Below `/api/v1/log`."""
        no, none = Nothing, (404,)
        head, entries = "How long the log is, and the root of its tree", "Signed entries, in order"
        notes, newest = "Signed checkpoints, the smallest first", "The newest checkpoint, as a signed note"
        anchored = "Checkpoints that witnesses cosigned or that were stamped, the newest first"
        tile, data = "A tile of hashes, or a bundle of entries (C2SP tlog-tiles)", "application/octet-stream"
        return [
            ApiRoute("GET", f"{LOG}/head", READING, head, no, no, told.LogHead, self._head),
            ApiRoute("GET", f"{LOG}/entries", READING, entries, EntriesQuery, no, told.EntriesPage, self._entries),
            ApiRoute(
                "GET", f"{LOG}/checkpoints", READING, notes, CheckpointsQuery, no, told.CheckpointsPage, self._checkpoints
            ),
            ApiRoute("GET", f"{LOG}/anchored", READING, anchored, AnchoredQuery, no, told.AnchoredPage, self._anchored),
            ApiRoute("GET", f"{LOG}/checkpoint", READING, newest, CheckpointQuery, no, "text/plain", self._checkpoint, none),
            ApiRoute("GET", f"{LOG}/tile", READING, tile, TileQuery, no, data, self._tile, none),
        ]

    async def _head(self, asked: Asked[Nothing, Nothing]) -> Document:
        size, root = await self._read(lambda log: log.head())
        return {"size": size, "root": root.hex()}

    async def _entries(self, asked: Asked[EntriesQuery, Nothing]) -> Response:
        query = asked.query

        def read(log: SqliteLog) -> Document:
            rows = log.entries(query.start)
            if query.naming is not None:
                rows = (row for row in log.entries_naming(query.naming) if row.index >= query.start)
            found = ((row.index, row.entry, row.leaf) for row in rows)
            page, following = _page(found, query.limit, lambda row: len(row[1]), lambda row: row[0])
            documents = [
                {"index": index, "entry": b64encode(entry).decode(), "leaf": leaf.hex()} for index, entry, leaf in page
            ]
            return {"entries": documents, "next": following}

        return await self._page(read)

    async def _checkpoints(self, asked: Asked[CheckpointsQuery, Nothing]) -> Response:
        query = asked.query

        def read(log: SqliteLog) -> Document:
            page, following = _page(
                log.checkpoints(query.start or None), query.limit, lambda row: len(row[1]), lambda row: row[0]
            )
            return {"checkpoints": [{"size": size, "note": note} for size, note in page], "next": following}

        return await self._page(read)

    async def _anchored(self, asked: Asked[AnchoredQuery, Nothing]) -> Response:
        query = asked.query

        def read(log: SqliteLog) -> Document:
            found = list(islice(log.anchored(query.below), query.limit))
            documents = [{"note": one.note, "anchors": [_anchor(anchor) for anchor in one.anchors]} for one in found]
            sizes = [anchor.size for one in found for anchor in one.anchors]
            return {"anchored": documents, "next": min(sizes) if len(found) == query.limit and sizes else None}

        return await self._page(read)

    async def _checkpoint(self, asked: Asked[CheckpointQuery, Nothing]) -> Response:
        note = await self._read(lambda log: log.checkpoint(cosigned=asked.query.cosigned))
        if note is None:
            raise GatewayError("The log has no such checkpoint yet.", code="log.no_checkpoint")
        return Response(note, media_type="text/plain")

    async def _tile(self, asked: Asked[TileQuery, Nothing]) -> Response:
        name = tile_name(asked.query.name)
        data = None if name is None else await self._read(lambda log: log.tile(name))
        if data is None:  # also of another spelling of a tile's path
            raise GatewayError("There is no such tile: the log is not that long.", code="log.too_short")
        return Response(data, media_type="application/octet-stream")

    async def _page(self, read: Callable[[SqliteLog], Document]) -> Response:
        """A page, written as JSON in the thread that reads it: the event loop has calls to serve."""
        return Response(await self._read(lambda log: orjson.dumps(read(log))), media_type="application/json")

    async def _read(self, read: Callable[[SqliteLog], T]) -> T:
        def opened() -> T:
            with closing(SqliteLog(self._journal)) as log:
                return read(log)

        return await anyio.to_thread.run_sync(opened, limiter=self._reads)


def _page(rows: Iterable[T], limit: int, size: Callable[[T], int], place: Callable[[T], int]) -> tuple[list[T], int | None]:
    """The rows of one page, and the place at which the next one starts; None where there is none."""
    page: list[T] = []
    left = PAGE_BYTES
    for row in rows:
        if len(page) == limit or left < 0:
            return page, place(row)
        page.append(row)
        left -= size(row)
    return page, None


def _anchor(anchor: Anchor) -> Document:
    known = {"size": anchor.size, "kind": anchor.kind.value, "who": anchor.who, "at": anchor.at}
    return {**known, "proof": b64encode(anchor.proof).decode()}
