"""The benchmark of a decision runs: both sides decide calls of every tier, and it prints its table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.core.capability import ApprovalMode

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]


def test_a_short_run_measures_every_tier_with_few_tools_and_with_many(tmp_path: Path) -> None:
    rounds = tmp_path / "rounds.json"
    options = ["--tools", "3", "500", "--rounds", "2", "--decisions", "5", "--json", str(rounds)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.policy_cost", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for mode in ApprovalMode:
        assert done.stdout.count(f"| {mode} ") == 1
    costs = json.loads(rounds.read_text())["costs"]
    assert sorted((one["round"], one["tier"], one["tools"]) for one in costs) == sorted(
        (number, mode, tools) for number in (1, 2) for mode in ApprovalMode for tools in (3, 500)
    )
    assert all(one["us"] > 0 for one in costs)
