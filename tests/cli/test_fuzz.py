"""`make fuzz` itself: some seconds of it find nothing, and a finding can be run again."""

import subprocess
import sys

import pytest

from tests.running import REPOSITORY

pytestmark = pytest.mark.long


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "fuzz/run.py", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)


def test_five_seconds_of_hostile_input_find_nothing() -> None:
    done = fuzz("--seconds", "5")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    seed, inside, live, total = done.stdout.splitlines()
    assert seed.startswith("seed ")
    assert "parser " in inside
    assert "socket " in live
    assert total == "0 findings"


def test_one_case_can_be_run_again() -> None:
    done = fuzz("--seed", "7", "--replay", "parser:3")
    assert (done.returncode, done.stdout) == (0, "seed 7\nparser 1\n0 findings\n")
