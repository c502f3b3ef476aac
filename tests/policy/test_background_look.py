"""The look at what is configured, in the background: what goes wrong with it is told within bounds, and it goes on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy import in_force as module
from gateway.adapters.policy.archive import MAX_BYTES
from gateway.adapters.policy.bundle import PolicyBundle
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.in_force import MAX_CAUSE_CHARS, InForce, PolicySource
from gateway.adapters.policy.kept import KeptPolicies
from gateway.adapters.policy.reading import read_apart
from gateway.core.commitment import CommitmentKey
from gateway.core.errors import ConfigError
from gateway.wiring.background import background
from tests.policy.governed import write_policy
from tests.store.world import until

pytestmark = pytest.mark.anyio

LOOK_MS = 50


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A policies folder with a name longer than what is told of a cause."""
    parent = tmp_path / ("a" * 200) / ("b" * 200)
    parent.mkdir(parents=True)
    return write_policy(parent / "policies", "allow", "v1")


@pytest.fixture
def recorded() -> list[Mapping[str, Any]]:
    return []


@pytest.fixture
async def in_force(
    folder: Path, tmp_path: Path, recorded: list[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[InForce]:
    monkeypatch.setattr(module, "LOOK_MS", LOOK_MS)

    async def record(said: Mapping[str, Any]) -> None:
        recorded.append(said)

    kept = KeptPolicies(tmp_path / "kept", CommitmentKey(bytes(32)))
    in_force = InForce(PolicySource(folder), kept, SystemClock(), record)
    bundle = in_force.at_start()
    async with EmbeddedEngine(bundle, SystemClock(), dev=False, deadline_seconds=5) as engine:
        await in_force.begun(engine, bundle)
        yield in_force


async def test_a_watch_that_fails_is_told_now_and_then_and_finds_the_next_change(
    in_force: InForce, folder: Path, recorded: list[Mapping[str, Any]]
) -> None:
    first, away = in_force.status()["revision"], folder.with_name("away")
    with capture_logs() as told:
        folder.rename(away)  # noqa: ASYNC240 - of a temporary folder
        watching = asyncio.create_task(in_force.watch())
        loop = asyncio.get_running_loop()
        began = loop.time()
        await until(lambda: len([one for one in told if one["event"] == "policy_watch_failed"]) >= 3)
        took = loop.time() - began
        failed = [one for one in told if one["event"] == "policy_watch_failed"]
        assert len(failed) <= 1 + took / (LOOK_MS / 1000)
        assert {one["log_level"] for one in failed} == {"error"}
        assert {one["cause"] for one in failed} == {"FileNotFoundError: No path was found."}
        assert (in_force.status()["revision"], recorded) == (first, [])
        away.rename(folder)
        write_policy(folder, "deny", "v2")
        await until(lambda: in_force.status()["revision"] != first, seconds=30)
        watching.cancel()
    assert [(one["event"], one["by"]) for one in recorded] == [("reloaded", "change")]


async def test_a_change_that_is_refused_is_told_once_and_not_at_any_length(in_force: InForce, folder: Path) -> None:
    folder.rename(folder.with_name("away"))  # noqa: ASYNC240 - of a temporary folder
    with capture_logs() as told:
        for _ in range(3):
            await in_force._look(at_once=True)
    (one,) = told
    assert (one["event"], one["kept"]) == ("policy_reload_refused", in_force.status()["revision"])
    assert len(one["cause"]) == MAX_CAUSE_CHARS


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ConfigError("the process that read it ended with -9"), "the process that read it ended with -9"),
        (OSError(24, "Too many open files"), "OSError: [Errno 24] Too many open files"),
        (RuntimeError("x" * 2 * MAX_CAUSE_CHARS), ("RuntimeError: " + "x" * MAX_CAUSE_CHARS)[:MAX_CAUSE_CHARS]),
    ],
    ids=["ours", "the system's", "unforeseen"],
)
async def test_a_change_that_could_not_be_read_is_tried_again_and_status_tells_of_it_meanwhile(
    in_force: InForce,
    folder: Path,
    recorded: list[Mapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    cause: str,
) -> None:
    first = in_force.status()["revision"]
    readings = 0

    def interrupted(*arguments: Any) -> PolicyBundle:
        nonlocal readings
        readings += 1
        if readings < 4:
            raise error
        return read_apart(*arguments)

    monkeypatch.setattr(module, "read_apart", interrupted)
    with capture_logs() as told:
        write_policy(folder, "deny", "v2")
        await in_force._look(at_once=True)
        assert in_force.status()["refused"] == cause
        assert in_force.status()["revision"] == first
        for _ in range(3):  # at once is too early
            await in_force._look(at_once=False)
        assert readings == 1
        watching = asyncio.create_task(in_force.watch())
        await until(lambda: in_force.status()["refused"] is None, seconds=30)
        watching.cancel()
    assert readings == 4
    assert in_force.status()["revision"] != first
    assert [one["event"] for one in told] == ["policy_reload_refused", "policy_loaded"]
    assert [(one["event"], one["by"]) for one in recorded] == [("reloaded", "change")]


async def test_a_work_that_ends_is_told_and_the_others_go_on_until_they_are_left() -> None:
    going_on = asyncio.Event()

    async def fails() -> None:
        raise ValueError("x" * 1000)

    async def ends() -> None:
        pass

    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            going_on.set()

    with capture_logs() as told:
        async with background(fails(), ends(), goes_on()):
            await until(lambda: len(told) == 2)
            assert not going_on.is_set()
        assert going_on.is_set()
    assert [(one["event"], one["log_level"]) for one in told] == [("background_work_ended", "error")] * 2
    causes = {one["work"].rpartition(".")[2]: one["cause"] for one in told}
    assert causes["ends"] is None
    assert causes["fails"].startswith("ValueError('xxx")
    assert len(causes["fails"]) == MAX_CAUSE_CHARS


async def test_policies_that_take_more_memory_than_their_reader_has_are_refused(tmp_path: Path) -> None:
    large = write_policy(tmp_path / "large", "allow", "large")
    (large / "data.json").write_text('{"large": [' + ",".join(["[]"] * (MAX_BYTES // 4)) + "]}")
    assert read_apart(large).revision.startswith("sha256:")
    with pytest.raises(ConfigError, match=r"too large|cannot be read"):
        read_apart(large, memory_bytes=256 << 20)
    assert read_apart(write_policy(tmp_path / "small", "allow", "small"), memory_bytes=256 << 20).modules
