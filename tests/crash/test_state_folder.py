"""The state folder: one owner, and a disk that fills up."""

import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from gateway.adapters.state import StateFolder
from tests.running import ModernClient, RunningGateway, free_port, outcome, running, until

NOTES = """
mcpServers:
  notes: {{command: {python}, args: [{script}, {folder}]}}
tools:
  - {{match: notes__append_note, mode: local_write, trust: trusted, owner: test}}
  - {{match: notes__read_note, mode: read_only, trust: trusted, owner: test}}
"""

LIMIT_BYTES = 3 << 20
CALLS = 4000


@pytest.fixture
def config(tmp_path: Path) -> str:
    import sys

    from tests.running import REPOSITORY

    script = REPOSITORY / "examples" / "notes.py"
    return NOTES.format(python=sys.executable, script=script, folder=tmp_path / "notes")


@pytest.fixture
def gateway(tmp_path: Path, config: str) -> Iterator[RunningGateway]:
    with running(tmp_path, config) as gateway:
        yield gateway


def test_a_second_gateway_on_the_same_state_folder_is_refused_and_the_first_goes_on(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    second = RunningGateway(tmp_path, port=free_port())
    second.launch()
    assert second.process is not None
    assert second.process.wait(timeout=20) == 1
    assert f"error[state.locked]: another Sealgate owns {gateway.state}" in gateway.output
    with ModernClient(gateway) as client:
        assert outcome(client.call("notes__read_note", {"name": "welcome"}))["outcome"] == "completed"
    assert gateway.run("log", "verify").returncode == 0


def test_somebody_who_only_looks_stops_no_start(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.create()
    ended = Event()

    def look() -> None:
        while not ended.is_set():
            StateFolder(state.path).owned()

    with ThreadPoolExecutor() as threads:
        looking = threads.submit(look)
        try:
            for _ in range(50):
                with state:
                    assert StateFolder(state.path).owned()
        finally:
            ended.set()
        looking.result(timeout=10)


def _small_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, LIMIT_BYTES))


@pytest.mark.long
@pytest.mark.timeout(180)
def test_a_full_disk_stops_the_gateway_and_what_was_acknowledged_is_there_after_the_restart(
    tmp_path: Path, config: str
) -> None:
    gateway = RunningGateway(tmp_path)
    gateway.configure(config)
    with gateway:
        gateway.approve_tools()
        gateway.stop()
    gateway.start(preexec=_small_disk)
    process = gateway.process
    assert process is not None
    acknowledged: list[str] = []
    refusals: list[object] = []
    with ModernClient(gateway) as client:
        for number in range(CALLS):
            try:
                answer = client.call("notes__read_note", {"name": "welcome"}, key=f"k{number}")
            except Exception as error:  # noqa: BLE001 the process is ending: however the connection breaks
                refusals.append(error)
                break
            if "error" in answer:
                refusals.append(answer["error"])
                break
            acknowledged.append(answer["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"])
    assert refusals, f"{CALLS} calls fitted into {LIMIT_BYTES} bytes"
    assert until(lambda: process.poll() is not None, what="the end of the process")
    assert process.returncode == 1
    assert "journal_failed" in gateway.output

    gateway.start()
    entries = gateway.json("log", "list", "--limit", "1000000")["entries"]
    assert set(acknowledged) <= {entry["id"] for entry in entries if entry["kind"] == "outcome"}
    assert gateway.run("log", "verify").stdout.startswith("OK: ")
    with ModernClient(gateway) as client:
        assert outcome(client.call("notes__read_note", {"name": "welcome"}))["outcome"] == "completed"
    gateway.stop()
