"""One authorization server and one recording upstream for each test; both start in milliseconds."""

from collections.abc import Iterator

import pytest

from tests.credentials.authority import Authority, Recorder, serving


@pytest.fixture
def both() -> Iterator[tuple[Authority, Recorder]]:
    with serving() as started:
        yield started


@pytest.fixture
def authority(both: tuple[Authority, Recorder]) -> Authority:
    return both[0]


@pytest.fixture
def recorder(both: tuple[Authority, Recorder]) -> Recorder:
    return both[1]
