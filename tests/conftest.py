"""Shared by all tests: async tests run on asyncio, the loop the gateway runs on."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
