"""No call waits while policies are read: neither a candidate nor a reload holds up the event loop."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.archive import MAX_BYTES
from gateway.adapters.policy.in_force import PolicySource
from gateway.adapters.policy.shadow import Shadow
from tests.policy.governed import write_policy

pytestmark = pytest.mark.anyio

LONGEST_SECONDS = 0.1


async def longest_stall(work: Callable[[], Coroutine[Any, Any, Any]]) -> float:
    """By how much the loop was late at most while `work` ran, in seconds."""
    loop = asyncio.get_running_loop()
    longest, ended = 0.0, False

    async def tick() -> None:
        nonlocal longest
        while not ended:
            before = loop.time()
            await asyncio.sleep(0.001)
            longest = max(longest, loop.time() - before - 0.001)

    ticking = asyncio.create_task(tick())
    await work()
    ended = True
    await ticking
    return longest


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
    print(f"longest stall {stall * 1000:.1f} ms")
    assert stall < LONGEST_SECONDS


async def test_policies_that_are_too_large_stall_nothing_and_are_refused(tmp_path: Path) -> None:
    source = PolicySource(large(tmp_path / "policies", MAX_BYTES + 3), enforced=False)

    async def load() -> None:
        with contextlib.suppress(Exception):
            await asyncio.to_thread(source.load)

    assert await longest_stall(load) < LONGEST_SECONDS
    with pytest.raises(Exception, match="MiB"):
        source.load()
