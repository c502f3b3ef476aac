"""A state folder with a closed log of any length: calls with their ends, then entries to fill it up."""

import asyncio
from pathlib import Path

from gateway.adapters.store.sqlite.writer import Transaction
from gateway.core.entry import Kind, Record
from tests.core.calls import NOW, Call, envelope_id
from tests.store.world import SqliteWorld, run

CALL = 7
"""The number of the envelope of the call in every filled log: its intent is entry 0 and its outcome entry 1."""


def boots(count: int, start: int = 0) -> list[Record]:
    """Entries that say nothing but their number."""
    return [Record(Kind.BOOT, envelope_id(1000 + n), NOW, {"boot": {"number": n}}) for n in range(start, start + count)]


def fill(folder: Path, size: int) -> Path:
    """Make a log of `size` entries in `folder`, or bring one to that size; all of it is under a checkpoint."""

    async def write() -> None:
        world = SqliteWorld(folder)
        if not world.head()[0]:
            await run(world, Call(key="filled").but(envelope=CALL))
        missing = boots(size - world.head()[0], world.head()[0])

        def work(transaction: Transaction) -> None:
            for record in missing:
                transaction.append(record)

        await world.writer.submit(work)
        await world.checkpointed()
        world.close()

    asyncio.run(write())
    return folder
