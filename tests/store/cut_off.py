"""Runs a change of keys again and again, each time in a fresh copy of a state folder, and ends it at the next step.

`python -m tests.store.cut_off PREPARED OUT VERB [ARGUMENT…]`: OUT/1 is what is left when the process ends before the first
time it opens a file to write, renames or removes one, OUT/2 before the second, and so on; the last one ran to its end. It
ends like a process that was killed: nothing is flushed, closed or cleaned up.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway.adapters.state import StateFolder
from gateway.core.trust import KeyRole
from gateway.key_changes import finish_cut_off, revoke, rotate
from tests.running import REPOSITORY

_CUT = 77
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


def cut(prepared: StateFolder, out: Path, *arguments: str) -> list[StateFolder]:
    """What is left by a change that ends before each of its steps, and last by one that ran to its end."""
    out.mkdir()
    command = [sys.executable, "-m", "tests.store.cut_off", str(prepared.path), str(out), *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return [StateFolder(path) for path in sorted(out.iterdir(), key=lambda path: int(path.name))]


def change(state: StateFolder, verb: str, *arguments: str) -> None:
    """What is to be cut off."""
    with state:
        match verb, *arguments:
            case "rotate", role:
                rotate(state, KeyRole(role))
            case "revoke", keyid:
                revoke(state, keyid, None, "stolen")
            case "finish", *_:
                finish_cut_off(state)
            case _:
                raise ValueError(verb)


def end_before_step(last: int, folder: Path) -> None:
    """Let this process end before it touches files in `folder` for the time number `last`."""
    seen = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        touches = event in ("os.rename", "os.remove") or (event == "open" and int(arguments[2] or 0) & _WRITES)
        if touches and isinstance(arguments[0], str | os.PathLike) and Path(arguments[0]).is_relative_to(folder):
            seen += 1
            if seen == last:
                os._exit(_CUT)

    sys.addaudithook(hook)


def main(prepared: Path, out: Path, verb: str, *arguments: str) -> int:
    for step in range(1, 200):
        folder = out / str(step)
        shutil.copytree(prepared, folder)
        child = os.fork()
        if child == 0:
            end_before_step(step, folder / "keys")
            change(StateFolder(folder), verb, *arguments)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != _CUT:
            return code
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:]))
