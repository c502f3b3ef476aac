"""The benchmark of the log runs: it grows real logs, proves from them, has them verified, and prints its tables."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]


def test_a_short_run_measures_every_size_and_number_of_callers_and_cleans_up(tmp_path: Path) -> None:
    rounds = tmp_path / "rounds.json"
    options = ["--sizes", "300", "700", "--rounds", "2", "--seconds", "0.1", "--callers", "1", "4"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.log_growth", *options, "--folder", str(tmp_path), "--json", str(rounds)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for row in ("| 300 ", "| 700 ", "| 1 ", "| 4 "):
        assert done.stdout.count(row) == 1, row
    saved = json.loads(rounds.read_text())
    assert [(one["round"], one["entries"], one["problems"]) for one in saved["grown"]] == [
        (1, 300, 0),
        (1, 700, 0),
        (2, 300, 0),
        (2, 700, 0),
    ]
    for one in saved["grown"]:
        assert one["append_us"] > 0
        assert 5 < one["hashes"] <= 10, "about the logarithm of the size"
        assert one["proof_bytes"] > 2000, "a proof file holds its entry"
        assert one["verify_peak_mib"] >= one["verify_base_mib"] > 0
    assert all(one["appends"] > 0 and one["cpu_us"] > 0 for one in saved["rates"])
    assert not list(tmp_path.glob("log-*")), "it cleans up"
