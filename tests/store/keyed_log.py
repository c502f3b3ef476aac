"""A state folder with keys and a log of a few entries, made without a gateway."""

import asyncio
from pathlib import Path

from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import load_keys, make_keys
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.database import open_for_writing
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.entry import Kind, Record
from gateway.core.errors import StoreFault

ORIGIN = "test.example/log"


def write(state: StateFolder, count: int) -> None:
    """So many entries by the gateway's keys, and a checkpoint of them."""
    keys, clock, faults = load_keys(state.keys), SystemClock(), list[StoreFault]()

    async def append() -> None:
        for _ in range(count):
            await writer.submit(work)

    def work(transaction: Transaction) -> None:
        transaction.append(Record(Kind.BOOT, clock.new_id(), clock.now(), {"boot": {}}))

    writer = Writer(
        open_for_writing(state.journal, keys.origin),
        origin=keys.origin,
        entry_signer=keys.entry,
        log_signer=keys.log,
        dev=keys.dev,
        on_death=faults.append,
    )
    try:
        asyncio.run(append())
    finally:
        writer.close()
    assert faults == []


def deployment(folder: Path, entries: int = 3) -> StateFolder:
    state = StateFolder(folder)
    state.create()
    make_keys(state.keys, origin=ORIGIN, dev=False)
    if entries:
        write(state, entries)
    return state
