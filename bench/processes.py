"""Processes under test: started on a core of their own, with their CPU time read from the kernel. Linux only."""

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
STOP_SECONDS = 10
_CPUCLOCK_SCHED = 2


def free_port() -> int:
    """A loopback port that nobody listens on right now, below those that Linux gives to outgoing connections (32768 on)."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process so far, those that ended included; see clock_getcpuclockid(3)."""
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


@dataclass(frozen=True, slots=True)
class Cores:
    """`load` is for the load client and the upstream, `tested` for the process under test. The same where there is one."""

    load: int
    tested: int

    @classmethod
    def usable(cls) -> "Cores":
        """The first two this process may use; ask before it pins itself."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(first, others[0] if others else first)


class Process:
    """`python -m module …` in the repository, pinned to `core`. What it says goes to `log`."""

    def __init__(self, module: str, arguments: Sequence[str], *, core: int, log: Path) -> None:
        self._module = module
        self._log = log
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        os.sched_setaffinity(self._process.pid, {core})  # before it starts threads or processes: they inherit it

    @property
    def pid(self) -> int:
        return self._process.pid

    def helpers(self) -> list[int]:
        """The processes it started that run now."""
        return children(self.pid)

    def check(self) -> None:
        """Raises `RuntimeError` with what it said, where it has ended."""
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(f"{self._module} ended with {code}:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def children(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(after_name[1]) == pid:
                found.append(int(folder.name))
    return found
