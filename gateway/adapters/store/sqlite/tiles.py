"""The log's tiles in the database. At level 0 only full ones are stored: a partial one is the leaf hashes of its entries.

Above, every tile is stored, and the last one of a level grows: what it held before is the beginning of what it holds now,
so that every earlier partial tile can still be read.
"""

import apsw

from gateway.core.errors import StoreFault
from gateway.core.merkle import Frontier
from gateway.core.tiles import HASH_BYTES, HEIGHT, WIDTH, Tile, TileEdge, TileName, bundle, partial_widths, split_hashes


def put_tile(db: apsw.Connection, tile: Tile) -> None:
    """Store a tile, or what a growing one is now."""
    db.execute("INSERT OR REPLACE INTO tiles VALUES (?, ?, ?)", (tile.level, tile.index, tile.hashes))


def read_tile(db: apsw.Connection, name: TileName) -> bytes | None:
    """The bytes of a tile or an entry bundle; None where the log is not that long yet.

    Columns are cast: SQLite keeps any type in any column, and a changed one is for verification to find.
    """
    start = name.index * WIDTH
    if name.level is None:
        entries = _column(
            db, "SELECT CAST(entry AS BLOB) FROM entries WHERE idx >= ? AND idx < ?", start, start + name.width
        )
        return bundle(entries) if len(entries) == name.width else None
    if name.level == 0 and name.partial:
        stored = _column(db, "SELECT CAST(leaf AS BLOB) FROM entries WHERE idx >= ? AND idx < ?", start, start + name.width)
    else:
        stored = _column(db, "SELECT CAST(hashes AS BLOB) FROM tiles WHERE level = ? AND idx = ?", name.level, name.index)
    hashes = b"".join(stored)[: name.width * HASH_BYTES]
    return hashes if len(hashes) == name.width * HASH_BYTES else None


def stored_edge(db: apsw.Connection, frontier: Frontier) -> TileEdge:
    """Where the tiles of the stored log end. Reads one partial tile for each level. Raises `StoreFault`."""
    size = frontier.size
    levels = []
    for level, width in enumerate(partial_widths(size)):
        name = TileName(level, size >> HEIGHT * (level + 1), width)
        data = read_tile(db, name) if width else b""
        if data is None:
            raise _differ()
        levels.append(split_hashes(data, name) if width else [])
    edge = TileEdge(levels, size)
    if edge.root() != frontier.root():
        raise _differ()
    return edge


def _differ() -> StoreFault:
    return StoreFault("the log and its stored tiles disagree", hint="sealgate log verify names the first difference.")


def _column(db: apsw.Connection, query: str, *values: int) -> list[bytes]:
    return [bytes(row[0] or b"") for row in db.execute(query, values)]
