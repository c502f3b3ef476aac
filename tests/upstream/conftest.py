"""For all tests of upstreams."""

import pytest

from tests.upstream import world


@pytest.fixture(autouse=True)
def earlier_processes() -> None:
    """What runs below this process already belongs to other tests."""
    world.EARLIER.clear()
    world.EARLIER.update(world.all_children())
