"""What changed, told to clients that may read as slowly as they like."""

import asyncio
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.core.surface import Surface
from gateway.edge.feed import GAP_SECONDS, Feed, Listing
from gateway.edge.routes import Routes
from tests.edge.test_routes import READS, catalog_of, resources

pytestmark = pytest.mark.anyio

ONE = "files://one"


class Slow:
    """A client's connection that takes nothing until it is let. `begun`: how often it was given what."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.reads = asyncio.Event()

    async def send_resource_updated(self, uri: str) -> None:
        await self._take(uri)

    async def send_tool_list_changed(self) -> None:
        await self._take("tools")

    async def _take(self, what: str) -> None:
        self.begun[what] += 1
        await self.reads.wait()


def feed() -> Feed:
    routes = Routes.of(catalog_of(files=Surface(READS, resources(ONE, "files://two"), (), ())), frozenset())

    async def unsubscribe(upstream: str, uri: str) -> None:
        pass

    return Feed(lambda: routes, unsubscribe)


async def until(condition: Any) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        await asyncio.sleep(0)


async def test_a_client_that_reads_nothing_holds_no_more_than_one_word_of_each_thing_that_changes() -> None:
    told, slow = feed(), Slow()
    context: Any = SimpleNamespace(session=SimpleNamespace(_connection=slow))
    assert told.subscribed(context, "files", ONE)
    before = len(asyncio.all_tasks())
    for _ in range(1_000):
        told.updated("files", ONE)
        await asyncio.sleep(0)
    await until(lambda: len(asyncio.all_tasks()) <= before + 1)
    assert slow.begun[ONE] == 1


async def test_what_changed_while_a_client_was_told_is_told_once_more() -> None:
    told, slow = feed(), Slow()
    context: Any = SimpleNamespace(session=SimpleNamespace(_connection=slow))
    assert told.subscribed(context, "files", ONE)
    assert told.subscribed(context, "files", "files://two")
    for uri in (ONE, ONE, ONE, "files://two"):
        told.updated("files", uri)
        await asyncio.sleep(0)
    told.changed(Listing.TOOLS)
    await asyncio.sleep(GAP_SECONDS / 100)
    slow.reads.set()
    await until(lambda: slow.begun == {ONE: 2, "files://two": 1, "tools": 1})
