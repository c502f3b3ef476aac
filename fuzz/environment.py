"""What a part needs besides the gateway's own environment, and what the campaign says where it is missing."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.running import REPOSITORY

FOLDER = REPOSITORY / ".cache" / "fuzz" / "venv"


class Missing(Exception):
    """Something is not on this machine. The part is left out and says so; with REQUIRE_ALL=1 the campaign fails."""


class NotThere(Exception):
    """The gateway does not have what the part is about. The part is left out and says so; the campaign goes on."""


def tool(name: str) -> str:
    """A program of the environment that `locks/fuzz.lock` fills. Raises `Missing`."""
    path = FOLDER / "bin" / name
    if not path.exists():
        raise Missing(f"no {path.relative_to(REPOSITORY)}: make .cache/fuzz/stamp")
    return str(path)


def node() -> str:
    """Node.js. Raises `Missing`."""
    found = shutil.which("node")
    if found is None:
        raise Missing("no node on PATH")
    return found


def required() -> bool:
    """Whether nothing may be left out."""
    return os.environ.get("REQUIRE_ALL") == "1"


def run(command: Sequence[str], seconds: float, folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """A program of that environment, in `folder`, with the gateway's modules to import. Raises `TimeoutExpired`."""
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1"},
        input=text,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
