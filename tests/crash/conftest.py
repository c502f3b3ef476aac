"""The counting upstream in its own process."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import free_port, status_of, until


@pytest.fixture
def effects(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its URL, and the file that has a line for each effect."""
    port, path = free_port(), tmp_path / "effects"
    path.touch()
    command = [sys.executable, str(Path(__file__).with_name("counting_server.py")), str(port), str(path)]
    with subprocess.Popen(command) as server:
        until(lambda: _answers(port), what="the counting upstream")
        yield f"http://127.0.0.1:{port}/mcp", path
        server.kill()


def _answers(port: int) -> bool:
    return status_of(port, "/mcp") is not None
