"""Works that go on beside the calls until the gateway is left."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from gateway.adapters.clock import SystemClock
from gateway.adapters.store.sqlite.journal import SqliteJournal

SWEEP_SECONDS = 1.0
FORGET_SECONDS = 600.0
_log = structlog.get_logger("sealgate.daemon")


async def sweep(journal: SqliteJournal) -> None:
    """Expire approval requests whose time is over."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await journal.questions.expire_due()
        except Exception as error:  # noqa: BLE001 - whatever it was, the next round may go well
            _log.error("sweep_failed", code=getattr(error, "code", type(error).__name__), cause=str(error))


async def forget(journal: SqliteJournal, clock: SystemClock, keep_seconds: float) -> None:
    """Drop the arguments and results of calls older than they are kept."""
    while True:
        try:
            dropped = await journal.drop_before(clock.oldest_id(keep_seconds))
            if dropped:
                _log.info("values_dropped", calls=dropped)
        except Exception as error:  # noqa: BLE001 - the same
            _log.error("retention_failed", code=getattr(error, "code", type(error).__name__), cause=str(error))
        await asyncio.sleep(FORGET_SECONDS)


@asynccontextmanager
async def background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Works that go on until this is left. One that ends by itself is told as an error: nobody does it any more."""
    tasks = [asyncio.create_task(work, name=getattr(work, "__qualname__", None)) for work in works]
    for task in tasks:
        task.add_done_callback(_ended)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        error = task.exception()
        _log.error("background_work_ended", work=task.get_name(), cause=None if error is None else repr(error)[:300])
