"""The whole measurement: the official suite against the server, and against a gateway in front of it."""

import asyncio

import pytest

from tests.conformance import report
from tests.conformance.run import measure
from tests.conformance.suite import REVISIONS
from tests.node.conftest import node_modules  # noqa: F401 - a fixture
from tests.running import REPOSITORY

pytestmark = [pytest.mark.node, pytest.mark.long, pytest.mark.timeout(600)]
PAGE = REPOSITORY / "docs" / "reference" / "conformance.md"


@pytest.mark.usefixtures("node_modules")
def test_no_check_of_the_official_suite_ends_worse_than_directly() -> None:
    """Over HTTP; `make conformance` does the same for every way to reach the server. The page shows what is measured."""
    comparisons = asyncio.run(measure(["http"], list(REVISIONS)))
    table = report.markdown(comparisons)
    assert [sentence for comparison in comparisons for sentence in comparison.crooked()] == []
    assert all(not comparison.lacking for comparison in comparisons), table
    page = PAGE.read_text()
    assert [line for line in table.splitlines() if line not in page] == []
