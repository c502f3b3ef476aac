"""C2SP tlog-tiles: the log as files that never change, from which anyone can make every proof.

A tile of level L holds 256 consecutive hashes, each the root of 256**L entries; an entry bundle holds 256 entries. The
last of a level may be partial: it has fewer, and its name says how many. Source: https://c2sp.org/tlog-tiles.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from gateway.core.merkle import node_hash
from gateway.core.proof import Node, tree_root

WIDTH = 256
HEIGHT = 8  # 2**8 is 256
HASH_BYTES = 32
MAX_ENTRY_BYTES = 0xFFFF

_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]|[1-5][0-9]|6[0-3])/(?P<index>(?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


@dataclass(frozen=True, slots=True)
class TileName:
    """Names a tile of hashes, or with level None a bundle of entries. A width below 256: a partial one."""

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def partial(self) -> bool:
        return self.width < WIDTH

    @property
    def path(self) -> str:
        """Its path below the log's prefix: `tile/0/x001/067`, `tile/entries/000.p/12`."""
        digits = f"{self.index:03d}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        parts = [digits[start : start + 3] for start in range(0, len(digits), 3)]
        level = "entries" if self.level is None else self.level
        place = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
        return f"tile/{level}/{place}" + (f".p/{self.width}" if self.partial else "")

    @property
    def full(self) -> "TileName":
        """The same tile once it is full."""
        return TileName(self.level, self.index)


def tile_name(path: str) -> TileName | None:
    """The tile with this path; None where it is the path of none. Every tile has one spelling."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    level = None if found["level"] == "entries" else int(found["level"])
    name = TileName(level, int(found["index"].replace("x", "").replace("/", "")), int(found["width"] or WIDTH))
    return name if name.path == path else None


def tile_names(size: int, since: int = 0) -> Iterator[TileName]:
    """What a log of `size` entries has and one of `since` entries had not: bundles, then tiles, lowest level first."""
    yield from _level_names(None, size, since)
    level = 0
    while size:
        yield from _level_names(level, size, since)
        size, since, level = size >> HEIGHT, since >> HEIGHT, level + 1


def _level_names(level: int | None, count: int, since: int) -> Iterator[TileName]:
    """Names of a level with `count` hashes or entries, of which `since` were there before."""
    for index in range(since // WIDTH, count // WIDTH):
        yield TileName(level, index)
    if count % WIDTH and count != since:
        yield TileName(level, count // WIDTH, count % WIDTH)


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile's hashes, concatenated, and its place."""

    level: int
    index: int
    hashes: bytes

    @property
    def name(self) -> TileName:
        return TileName(self.level, self.index, len(self.hashes) // HASH_BYTES)


class TileEdge:
    """The unfinished last tile of every level. Not thread-safe; owned by the log's writer.

    An append costs the same at every size of the log: one hash more per 256 appends for each level, 255 inside a tile.
    """

    def __init__(self, levels: Iterable[Iterable[bytes]] = (), size: int = 0) -> None:
        """`levels`: the hashes of each level's partial tile, lowest first, for a log of `size` entries."""
        self.size = size
        self._levels = [list(hashes) for hashes in levels]
        if [len(hashes) for hashes in self._levels] != partial_widths(size):
            raise ValueError(f"these are not the partial tiles of {size} entries")

    def append(self, leaf: bytes) -> list[Tile]:
        """Add one leaf hash; the tiles to store: each that became full, and above it the one that grew by its root."""
        self.size += 1
        if not self._levels:
            self._levels.append([])
        self._levels[0].append(leaf)
        if len(self._levels[0]) < WIDTH:
            return []
        stored = []
        level = 0
        while len(hashes := self._levels[level]) == WIDTH:
            stored.append(Tile(level, (self.size >> HEIGHT * (level + 1)) - 1, b"".join(hashes)))
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(_perfect_root(hashes))
            self._levels[level] = []
            level += 1
        stored.append(Tile(level, self.size >> HEIGHT * (level + 1), b"".join(self._levels[level])))
        return stored

    def partial_tiles(self) -> list[Tile]:
        """The partial tiles, lowest level first. They hold all that it takes to go on, and to know the root."""
        return [
            Tile(level, self.size >> HEIGHT * (level + 1), b"".join(hashes))
            for level, hashes in enumerate(self._levels)
            if hashes
        ]

    def root(self) -> bytes:
        """The root of the log."""
        tiles = {tile.level: tile.hashes for tile in self.partial_tiles()}
        return tree_root(self.size, tile_nodes(self.size, lambda name: tiles[name.level or 0]))

    def copy(self) -> "TileEdge":
        """An independent copy, to roll back to."""
        return TileEdge(self._levels, self.size)


def partial_widths(size: int) -> list[int]:
    """How many hashes the last, partial tile of each level has, lowest level first; 0 where there is none."""
    widths = []
    while size:
        widths.append(size % WIDTH)
        size >>= HEIGHT
    return widths


def tile_nodes(size: int, read: Callable[[TileName], bytes]) -> Node:
    """The nodes of a log of `size` entries, out of its tiles. Keeps what it read: one reader for one or two proofs.

    `read` gives a tile's bytes or raises; a tile of the wrong length raises ValueError.
    """
    kept: dict[TileName, list[bytes]] = {}

    def node(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, HEIGHT)
        place = index << height
        number = place // WIDTH
        name = TileName(tile_level, number, min(WIDTH, (size >> HEIGHT * tile_level) - number * WIDTH))
        if name not in kept:
            kept[name] = split_hashes(read(name), name)
        first = place % WIDTH
        return _perfect_root(kept[name][first : first + (1 << height)])

    return node


def split_hashes(data: bytes, name: TileName) -> list[bytes]:
    """The hashes of a tile. Raises ValueError where their number is not the name's."""
    if len(data) != name.width * HASH_BYTES:
        raise ValueError(f"{name.path} has {len(data)} bytes, not {name.width * HASH_BYTES}")
    return [data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES)]


def bundle(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry after its length in two bytes, big-endian. Raises ValueError for a longer entry."""
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise ValueError(f"an entry of a bundle has at most {MAX_ENTRY_BYTES} bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundle(data: bytes, name: TileName) -> list[bytes]:
    """The entries of a bundle. Raises ValueError where it is cut, or their number is not the name's."""
    entries = []
    place = 0
    while place < len(data):
        start = place + 2
        place = start + int.from_bytes(data[place:start], "big")
        if place > len(data) or start > len(data):
            raise ValueError(f"{name.path} ends within an entry")
        entries.append(data[start:place])
    if len(entries) != name.width:
        raise ValueError(f"{name.path} has {len(entries)} entries, not {name.width}")
    return entries


def _perfect_root(hashes: list[bytes]) -> bytes:
    """The root over a power of two of hashes."""
    while len(hashes) > 1:
        hashes = [node_hash(hashes[place], hashes[place + 1]) for place in range(0, len(hashes), 2)]
    return hashes[0]
