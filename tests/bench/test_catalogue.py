"""The benchmark of large catalogues runs: every call is answered, every tool listed, and it prints its tables."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from bench.catalogue import ratios
from bench.cells import Cell

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folders, whose paths may be too long for the sockets of a gateway."""
    with TemporaryDirectory() as path:
        yield Path(path)


@pytest.mark.long
def test_a_short_run_measures_both_sides_lists_and_searches(folder: Path) -> None:
    rounds = folder / "rounds.json"
    options = ["--tools", "5", "1200", "--rounds", "2", "--seconds", "0.05", "--concurrency", "2", "--queries", "9"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.catalogue", *options, "--folder", str(folder), "--json", str(rounds)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for row in ("2 at a time", "a page of tools/list", "the first search", "a search ", "5 tools", "1,200 tools"):
        assert done.stdout.count(f"| {row}") == 1, row
    document = json.loads(rounds.read_text())
    assert [(cell["round"], cell["contender"], cell["failures"]) for cell in document["cells"]] == [
        (number, name, 0) for number in (1, 2) for name in ("5 tools", "1,200 tools")
    ]
    assert [(reading["what"], reading["requests"]) for reading in document["readings"]] == [
        ("a page of tools/list", 5),
        ("the first search", 1),
        ("a search", 9),
    ]


def test_ratios_are_made_within_a_round() -> None:
    def cell(number: int, name: str, cpu: float) -> Cell:
        return Cell(number, name, "modern", 1, 1, 0, None, 1, 1, 1, 1, cpu, cpu)

    cells = [cell(1, "few", 100), cell(1, "many", 110), cell(2, "few", 200), cell(2, "many", 200)]
    assert ratios(cells, 1) == [1.1, 1.0]
