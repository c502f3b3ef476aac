"""Keys do not change in a log that was rolled back behind an anchor, wherever the anchor is kept: as at a start."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.cli.log_keys import log_verifier_keys
from tests.anchors.world import RunningWitness
from tests.store.keyed_log import ORIGIN, deployment, write

pytestmark = pytest.mark.long


class Deployment:
    """Keys and a log in `folder/state`, and a gateway.yaml that names one witness."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = deployment(folder / "state", entries=3)
        (folder / "elsewhere").mkdir()
        (self.log,) = log_verifier_keys(load_trusted_keys(self.state.keys / "public.json"), 0)
        self.witness = RunningWitness(folder / "witness", [self.log])
        (folder / "policy").write_text(f"witness w {self.witness.key.text} {self.witness.url}\nquorum w\n")
        self.configure(keep="elsewhere/anchored", at_boot="warn")

    def configure(self, **anchors: str) -> None:
        block = {"state": "state", "log": {"origin": ORIGIN, "anchors": {"policy": "policy", **anchors}}}
        (self.folder / "gateway.yaml").write_text(json.dumps(block))

    def keys(self, *arguments: str, state: Path | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """`sealgate keys …` in `cwd`, by default the folder of gateway.yaml; `state` is named by the environment."""
        env = {name: value for name, value in os.environ.items() if name != "SEALGATE_STATE"}
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "keys", *arguments],
            cwd=cwd or self.folder,
            env={**env, **({} if state is None else {"SEALGATE_STATE": str(state)}), "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert done.stdout == ""
        return done

    def newest(self) -> str:
        with contextlib.closing(SqliteLog(self.state.journal)) as log:
            note = log.checkpoint()
        assert note is not None
        return note

    def size(self) -> int:
        with contextlib.closing(SqliteLog(self.state.journal)) as log:
            return log.head()[0]

    def roll_back(self) -> None:
        """Three entries are written and anchored at the second place; then a copy from before comes back."""
        shutil.copytree(self.state.path, self.folder / "old")
        write(self.state, 3)
        (self.folder / "elsewhere" / "anchored").write_text(self.newest())
        shutil.rmtree(self.state.path)
        (self.folder / "old").rename(self.state.path)


@pytest.fixture
def made(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def change(made: Deployment, verb: str) -> list[str]:
    keyid = next(iter(load_trusted_keys(made.state.keys / "public.json").entry_keys))
    return ["rotate", verb] if verb != "revoke" else ["revoke", keyid, "--reason", "stolen"]


def unchanged(made: Deployment) -> bool:
    names = {path.name for path in made.state.keys.iterdir()}
    return made.size() == 3 and names == {"entry.pem", "log.pem", "commitment.key", "vault.key", "public.json"}


@pytest.mark.parametrize("verb", ["entry", "log", "revoke"])
def test_a_second_place_for_the_anchor_stops_a_change_of_keys(made: Deployment, verb: str) -> None:
    made.roll_back()
    arguments = change(made, verb)
    for done in (
        made.keys(*arguments),  # ./gateway.yaml
        made.keys(*arguments, state=made.state.path),  # the state folder is named, and it is that of ./gateway.yaml
        made.keys(*arguments, "--config", str(made.folder / "gateway.yaml"), cwd=Path("/")),
    ):
        assert (done.returncode, "error[log.rolled_back]" in done.stderr) == (6, True), done.stderr
        assert "elsewhere/anchored keeps an anchored checkpoint of 6" in done.stderr
        assert unchanged(made)


def test_a_witness_alone_stops_it_and_lets_the_true_log_pass(made: Deployment) -> None:
    made.configure()
    with made.witness:
        shutil.copytree(made.state.path, made.folder / "old")
        write(made.state, 3)
        done = made.keys("rotate", "entry")
        assert (done.returncode, made.size()) == (0, 7), done.stderr
        assert "6\n" in made.state.anchored.read_text(), "what the witness cosigned before the change is kept"
        made.state.path.rename(made.folder / "newest")
        (made.folder / "old").rename(made.state.path)
        done = made.keys("rotate", "entry")
        assert (done.returncode, "error[log.rolled_back]" in done.stderr) == (6, True), done.stderr
        assert "cosigned a checkpoint of 6 entries" in done.stderr
        assert unchanged(made)


def test_a_silent_witness_stops_it_unless_the_operator_said_warn(made: Deployment) -> None:
    made.configure(at_boot="require")
    done = made.keys("rotate", "log")
    assert (done.returncode, "error[anchors.unreachable]" in done.stderr) == (4, True), done.stderr
    assert unchanged(made)
    made.configure(at_boot="warn")
    done = made.keys("rotate", "log")
    assert (done.returncode, made.size(), "started_unwitnessed" in done.stderr) == (0, 4, True), done.stderr


def test_without_its_configuration_an_anchored_log_gets_no_new_keys(made: Deployment) -> None:
    made.state.anchored.write_text(made.newest())
    bare = made.folder / "bare"
    bare.mkdir()
    (bare / "gateway.yaml").write_text("{}")  # of another deployment
    for cwd in (bare, Path("/")):
        done = made.keys("rotate", "entry", state=made.state.path, cwd=cwd)
        assert (done.returncode, "error[config.invalid]" in done.stderr, "--config" in done.stderr) == (2, True, True)
        assert unchanged(made)
    assert made.keys("rotate", "entry", "--config", str(made.folder / "gateway.yaml"), cwd=bare).returncode == 0


def test_a_log_that_is_not_anchored_needs_no_configuration(made: Deployment) -> None:
    done = made.keys("rotate", "entry", state=made.state.path, cwd=Path("/"))
    assert (done.returncode, made.size()) == (0, 4), done.stderr


def test_the_state_folder_of_the_configuration_changes_unless_another_is_named(made: Deployment) -> None:
    done = made.keys("rotate", "entry", "--config", str(made.folder / "gateway.yaml"), cwd=Path("/"))
    assert (done.returncode, made.size()) == (0, 4), done.stderr
    other = deployment(made.folder / "other")
    done = made.keys("rotate", "entry", "--config", "gateway.yaml", "--state", str(other.path))
    assert (done.returncode, made.size()) == (0, 4), done.stderr
    assert len(load_trusted_keys(other.keys / "public.json").entry_keys) == 2
