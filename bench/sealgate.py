"""Sealgate as the benchmark runs it: the default policies in the embedded engine, signatures, a durable log."""

import shutil
from pathlib import Path

from bench.calls import Door
from bench.command import sealgate, wait_until_up
from bench.processes import Process

READ, WRITE = "up__look", "up__put"
START_SECONDS = 60
_CONFIG = """\
state: state
tenant: bench
mcpServers:
  up: {{url: "http://127.0.0.1:{upstream}/mcp"}}
tools:
  - {{match: {read}, mode: read_only, trust: trusted, owner: bench}}
  - {{match: {write}, mode: local_write, trust: trusted, owner: bench}}
  - {{match: up__*, mode: read_only, trust: trusted, owner: bench}}
"""


class Sealgate:
    """A real `sealgate up` process in front of that upstream, or `module` in its place, which takes the same arguments.

    `lock` is a gateway.lock that pins its tools already; without one they must be approved. `more` is added to gateway.yaml.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        upstream: int,
        *,
        core: int,
        module: str = "gateway",
        lock: Path | None = None,
        more: str = "",
    ) -> None:
        folder.mkdir()
        self.lock = folder / "gateway.lock"
        if lock is not None:
            shutil.copy(lock, self.lock)
        config = folder / "gateway.yaml"
        config.write_text(_CONFIG.format(upstream=upstream, read=READ, write=WRITE) + more)
        self._port = port
        self._state = folder / "state"
        arguments = ["up", "--config", str(config), "--port", str(port)]
        self.process = Process(module, arguments, core=core, log=folder / "gateway.log")

    def wait(self) -> None:
        """Until it is up. Raises `RuntimeError`."""
        wait_until_up(self._state, self.process.check, START_SECONDS)

    def approve_tools(self) -> None:
        """Pin its tools as an operator does. Raises `RuntimeError`."""
        sealgate(self._state, "tools", "approve", "--all", "--yes")

    def doors(self) -> tuple[Door, Door]:
        """Where the read and the write are called; each write brings a key."""
        token = (self._state / "dev" / "token").read_text().strip()
        return Door(self._port, READ, token), Door(self._port, WRITE, token, keyed=True)

    def verify_log(self) -> str:
        """What `sealgate log verify` says of the log that the benchmark wrote. Raises `RuntimeError` where it is wrong."""
        return sealgate(self._state, "log", "verify")
