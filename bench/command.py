"""The `sealgate` of an operator beside a running gateway: waiting for it, and commands on its state folder."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.processes import REPOSITORY

CLI_SECONDS = 120


def wait_until_up(state: Path, check: Callable[[], None], seconds: float) -> None:
    """Until the gateway that owns `state` takes commands. Raises what `check` does, or `RuntimeError` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (state / "control.sock").exists():
        check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"the gateway was not up after {seconds} s")
        time.sleep(0.05)


def sealgate(state: Path, *arguments: str) -> str:
    """What the command printed. Raises `RuntimeError` where it ends with anything but 0."""
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "SEALGATE_STATE": str(state), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=CLI_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"sealgate {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()
