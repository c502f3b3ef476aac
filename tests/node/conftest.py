"""Node.js ≥ 22 and the npm packages of this folder: `npm ci` in tests/node installs both."""

import os
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "node_modules"


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The installed packages; without them the test is skipped, or fails where REQUIRE_ALL=1."""
    if (MODULES / ".bin" / "node").exists():
        return MODULES
    reason = "tests/node/node_modules is missing; run npm ci in tests/node"
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
