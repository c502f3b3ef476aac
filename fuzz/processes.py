"""What Linux tells about the processes of a gateway: the memory it holds, and how long it waited for a processor."""

from collections.abc import Iterator
from pathlib import Path


def resident_bytes(pid: int) -> int:
    """Memory of the process alone."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"process {pid} has no memory any more")


def starved_seconds(pid: int) -> float:
    """How long this process, `pid` and its children were ready to run and did not, in all: the machine has other work."""
    return sum(map(_waited, ("self", str(pid), *_children(pid)))) / 1e9


def _children(pid: int) -> Iterator[str]:
    try:
        yield from Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return


def _waited(pid: str) -> int:
    """Nanoseconds of its main thread (sched-stats)."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    except OSError:
        return 0
