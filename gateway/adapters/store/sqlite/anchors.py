"""Anchors in the database, and the roots and proofs that witnesses are shown."""

from collections.abc import Sequence
from typing import Any

import apsw

from gateway.adapters.store.sqlite.rows import SELECT_ANCHORS, anchor_row
from gateway.adapters.store.sqlite.tiles import read_tile
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.anchor import Anchor, AnchorKind
from gateway.core.checkpoint import read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.errors import StoreFault
from gateway.core.proof import Node, consistency_proof, tree_root
from gateway.core.tiles import TileName, tile_nodes


class SqliteAnchors:
    """Implements `core.ports.AnchorStore`: reads on the journal's reading connection, writes through its writer."""

    def __init__(self, writer: Writer, reader: apsw.Connection) -> None:
        self._writer = writer
        self._reader = reader

    def size(self) -> int:
        rows = self._rows("SELECT size FROM head")
        return int(rows[0][0]) if rows else 0

    def root_at(self, size: int) -> bytes:
        try:
            return tree_root(size, self._nodes(size))
        except ValueError as error:
            raise _damaged(error) from error

    def consistency(self, old: int, new: int) -> list[bytes]:
        try:
            return consistency_proof(old, new, self._nodes(new))
        except ValueError as error:
            raise _damaged(error) from error

    def newest_checkpoint(self) -> str | None:
        rows = self._rows("SELECT size, CAST(note AS TEXT) FROM checkpoints ORDER BY size DESC LIMIT 1")
        if not rows:
            return None
        size, note = rows[0]
        try:
            if read_checkpoint(note).checkpoint.size != size:
                raise NotVerified(f"the checkpoint filed under {size} is another one")
        except NotVerified as error:
            raise _damaged(error) from error
        return str(note)

    def anchors(self, size: int) -> list[Anchor]:
        try:
            return [anchor_row(row) for row in self._rows(SELECT_ANCHORS, size)]
        except ValueError as error:
            raise _damaged(error) from error

    def cosigned(self) -> dict[str, int]:
        query = "SELECT who, max(size) FROM anchors WHERE kind = ? GROUP BY who"
        return {str(who): int(size) for who, size in self._rows(query, AnchorKind.COSIGNATURE.value)}

    async def keep(self, anchors: Sequence[Anchor]) -> None:
        def work(transaction: Transaction) -> None:
            for anchor in anchors:
                transaction.db.execute(
                    "INSERT OR REPLACE INTO anchors VALUES (?, ?, ?, ?, ?)",
                    (anchor.size, anchor.kind.value, anchor.who, anchor.at, anchor.proof),
                )

        await self._writer.submit(work)

    def _nodes(self, size: int) -> Node:
        return tile_nodes(size, self._tile)

    def _tile(self, name: TileName) -> bytes:
        try:
            data = read_tile(self._reader, name)
        except apsw.Error as error:
            raise _damaged(error) from error
        if data is None:
            raise ValueError(f"{name.path} is missing")
        return data

    def _rows(self, query: str, *values: int | str) -> list[tuple[Any, ...]]:
        try:
            return list(self._reader.execute(query, values))
        except apsw.Error as error:
            raise _damaged(error) from error


def _damaged(error: Exception) -> StoreFault:
    return StoreFault(f"the log cannot be read: {error}", hint="sealgate log verify names what is damaged.")
