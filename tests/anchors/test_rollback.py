"""A log that was rolled back or replaced does not start: the whole gateway, real witnesses, old backups put back."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import load_trusted_keys, make_keys
from gateway.cli.log_keys import log_verifier_keys
from gateway.core.verifier_key import VerifierKey
from tests.anchors.world import RunningWitness
from tests.running import ModernClient, RunningGateway, until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


class Anchored:
    """A gateway whose log is anchored with one or more witnesses, in folders below `folder`."""

    def __init__(self, folder: Path, *, quorum: str = "all", witnesses: int = 1, **block: Any) -> None:
        self.folder = folder
        (folder / "gateway").mkdir()
        (folder / "gateway" / "gateway.err").touch()
        self.gateway = RunningGateway(folder / "gateway")
        keys = self.gateway.state / "keys"
        make_keys(keys, origin="sealgate.local/default", dev=True)
        (self.log,) = log_verifier_keys(load_trusted_keys(keys / "public.json"), 0)
        self.witnesses = [
            RunningWitness(folder / f"w{number}", [self.log], name=f"witness.example/w{number}")
            for number in range(witnesses)
        ]
        lines = [f"witness w{number} {one.key.text} {one.url}/" for number, one in enumerate(self.witnesses)]
        names = " ".join(f"w{number}" for number in range(witnesses))
        self.policy = folder / "gateway" / "witnesses.policy"
        self.policy.write_text("\n".join([f"log {self.log.text}", *lines, f"group g {quorum} {names}", "quorum g\n"]))
        self.configure(**block)

    def configure(self, **block: Any) -> None:
        anchors = {"policy": "witnesses.policy", "every_seconds": 1, **block}
        self.gateway.configure(json.dumps({"log": {"anchors": anchors}}))

    def refused_call(self) -> None:
        """A call that leaves an entry."""
        with ModernClient(self.gateway) as client:
            client.call("no__such", {})

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = self._ask("status")["anchors"]
        return told

    def _ask(self, what: str) -> dict[str, Any]:
        with DaemonClient(self.gateway.state / "control.sock") as daemon:
            return daemon.get(f"/api/v1/{what}")

    def anchored_up_to(self, size: int) -> None:
        until(lambda: (self.status()["size"] or 0) >= size, seconds=30, what=f"an anchor of {size} entries")

    def grow_and_anchor(self) -> int:
        """Some entries more, and their anchor; how many entries there are."""
        before: int = self._ask("log/head")["size"]
        for _ in range(3):
            self.refused_call()
        self.anchored_up_to(before + 3)
        return before + 3

    def backup(self, name: str) -> Path:
        return Path(shutil.copytree(self.gateway.state, self.folder / name))

    def restore(self, backup: Path, *names: str) -> None:
        """Put the whole state folder back, or these files of it."""
        if not names:
            shutil.rmtree(self.gateway.state)
            shutil.copytree(backup, self.gateway.state)
            return
        for name in names:
            for path in self.gateway.state.glob(f"{name}*"):
                path.unlink()
            for path in backup.glob(f"{name}*"):
                shutil.copy2(path, self.gateway.state)

    def refused(self) -> str:
        """Start it, see it end with an error, and return what it said."""
        said = len(self.gateway.output)
        self.gateway.launch()
        assert self.gateway.process is not None
        code = self.gateway.process.wait(timeout=60)
        told = self.gateway.output[said:]
        assert code != 0, told
        assert "Traceback" not in told
        return told

    @contextmanager
    def witnessed(self) -> Iterator[None]:
        for witness in self.witnesses:
            witness.start()
        try:
            yield
        finally:
            for witness in self.witnesses:
                if witness.process is not None and witness.process.poll() is None:
                    witness.stop()


def test_a_whole_state_folder_from_an_old_backup_does_not_start(tmp_path: Path) -> None:
    world = Anchored(tmp_path)
    with world.witnessed():
        with world.gateway:
            world.grow_and_anchor()
        old = world.backup("old")
        with world.gateway:
            size = world.grow_and_anchor()
        newest = world.backup("newest")
        world.restore(old)
        told = world.refused()
        assert "log.rolled_back" in told
        assert f"cosigned a checkpoint of {size} entries" in told
        assert "Put the newest copy of the state folder back" in told
        for path in world.gateway.state.iterdir():
            if path.name == "policies":
                shutil.rmtree(path)
            elif path.name not in ("keys", "dev"):
                path.unlink()
        assert "log.rolled_back" in world.refused()  # an empty log under the old keys
        world.restore(newest)
        with world.gateway:
            assert world.grow_and_anchor() > size


def test_an_old_journal_beside_a_newer_anchored_file_does_not_start(tmp_path: Path) -> None:
    """Also where no anchors are configured any more, and no witness is asked."""
    world = Anchored(tmp_path)
    with world.witnessed():
        with world.gateway:
            world.grow_and_anchor()
        old = world.backup("old")
        with world.gateway:
            size = world.grow_and_anchor()
    world.restore(old, "journal.db")
    world.gateway.configure("{}")
    told = world.refused()
    assert "log.rolled_back" in told
    assert f"keeps an anchored checkpoint of {size}" in told


def test_a_second_place_outside_the_state_folder_catches_the_backup_without_any_witness(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    world = Anchored(tmp_path, keep="../elsewhere/anchored", at_boot="warn")
    with world.witnessed():
        with world.gateway:
            world.grow_and_anchor()
        old = world.backup("old")
        with world.gateway:
            size = world.grow_and_anchor()
    world.restore(old)
    told = world.refused()
    assert "log.rolled_back" in told
    assert f"elsewhere/anchored keeps an anchored checkpoint of {size}" in told


def test_a_backup_that_grew_past_the_anchor_again_is_another_log(tmp_path: Path) -> None:
    """Longer than what was anchored, and yet not it: by the kept file, and by the witness alone."""
    world = Anchored(tmp_path)
    with world.witnessed():
        with world.gateway:
            world.grow_and_anchor()
        old = world.backup("old")
        with world.gateway:
            world.grow_and_anchor()
        anchored = (world.gateway.state / "anchored").read_text()
        world.restore(old)
        world.gateway.configure("{}")
        with world.gateway:
            for _ in range(20):
                world.refused_call()
        world.configure()
        told = world.refused()
        assert "log.rolled_back" in told
        assert "cosigned another log" in told
        (world.gateway.state / "anchored").write_text(anchored)
        world.gateway.configure("{}")
        assert "are not those of the anchored checkpoint" in world.refused()


def test_a_silent_witness_stops_the_start_unless_the_operator_said_warn(tmp_path: Path) -> None:
    world = Anchored(tmp_path)
    policy = world.policy.read_text()
    world.policy.write_text("quorum none\n")
    assert "nobody witnesses the log" in world.refused()
    world.policy.write_text(policy)
    told = world.refused()
    assert "anchors.unreachable" in told
    assert "w0: " in told
    assert "at_boot: warn" in told
    world.configure(at_boot="warn")
    with world.gateway:
        assert "started_unwitnessed" in world.gateway.output
        assert world.status()["witnesses"][0]["standing"] == "unavailable"
        world.refused_call()
        # The witness comes back: the log is anchored, without a restart.
        with world.witnessed():
            world.grow_and_anchor()
            assert world.status()["witnesses"][0]["standing"] == "cosigned"


def test_a_witness_that_does_not_know_the_log_says_so_at_the_start(tmp_path: Path) -> None:
    world = Anchored(tmp_path)
    stranger = VerifierKey("other.example/log", world.log.kind, world.log.public_key)
    (world.witnesses[0].folder / "logs").write_text(stranger.text + "\n")
    with world.witnessed():
        told = world.refused()
    assert "anchors.unreachable" in told
    assert "it answers 404" in told
