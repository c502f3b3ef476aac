"""Tiles in the database: those of the log at every size it had, kept with the entries or not at all."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.adapters.store.sqlite.writer import Transaction
from gateway.core.errors import StoreFault
from gateway.core.merkle import leaf_hash, node_hash
from gateway.core.proof import consistency_proof, inclusion_proof, verify_consistency, verify_inclusion
from gateway.core.tiles import TileName, bundle, tile_names, tile_nodes, unbundle
from gateway.core.verify import verify_log
from tests.store.filled import boots, fill
from tests.store.world import SqliteWorld

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path)
    yield opened
    opened.close()


async def append(world: SqliteWorld, count: int) -> None:
    """That many entries in one transaction."""
    records = boots(count, world.head()[0])

    def work(transaction: Transaction) -> None:
        for record in records:
            transaction.append(record)

    await world.writer.submit(work)


def defined(name: TileName, entries: list[bytes]) -> bytes:
    """What the specification says is in a tile or a bundle."""
    span = 256 ** (name.level or 0)
    places = range(name.index * 256, name.index * 256 + name.width)
    if name.level is None:
        return bundle([entries[place] for place in places])
    return b"".join(perfect_root([leaf_hash(one) for one in entries[span * place : span * (place + 1)]]) for place in places)


def perfect_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    half = len(hashes) // 2
    return node_hash(perfect_root(hashes[:half]), perfect_root(hashes[half:]))


def read(path: Path, name: TileName) -> bytes | None:
    with closing(SqliteLog(path)) as log:
        return log.tile(name)


def entries_of(path: Path) -> list[bytes]:
    with closing(SqliteLog(path)) as log:
        return [stored.entry for stored in log.entries()]


def problems(folder: Path) -> list[str]:
    """What verification finds, tiles and all."""
    trusted = load_trusted_keys(folder / "keys" / "public.json")
    with closing(SqliteLog(folder / "journal.db")) as log:
        report = verify_log(log.entries(), log.checkpoints(), trusted, head=log.head(), snapshot=True, tile=log.tile)
        return report.problems


@pytest.mark.parametrize("batches", [[1], [255], [256], [257], [511, 1, 1], [100] * 6, [1, 255, 256, 257]])
async def test_every_tile_the_log_ever_had_is_there_as_the_specification_defines_it(
    world: SqliteWorld, batches: list[int]
) -> None:
    sizes = []
    for count in batches:
        await append(world, count)
        sizes.append(world.head()[0])
        world.reopen()  # and it goes on from what it kept
    entries = entries_of(world.path)
    for size in sizes:
        for name in tile_names(size):
            assert read(world.path, name) == defined(name, entries), (size, name)
    assert problems(world.folder) == []


async def test_a_tile_that_is_not_whole_yet_is_not_there(world: SqliteWorld) -> None:
    await append(world, 300)
    for path_ahead in (
        TileName(0, 1),
        TileName(0, 1, 45),
        TileName(0, 2, 1),
        TileName(1, 0),
        TileName(1, 0, 2),
        TileName(1, 1, 1),
        TileName(2, 0, 1),
        TileName(63, 10**15 - 1),
        TileName(None, 1),
        TileName(None, 1, 45),
        TileName(None, 10**15 - 1, 1),
    ):
        assert read(world.path, path_ahead) is None, path_ahead
    assert read(world.path, TileName(0, 1, 44)) is not None


async def test_a_batch_that_fails_leaves_no_tile_behind(world: SqliteWorld) -> None:
    await append(world, 250)
    records = boots(600, 250)

    def work(transaction: Transaction) -> None:
        for record in records:
            transaction.append(record)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await world.writer.submit(work)
    assert read(world.path, TileName(0, 0)) is None
    await append(world, 20)
    entries = entries_of(world.path)
    assert len(entries) == 270
    assert all(read(world.path, name) == defined(name, entries) for name in tile_names(270))
    assert problems(world.folder) == []


async def test_every_entry_and_every_older_size_can_be_proved_from_the_stored_tiles(world: SqliteWorld) -> None:
    await append(world, 700)
    await world.checkpointed()
    size, root = world.head()
    with closing(SqliteLog(world.path)) as log:

        def stored(name: TileName) -> bytes:
            data = log.tile(name)
            assert data is not None, name
            return data

        for entry in log.entries():
            proof = inclusion_proof(entry.index, size, tile_nodes(size, stored))
            assert verify_inclusion(entry.index, size, entry.leaf, proof, root)
        node = tile_nodes(size, stored)
        for old in range(1, size, 37):
            older = defined_root(world.path, old)
            assert verify_consistency(old, size, older, root, consistency_proof(old, size, node))


def defined_root(path: Path, size: int) -> bytes:
    with closing(SqliteLog(path)) as log:
        hashes = [stored.leaf for stored in log.entries()][:size]

    def root(leaves: list[bytes]) -> bytes:
        if len(leaves) == 1:
            return leaves[0]
        left = 2 ** ((len(leaves) - 1).bit_length() - 1)
        return node_hash(root(leaves[:left]), root(leaves[left:]))

    return root(hashes)


CHANGES = {
    "UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0 AND idx = 0": "tile/0/000: is not the tile",
    "DELETE FROM tiles WHERE level = 0 AND idx = 1": "tile/0/001: is not the tile",
    "UPDATE tiles SET hashes = 'text' WHERE level = 0 AND idx = 1": "tile/0/001: is not the tile",
    "UPDATE tiles SET hashes = zeroblob(64) WHERE level = 1": "tile/1/000.p/2: is not the tile",
    "DELETE FROM tiles": "tile/0/000: is not the tile",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_tile_is_named_by_verification(tmp_path: Path, change: str) -> None:
    fill(tmp_path, 600)
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as db:
        db.execute(change)
    assert [problem.startswith(CHANGES[change]) for problem in problems(tmp_path)][:1] == [True]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tiles SET hashes = zeroblob(64) WHERE level = 1",
        "DELETE FROM tiles WHERE level = 1",
        "UPDATE entries SET leaf = zeroblob(32) WHERE idx = 599",
        "UPDATE entries SET leaf = 'text' WHERE idx = 599",
    ],
)
def test_a_gateway_does_not_go_on_from_tiles_that_are_not_those_of_its_head(tmp_path: Path, change: str) -> None:
    fill(tmp_path, 600)
    with closing(apsw.Connection(str(tmp_path / "journal.db"))) as db:
        db.execute(change)
    with pytest.raises(StoreFault, match="tiles disagree"):
        SqliteWorld(tmp_path)


def test_a_bundle_holds_the_entries_as_they_are_stored(tmp_path: Path) -> None:
    path = fill(tmp_path, 300) / "journal.db"
    entries = entries_of(path)
    for name in (TileName(None, 0), TileName(None, 1, 44), TileName(None, 1, 3)):
        data = read(path, name)
        assert data is not None
        assert unbundle(data, name) == entries[name.index * 256 : name.index * 256 + name.width]
