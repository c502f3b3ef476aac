"""Tiles are those of C2SP tlog-tiles: the names, the widths and the hashes that its definitions give for every size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.merkle import leaf_hash, node_hash
from gateway.core.proof import inclusion_proof, tree_root, verify_inclusion
from gateway.core.tiles import (
    WIDTH,
    TileEdge,
    TileName,
    bundle,
    partial_widths,
    tile_name,
    tile_names,
    tile_nodes,
    unbundle,
)

LARGEST = 66_100  # 256**2 is 65,536: three levels
LEAVES = [leaf_hash(number.to_bytes(4, "big")) for number in range(LARGEST)]
SIZE = st.one_of(
    st.integers(0, LARGEST),
    st.integers(0, 600),
    st.sampled_from([255, 256, 257, 511, 512, 513, 65_279, 65_280, 65_535, 65_536, 65_537, 65_792, 66_048]),
)


def perfect_levels() -> list[list[bytes]]:
    levels = [LEAVES]
    while len(below := levels[-1]) > 1:
        levels.append([node_hash(below[place], below[place + 1]) for place in range(0, len(below) - 1, 2)])
    return levels


PERFECT = perfect_levels()


def defined_tile(name: TileName) -> bytes:
    """By the definition: MTH(D[(n * 256 + i) * 256**l : (n * 256 + i + 1) * 256**l]) for i below the width."""
    assert name.level is not None
    start = name.index * WIDTH
    return b"".join(PERFECT[8 * name.level][start : start + name.width])


def root(size: int) -> bytes:
    return tree_root(size, lambda level, index: PERFECT[level][index])


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (TileName(0, 0), "tile/0/000"),
        (TileName(0, 273, 112), "tile/0/273.p/112"),
        (TileName(1, 1234067), "tile/1/x001/x234/067"),
        (TileName(63, 1000, 1), "tile/63/x001/000.p/1"),
        (TileName(None, 999), "tile/entries/999"),
        (TileName(None, 1000, 255), "tile/entries/x001/000.p/255"),
    ],
)
def test_a_tile_has_the_path_of_the_specification(name: TileName, path: str) -> None:
    assert name.path == path
    assert tile_name(path) == name


@given(st.one_of(st.none(), st.integers(0, 63)), st.integers(0, 10**15 - 1), st.integers(1, WIDTH))
def test_a_path_names_its_tile(level: int | None, index: int, width: int) -> None:
    name = TileName(level, index, width)
    assert tile_name(name.path) == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/data/000",
        "tile/entries",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/1000",
        "tile/0/001/000",
        "tile/0/x000/000",
        "tile/0/x000/x001/000",
        "tile/0/x001",
        "tile/0/x001/x002",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/0/../0/000",
        "tile/0/x999/x999/x999/x999/x999/999",
    ],
)
def test_anything_else_is_no_tile(path: str) -> None:
    assert tile_name(path) is None


def test_the_tiles_of_seventy_thousand_entries_are_those_of_the_specification() -> None:
    names = [name for name in tile_names(70_000) if name.level is not None]
    assert [name for name in names if name.level == 0 and not name.partial] == [TileName(0, n) for n in range(273)]
    assert [name for name in names if name.level != 0 or name.partial] == [
        TileName(0, 273, 112),
        TileName(1, 0),
        TileName(1, 1, 17),
        TileName(2, 0, 1),
    ]
    bundles = [name for name in tile_names(70_000) if name.level is None]
    assert bundles == [*(TileName(None, n) for n in range(273)), TileName(None, 273, 112)]


def test_a_tree_of_one_full_tile_has_one_hash_above_it_and_an_empty_tree_nothing() -> None:
    assert [name.path for name in tile_names(256)] == ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]
    assert list(tile_names(0)) == []


@given(SIZE, SIZE)
def test_what_is_new_is_what_the_older_log_had_not(size: int, other: int) -> None:
    since, size = sorted((size, other))
    older = set(tile_names(since))
    assert list(tile_names(size, since)) == [name for name in tile_names(size) if name not in older]


def test_the_writers_tiles_are_those_of_the_definition_at_every_size() -> None:
    edge, stored = TileEdge(), dict[tuple[int, int], bytes]()
    for size, leaf in enumerate(LEAVES, start=1):
        grown = edge.append(leaf)
        assert len(grown) <= 1 + len(partial_widths(size))
        stored |= {(tile.level, tile.index): tile.hashes for tile in grown}
        if size % WIDTH:
            assert not grown
        else:
            assert {(tile.level, tile.index) for tile in grown} >= {(0, size // WIDTH - 1), (1, (size - 1) // WIDTH**2)}
    for name in tile_names(LARGEST):
        if name.level is not None and (name.level, name.partial) != (0, True):
            assert stored.pop((name.level, name.index)) == defined_tile(name), name
    assert not stored


def partial_tile(level: int, size: int, width: int) -> list[bytes]:
    start = size // WIDTH ** (level + 1) * WIDTH
    return PERFECT[8 * level][start : start + width]


@given(SIZE, st.integers(1, 600))
def test_an_edge_goes_on_from_its_partial_tiles_as_if_it_had_never_stopped(size: int, more: int) -> None:
    more = min(more, LARGEST - size)
    levels = [partial_tile(level, size, width) for level, width in enumerate(partial_widths(size))]
    edge = TileEdge(levels, size)
    assert edge.root() == root(size)
    copy = edge.copy()
    following = LEAVES[size : size + more]
    written = [tile for leaf in following for tile in edge.append(leaf)]
    for tile in written:
        name = TileName(tile.level, tile.index, len(tile.hashes) // 32)
        assert tile.hashes == defined_tile(name), name
    assert [tile for leaf in following for tile in copy.append(leaf)] == written, "the copy was touched"


@pytest.mark.parametrize(
    ("levels", "size"), [([[bytes(32)]], 0), ([], 1), ([[bytes(32)]], 256), ([[], [bytes(32)] * 2], 256)]
)
def test_partial_tiles_that_do_not_fit_the_size_are_refused(levels: list[list[bytes]], size: int) -> None:
    with pytest.raises(ValueError, match="partial tiles"):
        TileEdge(levels, size)


@given(SIZE.filter(bool), st.data())
def test_the_tiles_alone_give_the_root_and_every_proof(size: int, data: st.DataObject) -> None:
    asked: list[TileName] = []

    def read(name: TileName) -> bytes:
        asked.append(name)
        return defined_tile(name)

    index = data.draw(st.integers(0, size - 1))
    node = tile_nodes(size, read)
    proof = inclusion_proof(index, size, node)
    assert tree_root(size, node) == root(size)
    assert verify_inclusion(index, size, LEAVES[index], proof, root(size))
    assert set(asked) <= set(tile_names(size)), "a tile that a log of this size does not publish"
    assert len(asked) == len(set(asked)) <= 6


def test_a_tile_of_another_length_is_refused() -> None:
    node = tile_nodes(300, lambda name: bytes(32))
    with pytest.raises(ValueError, match=r"tile/0/001\.p/44 has 32 bytes"):
        node(0, 256)


@given(st.lists(st.binary(max_size=70), min_size=1, max_size=WIDTH))
def test_a_bundle_gives_back_its_entries(entries: list[bytes]) -> None:
    name = TileName(None, 0, len(entries))
    data = bundle(entries)
    assert unbundle(data, name) == entries
    assert len(data) == sum(2 + len(entry) for entry in entries)


def test_a_bundle_holds_the_longest_entry_there_may_be_and_not_a_longer_one() -> None:
    longest = bytes(65_535)
    assert unbundle(bundle([b"", longest]), TileName(None, 0, 2)) == [b"", longest]
    with pytest.raises(ValueError, match="at most 65535"):
        bundle([bytes(65_536)])


@pytest.mark.parametrize("data", [b"\0", b"\0\2a", b"\0\1ab", b"\0\1a", b"\0\1a\0\1b\0\1c", b""])
def test_a_bundle_that_was_cut_or_has_another_number_of_entries_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"tile/entries/000\.p/2"):
        unbundle(data, TileName(None, 0, 2))


@given(st.binary(max_size=400), st.integers(1, WIDTH))
def test_any_bytes_are_a_bundle_or_refused_as_none(data: bytes, width: int) -> None:
    name = TileName(None, 0, width)
    try:
        entries = unbundle(data, name)
    except ValueError:
        return
    assert bundle(entries) == data


@given(st.one_of(st.text(max_size=30), st.from_regex(r"tile/(entries|[0-9]{1,2})/[x0-9/]{1,12}(\.p/[0-9]{1,3})?")))
def test_any_text_is_the_one_path_of_a_tile_or_of_none(path: str) -> None:
    name = tile_name(path)
    assert name is None or name.path == path
