"""For all tests of upstreams."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.upstream import world
from tests.upstream.world import serving


@pytest.fixture(autouse=True)
def earlier_processes() -> None:
    """What runs below this process already belongs to other tests."""
    world.EARLIER.clear()
    world.EARLIER.update(world.all_children())


@pytest.fixture(scope="session")
def talking() -> Iterator[dict[str, int]]:
    """The ports of servers that talk back: `http` (both eras), `http-handshake`, `sse`."""
    with ExitStack() as stack:
        modes = ("http", "http-handshake", "sse")
        yield {mode: stack.enter_context(serving("talking_server.py", mode)) for mode in modes}
