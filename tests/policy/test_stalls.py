"""No call waits while policies are read: neither a candidate nor a reload holds up the event loop."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.archive import MAX_BYTES
from gateway.adapters.policy.in_force import PolicySource
from gateway.adapters.policy.shadow import Shadow
from tests.policy.governed import write_policy

pytestmark = pytest.mark.anyio

LONGEST_BUSY_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 2.0


@dataclass
class Stall:
    """How late the loop was at most, and how long this process computed meanwhile: both in seconds, each the longest seen.

    A busy machine makes the loop late, too; but then this process does not compute.
    """

    late: float = 0.0
    busy: float = 0.0

    def assert_short(self) -> None:
        assert self.busy < LONGEST_BUSY_SECONDS, self
        assert self.late < LONGEST_WAIT_SECONDS, self


async def longest_stall(work: Callable[[], Coroutine[Any, Any, Any]]) -> Stall:
    """What `work` does to the loop while it runs."""
    loop, stall, ended = asyncio.get_running_loop(), Stall(), False

    async def tick() -> None:
        while not ended:
            before, computed = loop.time(), time.process_time()
            await asyncio.sleep(0.001)
            late = loop.time() - before - 0.001
            stall.late = max(stall.late, late)
            stall.busy = max(stall.busy, min(late, time.process_time() - computed))

    ticking = asyncio.create_task(tick())
    await work()
    ended = True
    await ticking
    return stall


def large(folder: Path, size: int) -> Path:
    """Policies whose data has so many bytes, of the kind that takes longest to parse."""
    write_policy(folder, "allow", "large")
    (folder / "data.json").write_text('{"large": [' + ",".join(["[]"] * (size // 3)) + "]}")
    return folder


async def test_a_large_candidate_stalls_nothing(tmp_path: Path) -> None:
    source = PolicySource(large(tmp_path / "candidate", MAX_BYTES // 2), enforced=False)
    async with Shadow(source, SystemClock(), dev=False) as shadow:
        stall = await longest_stall(shadow.reload)
        assert shadow.status()["revision"] is not None, shadow.status()
    stall.assert_short()


async def test_policies_that_are_too_large_stall_nothing_and_are_refused(tmp_path: Path) -> None:
    source = PolicySource(large(tmp_path / "policies", MAX_BYTES + 3), enforced=False)

    async def load() -> None:
        with contextlib.suppress(Exception):
            await asyncio.to_thread(source.load)

    (await longest_stall(load)).assert_short()
    with pytest.raises(Exception, match="MiB"):
        source.load()
