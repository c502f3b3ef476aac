"""What a figure depends on besides the code: machine, versions, disk, what else runs."""

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from bench.contenders import has_fastmcp
from bench.processes import Cores

SYNCS = 30


def surroundings(folder: Path, cores: Cores) -> dict[str, str]:
    """What to print above the tables. `folder` is where the gateway's state lies."""
    pinned = f"load client and upstream on core {cores.load}, process under test with its helpers on core {cores.tested}"
    packages = ["mcp", "uvicorn", "aiohttp", *(["fastmcp"] if has_fastmcp() else [])]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "cores": pinned
        if cores.load != cores.tested
        else "one core for everything: latencies are those of a crowded machine",
        "load average": f"{os.getloadavg()[0]:.1f} at the start",
        "versions": ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]),
        "state folder": f"{_filesystem(folder)}, a 4 KiB write with fsync takes {_sync_ms(folder):.2f} ms (median)",
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _filesystem(folder: Path) -> str:
    """The type of the file system that holds `folder`."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(len(point), kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    return max(holding)[1] if holding else "unknown file system"


def _sync_ms(folder: Path) -> float:
    taken = []
    probe = folder / "sync-probe"
    with probe.open("wb") as file:
        for _ in range(SYNCS):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            taken.append((time.perf_counter() - started) * 1000)
    probe.unlink()
    return median(taken)
