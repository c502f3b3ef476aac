"""The writer: batches in order, an item that fails alone, a queue that refuses, and a database that fails for good."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.adapters.store.sqlite.database import open_for_writing
from gateway.adapters.store.sqlite.writer import MAX_BATCH, Transaction
from gateway.core.entry import MAX_PAYLOAD_BYTES, EntryTooLarge, Kind, Record
from gateway.core.errors import Overloaded, StoreFault
from tests.core.calls import NOW, envelope_id
from tests.store.world import ORIGIN, SqliteWorld, until

pytestmark = pytest.mark.anyio

WAIT_SECONDS = 20
Work = Callable[[Transaction], Any]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path)
    yield opened
    opened.close()


def entry(number: int, size: int = 0) -> Work:
    """Work that appends one entry and gives its index."""
    record = Record(Kind.BOOT, envelope_id(number), NOW, {"boot": {"number": number, "filler": "x" * size}})
    return lambda transaction: transaction.append(record).index


def failing(error: Exception) -> Work:
    """Work that appends an entry, which must not stay, and then fails."""

    def work(transaction: Transaction) -> None:
        entry(999_999)(transaction)
        raise error

    return work


def disk_full(transaction: Transaction) -> None:
    """From here on the database may not grow, as on a full disk, and it has to."""
    transaction.db.pragma("max_page_count", transaction.db.pragma("page_count"))
    transaction.db.execute("INSERT INTO meta VALUES ('filler', zeroblob(1000000))")


@asynccontextmanager
async def held(world: SqliteWorld) -> AsyncIterator[Callable[[], None]]:
    """The writer, kept busy until the function is called, so that what is submitted meanwhile becomes one batch."""
    began, go = threading.Event(), threading.Event()

    def busy(_: Transaction) -> None:
        began.set()
        assert go.wait(WAIT_SECONDS)

    first = asyncio.ensure_future(world.writer.submit(busy))
    try:
        await until(began.is_set)
        yield go.set
    finally:
        go.set()
        await first


async def queued(world: SqliteWorld, works: list[Work]) -> list["asyncio.Future[Any]"]:
    """Submit these, in order."""
    tasks: list[asyncio.Future[Any]] = [asyncio.ensure_future(world.writer.submit(work)) for work in works]
    await asyncio.sleep(0)
    return tasks


async def as_one_batch(world: SqliteWorld, works: list[Work]) -> list[Any]:
    """What becomes of these when the writer meets them all at once."""
    async with held(world) as let_go:
        tasks = await queued(world, works)
        let_go()
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), WAIT_SECONDS)


def numbers(world: SqliteWorld) -> list[int]:
    return [one.predicate["boot"]["number"] for one in world.entries()]


@pytest.mark.parametrize("count", [2, MAX_BATCH, 3 * MAX_BATCH + 7])
async def test_items_get_their_places_in_the_order_they_came(world: SqliteWorld, count: int) -> None:
    assert await as_one_batch(world, [entry(number) for number in range(count)]) == list(range(count))
    assert numbers(world) == list(range(count))
    assert world.verify().ok


async def test_an_item_is_on_disk_before_its_caller_hears_of_it(world: SqliteWorld) -> None:
    for number in range(20):
        assert await world.writer.submit(entry(number)) == number
        assert world.head()[0] == number + 1


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyError("x"), TypeError("x"), RuntimeError("x"), Overloaded("x"), apsw.ConstraintError("x")],
)
async def test_an_item_that_fails_fails_alone(world: SqliteWorld, error: Exception) -> None:
    told = await as_one_batch(world, [entry(0), failing(error), entry(1), failing(error), entry(2)])
    assert [one if isinstance(one, int) else type(one) for one in told] == [0, type(error), 1, type(error), 2]
    assert numbers(world) == [0, 1, 2]
    assert world.verify().ok
    assert not world.deaths


async def test_a_broken_constraint_and_an_entry_too_large_fail_alone(world: SqliteWorld) -> None:
    def twice(transaction: Transaction) -> None:
        transaction.db.execute("INSERT INTO meta VALUES ('origin', 'other')")

    told = await as_one_batch(world, [entry(0), twice, entry(1, MAX_PAYLOAD_BYTES), entry(2)])
    assert [type(one) for one in told] == [int, apsw.ConstraintError, EntryTooLarge, int]
    assert numbers(world) == [0, 2]


async def test_a_full_queue_refuses_before_any_effect(tmp_path: Path) -> None:
    world = SqliteWorld(tmp_path, max_queue=4)
    async with held(world) as let_go:
        waiting = await queued(world, [entry(number) for number in range(4)])
        for number in range(4, 7):
            with pytest.raises(Overloaded):
                await world.writer.submit(entry(number))
        let_go()
        assert await asyncio.gather(*waiting) == [0, 1, 2, 3]
    assert await world.writer.submit(entry(9)) == 4
    assert numbers(world) == [0, 1, 2, 3, 9]
    world.close()


async def test_callers_that_went_away_do_not_break_it(world: SqliteWorld) -> None:
    async with held(world) as let_go:
        tasks = await queued(world, [failing(ValueError()) if number % 5 == 0 else entry(number) for number in range(50)])
        for task in tasks[::2]:
            task.cancel()
        let_go()
        told = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in told[::2])
    assert [type(one) for one in told[1::2]] == [ValueError if number % 5 == 0 else int for number in range(1, 50, 2)]
    assert await world.writer.submit(entry(99)) == len(world.entries()) - 1
    assert world.verify().ok


# --- a database that fails ---


@pytest.mark.parametrize(
    "works",
    [
        [entry(10), disk_full, entry(11)],
        [entry(10), failing(ValueError()), disk_full, entry(11), entry(12)],
        [disk_full],
        [failing(ValueError()), disk_full, failing(ValueError())],
    ],
)
async def test_after_a_full_disk_everyone_is_told_and_nothing_more_is_done(world: SqliteWorld, works: list[Work]) -> None:
    before = [await world.writer.submit(entry(number)) for number in range(3)]
    told = await as_one_batch(world, works)
    acknowledged = [one for one in told if isinstance(one, int)]
    place = works.index(disk_full)
    assert all(isinstance(one, StoreFault) for one in told[place:])
    for _ in range(3):
        with pytest.raises(StoreFault):
            await world.writer.submit(entry(50))
    await until(lambda: world.deaths)
    assert len(world.deaths) == 1
    world.reopen()
    assert [one.index for one in world.entries()] == before + acknowledged
    assert await world.writer.submit(entry(77)) == len(before + acknowledged)
    assert world.verify().ok
    assert len(world.deaths) == 1


async def test_what_is_queued_when_it_dies_is_told(world: SqliteWorld) -> None:
    told = await as_one_batch(world, [disk_full, *(entry(number) for number in range(2 * MAX_BATCH))])
    assert all(isinstance(one, StoreFault) for one in told)
    await until(lambda: world.deaths)
    world.reopen()
    assert world.entries() == []


async def test_a_failed_checkpoint_ends_it_too(world: SqliteWorld) -> None:
    await world.writer.submit(lambda transaction: transaction.db.execute("DROP TABLE checkpoints").fetchall())
    await world.writer.submit(entry(0))
    await until(lambda: world.deaths)
    with pytest.raises(StoreFault):
        await world.writer.submit(entry(1))


# --- checkpoints ---


async def test_a_checkpoint_covers_the_log_when_it_is_idle_and_when_it_is_closed(world: SqliteWorld) -> None:
    for number in range(3):
        await world.writer.submit(entry(number))
        await world.checkpointed()
    assert [size for size, _ in world.checkpoints()] == [1, 2, 3]
    await world.writer.submit(entry(3))
    world.reopen()
    assert world.checkpoints()[-1][0] == 4
    assert world.verify().checkpoints == 4


async def test_a_busy_log_is_checkpointed_less_often_than_written(world: SqliteWorld) -> None:
    for number in range(200):
        await world.writer.submit(entry(number))
    await world.checkpointed()
    assert len(world.checkpoints()) < 100
    report = world.verify()
    assert report.ok
    assert report.checkpoints == len(world.checkpoints())


# --- what it refuses to go on with ---


async def filled(world: SqliteWorld) -> apsw.Connection:
    """A closed log of ten entries with a checkpoint, to be changed."""
    for number in range(10):
        await world.writer.submit(entry(number))
    await world.checkpointed()
    world.close()
    return apsw.Connection(str(world.path))


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM entries WHERE idx = 9",
        "DELETE FROM head",
        "UPDATE head SET size = 9",
        "UPDATE head SET frontier = zeroblob(64)",
        "UPDATE head SET frontier = zeroblob(65)",
        "UPDATE head SET frontier = x''",
        "UPDATE head SET root = zeroblob(32)",
        "UPDATE head SET size = 'ten'",
        "UPDATE head SET frontier = hex(zeroblob(32))",
        "UPDATE head SET root = CAST(x'ff' AS TEXT)",
        "PRAGMA writable_schema = ON;"
        " UPDATE sqlite_schema SET sql = replace(sql, 'frontier BLOB NOT NULL', 'frontier BLOB');"
        " PRAGMA writable_schema = RESET; UPDATE head SET frontier = NULL",
        "INSERT INTO entries SELECT 10, entry, leaf FROM entries WHERE idx = 9",
        "DELETE FROM entries; DELETE FROM head",
        "DROP TABLE head",
        "UPDATE meta SET value = 'other.example/log'",
        "PRAGMA user_version = 99",
    ],
)
async def test_a_log_that_was_cut_or_changed_at_its_end_is_not_gone_on_with(tmp_path: Path, change: str) -> None:
    world = SqliteWorld(tmp_path)
    (await filled(world)).execute(change)
    with pytest.raises(StoreFault):
        world.open()


async def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreFault):
        open_for_writing(tmp_path / "journal.db", ORIGIN)


async def test_a_full_queue_refuses_what_has_not_happened_and_takes_what_has(tmp_path: Path) -> None:
    world = SqliteWorld(tmp_path, max_queue=0)
    with pytest.raises(Overloaded):
        await world.writer.submit(lambda transaction: None)
    assert await world.writer.submit(lambda transaction: "recorded", must=True) == "recorded"
    world.close()
