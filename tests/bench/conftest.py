"""The environment that the security benchmark's suites run in."""

import os
from pathlib import Path

import pytest

from bench.security.campaign import SUITE_PYTHON


@pytest.fixture(scope="session")
def suites() -> Path:
    """A Python that has AgentDojo. Where it is missing the test is skipped, or fails where REQUIRE_ALL=1."""
    if not SUITE_PYTHON.exists():
        missing = f"no {SUITE_PYTHON}: make .cache/security/stamp"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return SUITE_PYTHON
