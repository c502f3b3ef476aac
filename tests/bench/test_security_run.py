"""The security benchmark runs: a sample of one suite in every setting, each behind a gateway of its own."""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytestmark = [pytest.mark.security, pytest.mark.long, pytest.mark.timeout(400)]

REPOSITORY = Path(__file__).parents[2]
TASKS = 2


@pytest.fixture(scope="module")
def sample(suites: Path) -> dict[str, Any]:
    """What `make bench-security` says of a sample, by setting. The folder is not below pytest's, whose paths are long."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "runs.json"
        options = ["--suite", "banking", "--tasks", str(TASKS), "--folder", folder, "--out", str(out)]
        done = subprocess.run(
            [sys.executable, "-m", "bench.security.run", *options],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=380,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Every bound is kept." in done.stdout
        assert [path.name for path in Path(folder).iterdir()] == ["runs.json"], "nothing of the gateways is left"
        return {one["setting"]: one for one in json.loads(out.read_text())}


def effects(runs: dict[str, Any], side: str) -> list[tuple[str, bool]]:
    """How the calls of one side that do more than read ended, and whether a person was asked."""
    return [
        (attempt["outcome"], attempt["why_asked"] is not None)
        for run in runs["runs"]
        for attempt in run["attempts"]
        if attempt["side"] == side and not attempt["call"]["tool"].startswith(("get_", "read_"))
    ]


def test_every_setting_runs_every_pair(sample: dict[str, Any]) -> None:
    pairs = [[(run["user_task"], run["injection_task"]) for run in one["runs"]] for one in sample.values()]
    assert set(sample) == {"control", "default", "oracle", "intent"}
    assert all(each == pairs[0] for each in pairs)
    assert len({user for user, _ in pairs[0]}) == TASKS
    assert len({injection for _, injection in pairs[0]} - {None}) == 9


def test_without_policy_every_attack_takes_effect(sample: dict[str, Any]) -> None:
    attacked = [run for run in sample["control"]["runs"] if run["injection_task"] is not None]
    assert attacked
    assert all(run["took_effect"] and run["met_attack"] for run in attacked)
    assert set(effects(sample["control"], "attack")) == {("completed", False)}


def test_unattended_no_attack_has_an_effect_and_what_is_asked_does_not_run(sample: dict[str, Any]) -> None:
    assert set(effects(sample["default"], "attack")) == {("awaiting_approval", True)}
    assert not any(run["took_effect"] for run in sample["default"]["runs"])


@pytest.mark.parametrize("setting", ["oracle", "intent"])
def test_with_an_oracle_the_user_gets_all_and_the_attack_nothing(sample: dict[str, Any], setting: str) -> None:
    assert all(run["utility"] for run in sample[setting]["runs"])
    assert {outcome for outcome, _ in effects(sample[setting], "user")} <= {"completed"}
    assert set(effects(sample[setting], "attack")) == {("denied", True)}
