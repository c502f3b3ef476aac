"""A machine with things worth stealing, and a server on it that tries to: in a sandbox and, as the control, without one."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import venv
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.keys import make_keys
from gateway.adapters.state import StateFolder
from gateway.adapters.upstream.spec import Sandbox, StdioSpec
from tests.upstream.world import QUICK, World, running

PROBES = Path(__file__).parent / "probes.py"
SECRET = "GATEWAY_SECRET"
INHERITED = "what the gateway has open"
PROCESSES = 64
BOUNDS = {"processes": PROCESSES, "memory_bytes": 256 << 20, "file_bytes": 8 << 20}


@dataclass(frozen=True)
class Machine:
    """What is there. Of all in `folder` the server may read `given` and write to `data`."""

    folder: Path
    python: Path
    tcp_port: int
    udp_port: int
    abstract: str

    @property
    def key(self) -> Path:
        return self.folder / "home" / ".ssh" / "id_ed25519"

    @property
    def state(self) -> Path:
        return self.folder / ".sealgate"

    @property
    def outside(self) -> Path:
        return self.folder / "outside"

    @property
    def given(self) -> Path:
        return self.folder / "given"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def spec(self, *, name: str = "probes", **more: Any) -> StdioSpec:
        """The server in its sandbox."""
        sandbox = Sandbox(read=(str(self.given),), write=(str(self.data),), **{**BOUNDS, **more})
        return StdioSpec(name, str(self.python), (str(PROBES),), cwd=str(self.folder), limits=QUICK, sandbox=sandbox)


class Unsandboxed:
    """The same server as a plain process: it has the environment and the open files of this one."""

    def __init__(self, command: list[str], **more: Any) -> None:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "close_fds": False}
        self.process = subprocess.Popen(command, **{**pipes, **more})
        self._to: Any = self.process.stdin

    def writes_to(self, file: Any) -> None:
        """Requests go there."""
        self._to = file

    def call(self, tool: str, **arguments: Any) -> str:
        """What came of it."""
        request = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        self._to.write(json.dumps(request).encode() + b"\n")
        self._to.flush()
        assert self.process.stdout is not None
        answer: str = json.loads(self.process.stdout.readline())["result"]["content"][0]["text"]
        return answer

    def stop(self) -> None:
        self.process.kill()
        for file in {self.process.stdin, self.process.stdout, self._to} - {None}:
            file.close()
        self.process.wait()


@pytest.fixture(scope="session", autouse=True)
def _needs_bwrap(bwrap: str) -> None:
    """Nothing here runs without it."""


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    folder = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="machine-"))
    folder.chmod(0o755)
    for name in ("home/.ssh", "outside", "given", "data"):
        (folder / name).mkdir(parents=True)
    (folder / "data").chmod(0o777)
    (folder / "home/.ssh/id_ed25519").write_text("PRIVATE KEY")
    (folder / "home/.ssh/id_ed25519").chmod(0o644)  # only the sandbox is between it and the server
    (folder / "outside/file").write_text("as it was")
    (folder / "given/file").write_text("as it was")
    state = StateFolder(folder / ".sealgate")
    state.create()
    make_keys(state.keys, origin="example.com/machine", dev=True)
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder / "venv")
    with _listeners(folder) as (tcp_port, udp_port, abstract), _set(SECRET, "hunter2"), _inheritable(INHERITED):
        yield Machine(folder, folder / "venv/bin/python", tcp_port, udp_port, abstract)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def sandboxed(machine: Machine) -> AsyncIterator[World]:
    async with running(machine.spec()) as world:
        yield world


@pytest.fixture(scope="module")
def control(machine: Machine) -> Iterator[Unsandboxed]:
    server = Unsandboxed([str(machine.python), str(PROBES)], cwd=machine.folder)
    yield server
    server.stop()


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of the same user."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@contextmanager
def _listeners(folder: Path) -> Iterator[tuple[int, int, str]]:
    """Of TCP, a Unix socket, an abstract one, and UDP, which is answered."""
    abstract = f"@sealgate-test-{os.getpid()}"
    tcp, udp = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    path, hidden = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    path.bind(str(folder / ".sealgate" / "control.sock"))
    hidden.bind("\0" + abstract[1:])
    for one in (path, hidden):
        one.listen(16)

    def answer() -> None:
        while True:
            data, whom = udp.recvfrom(16)
            if data == b"end":
                return
            udp.sendto(b"!", whom)

    thread = threading.Thread(target=answer)
    thread.start()
    yield tcp.getsockname()[1], udp.getsockname()[1], abstract
    udp.sendto(b"end", udp.getsockname())
    thread.join()
    for one in (tcp, udp, path, hidden):
        one.close()


@contextmanager
def _set(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    yield
    del os.environ[name]


@contextmanager
def _inheritable(content: str) -> Iterator[None]:
    with tempfile.TemporaryFile() as file:
        file.write(content.encode())
        file.flush()
        os.set_inheritable(file.fileno(), True)
        yield
