"""The server that talks back, behind gateways of these tests."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.running import REPOSITORY, RunningGateway, running

SERVER = REPOSITORY / "tests" / "upstream" / "servers" / "talking_server.py"
PORT = "PORT"
"""In a configuration: the port of the server."""


@contextmanager
def talking_server() -> Iterator[str]:
    """The server over HTTP, in both eras; its port."""
    server = subprocess.Popen([sys.executable, str(SERVER), "http"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.communicate()


@contextmanager
def in_front_of_it(folder: Path, config: str) -> Iterator[RunningGateway]:
    """A gateway on this configuration. At the end it has not stumbled, and its log verifies."""
    with talking_server() as port, running(folder, config.replace(PORT, port)) as gateway:
        yield gateway
        assert_sound(gateway)


def assert_sound(gateway: RunningGateway) -> None:
    """It has not stumbled, and its log verifies."""
    assert gateway.run("log", "verify").returncode == 0
    assert "Traceback" not in gateway.output
