"""Shared by all tests: async tests run on asyncio, the loop the gateway runs on. Programs that not every machine has.

Property tests have no time limit for one example, and none for making it: on a busy machine that would be left to chance.
"""

import os
import shutil

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def go() -> str:
    """The Go toolchain."""
    return _program("go")


@pytest.fixture(scope="session")
def openssl() -> str:
    return _program("openssl")


@pytest.fixture(scope="session")
def ssh_keygen() -> str:
    return _program("ssh-keygen")


@pytest.fixture(scope="session")
def curl() -> str:
    return _program("curl")


@pytest.fixture(scope="session")
def jq() -> str:
    return _program("jq")


@pytest.fixture(scope="session")
def bwrap() -> str:
    """Bubblewrap."""
    return _program("bwrap")


def _program(name: str) -> str:
    """Its path. Where it is missing the test is skipped, or fails where REQUIRE_ALL=1."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(f"no {name} on PATH")
        pytest.skip(f"no {name} on PATH")
    return found
