"""What a program needs to be readable so that it can start: its own file, its interpreter, and what these bring along.

Found by looking, not by running anything: links are followed, a script's first line is read, and of a folder that is an
installation (a Python prefix or virtual environment, a Node prefix) the parts are taken that belong to one. Never the whole:
it may be somebody's home as well. Who can write where is looked could choose what is found: the settings refuse that.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Where the system keeps programs and libraries: every sandbox has them, to read."""

SCRIPTS = frozenset((".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".pl", ".php", ".sh", ".lua", ".jar"))
PARTS = ("bin", "lib", "lib64", "libexec", "include", "share", "pyvenv.cfg")
"""What belongs to an installation, of all that may be in its folder."""

MAX_STEPS = 20


@dataclass(frozen=True, slots=True)
class Program:
    """`path` is where it is, absolute. `needs` are further files and folders that it reads, outside of `SYSTEM`.

    `looked_at`: what decided that, in the order it was looked at; of some only the name, of some the content.
    """

    path: str
    needs: tuple[str, ...]
    looked_at: tuple[str, ...]


def find_program(command: str, args: Sequence[str], cwd: str, search: str) -> Program:
    """The program of a command line as it would be started. `search` is a PATH. Raises `FileNotFoundError`."""
    found = shutil.which(command, path=search)
    if found is None:
        raise FileNotFoundError(command)
    path = os.path.abspath(found)
    looked_at: list[str] = []
    needs = list(_needs(path, search, MAX_STEPS, looked_at))
    scripts = [script for script in find_scripts(args, cwd) if os.path.isfile(script)]
    needs += [_package(script) for script in scripts]
    looked_at += [*scripts, *needs]
    return Program(path, tuple(dict.fromkeys(need for need in needs if not is_system(need))), tuple(looked_at))


def find_scripts(args: Sequence[str], cwd: str) -> Iterator[str]:
    """The arguments that look like scripts, as whole paths."""
    return (os.path.normpath(os.path.join(cwd, arg)) for arg in args if Path(arg).suffix in SCRIPTS)


def is_system(path: str) -> bool:
    """Whether every sandbox has it anyway."""
    return any(path == folder or path.startswith(folder + "/") for folder in SYSTEM)


def _needs(path: str, search: str, steps: int, looked_at: list[str]) -> Iterator[str]:
    """What lies on the way from a program to the file that is really run. A circle of links ends after some steps."""
    if steps == 0:
        return
    looked_at.append(path)
    parts = _installation(path)
    yield from parts or (path,)
    home = _venv_home(os.path.dirname(os.path.dirname(path))) if parts else None
    if home is not None:
        yield from _needs(os.path.join(home, os.path.basename(path)), search, steps - 1, looked_at)
        yield from _installation(os.path.join(home, "python")) or (home,)
    if os.path.islink(path):
        target = os.path.join(os.path.realpath(os.path.dirname(path)), os.readlink(path))
        yield from _needs(os.path.normpath(target), search, steps - 1, looked_at)
    elif (interpreter := _interpreter(path, search)) is not None:
        yield from _needs(interpreter, search, steps - 1, looked_at)


def _installation(path: str) -> tuple[str, ...]:
    """The parts of the installation that a program belongs to, where it certainly is one; else none."""
    folder = os.path.dirname(path)
    prefix = Path(folder).parent
    if is_system(folder):
        return ()
    if os.path.basename(folder) == ".bin" and prefix.name == "node_modules":
        return (str(prefix),)
    certain = os.path.basename(folder) == "bin" and (
        (prefix / "pyvenv.cfg").is_file()
        or (prefix / "lib" / "node_modules").is_dir()
        or any(prefix.glob("lib/python3*/os.py"))
    )
    return tuple(str(prefix / part) for part in PARTS if (prefix / part).exists()) if certain else ()


def _venv_home(prefix: str) -> str | None:
    """The folder of the interpreter that a virtual environment was made with (PEP 405)."""
    try:
        lines = Path(prefix, "pyvenv.cfg").read_text(errors="replace").splitlines()
    except OSError:
        return None
    homes = (value.strip() for key, _, value in (line.partition("=") for line in lines) if key.strip() == "home")
    return next((home for home in homes if os.path.isabs(home)), None)


def _interpreter(path: str, search: str) -> str | None:
    """What the first line of a script names."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return None
    if not line.startswith(b"#!"):
        return None
    words = line[2:].decode(errors="replace").split()
    if len(words) > 1 and os.path.basename(words[0]) == "env":
        return shutil.which(words[2 if words[1] == "-S" and len(words) > 2 else 1], path=search)
    return words[0] if words and os.path.isabs(words[0]) else None


def _package(script: str) -> str:
    """A script of an npm package needs the packages beside it; another one is taken alone."""
    before, found, _ = script.partition("/node_modules/")
    return f"{before}/node_modules" if found else script
