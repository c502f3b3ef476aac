"""One gateway for the tests of who may call: starting one costs seconds."""

from collections.abc import Iterator

import pytest

from tests.access.house import House, built


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A running gateway with callers of every kind; at the end its log must verify and it must never have stumbled."""
    with built(tmp_path_factory.mktemp("access")) as running:
        yield running
