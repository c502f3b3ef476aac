"""The environment that the fuzz campaign's own programs run in."""

import os

import pytest

from fuzz.environment import FOLDER


@pytest.fixture(scope="session")
def fuzzers() -> None:
    """Atheris, schemathesis and the others. Where they are missing the test is skipped, or fails where REQUIRE_ALL=1."""
    if not (FOLDER / "bin" / "schemathesis").exists():
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail("no .cache/fuzz/venv: make .cache/fuzz/stamp")
        pytest.skip("no .cache/fuzz/venv: make .cache/fuzz/stamp")
