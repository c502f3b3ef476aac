"""Programs of others that the tests put on the other side of a gateway: npm packages, and an environment from PyPI."""

import os
from pathlib import Path

import pytest

from tests.node.conftest import node_modules  # noqa: F401 - a fixture
from tests.running import REPOSITORY

PROGRAMS = REPOSITORY / ".cache" / "peers" / "venv" / "bin"


@pytest.fixture(scope="session")
def peer_programs() -> Path:
    """The folder of the PyPI programs, which has a Python of its own; without it the test is skipped, or fails."""
    if (PROGRAMS / "mcp-server-git").exists():
        return PROGRAMS
    reason = f"no {PROGRAMS}: make .cache/peers/stamp"
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
