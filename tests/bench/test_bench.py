"""The benchmark runs: a short run starts everything, has every call answered, and prints its tables."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytestmark = pytest.mark.long

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folders, whose paths may be too long for the sockets of a gateway."""
    with TemporaryDirectory() as path:
        yield Path(path)


def test_a_short_run_prints_every_path_and_step_and_saves_its_rounds(folder: Path) -> None:
    rounds = folder / "rounds.json"
    options = ["--rounds", "2", "--seconds", "0.02", "--concurrency", "1", "2", "--folder", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.run", *options, "--json", str(rounds)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    paths = ["direct", "sealgate read_only", "sealgate local_write", "naive SDK proxy"]
    paths += ["FastMCP proxy"] if find_spec("fastmcp") else []
    for path in paths:
        assert done.stdout.count(f"| {path} ") == 4, "one row for each era and concurrency"
    for step in ("resolve", "seal", "decide", "reserve", "ready", "begin", "execute", "capture", "finish"):
        assert done.stdout.count(f"| {step} ") == 2, "once for the read and once for the write"
    assert "every one answered with the expected echo" in done.stdout
    assert "log that the gateway wrote meanwhile: OK" in done.stdout

    saved = json.loads(rounds.read_text())
    assert len(saved["cells"]) == 2 * 2 * 2 * len(paths)
    for cell in saved["cells"]:
        assert cell["calls"] >= 2 * cell["concurrency"]
        assert 0 < cell["cpu_us"] <= cell["cpu_all_us"]
        helped = cell["contender"].startswith("sealgate")
        assert (cell["cpu_all_us"] > cell["cpu_us"]) is helped, "Sealgate alone decides in a helper process"
    assert not list(folder.glob("run-*")), "it cleans up"
