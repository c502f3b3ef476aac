"""One gateway for most tests of the edge: starting one costs seconds."""

from collections.abc import Iterator

import pytest

from tests.edge.box import Box, boxed


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A running gateway; at the end its log must verify and it must never have stumbled."""
    with boxed(tmp_path_factory.mktemp("edge")) as running:
        yield running
        running.assert_sound()
