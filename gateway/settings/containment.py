"""What a server may use must fit together. These rules read the values as written, like those of `checks.py`.

* a sandbox is for a server that is started, private addresses for one that is connected to
* no sandbox is given the whole machine, the gateway's own state, or the folder of the file and lock that say what is allowed
* what decides (`deciding.py`) is out of reach of every `write`, and a secret of every `read`
* no path is looked up where a server may write: there it could put a link, and so choose what the next start binds. This
  holds for `read`, `write` and `roots`, and for the programs of all servers, which `write` may not even touch
* the folders of a tool (`roots`) are in the sandbox of its server
"""

import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gateway.adapters.upstream.lookup import Lookup, is_within, look_up
from gateway.adapters.upstream.program import find_program, find_scripts
from gateway.core.capability import SEPARATOR
from gateway.settings.deciding import Deciding, deciding_places
from gateway.settings.mistakes import Mistake
from gateway.settings.yaml_source import Loc, printable

KERNEL = ("/proc", "/sys", "/dev")

CODE_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "PYTHONHOME", "NODE_PATH", "PERL5LIB", "RUBYLIB")
"""Variables that say where programs and libraries are."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A path that the sandbox of `server` is given: as written, and as it is looked up."""

    server: str
    loc: Loc
    text: str
    path: str
    lookup: Lookup

    @property
    def writable(self) -> bool:
        return "write" in self.loc[3:]


@dataclass(frozen=True, slots=True)
class Server:
    """An upstream as the rules see it: the block of an MCP server, written at `loc` or made of what is written there."""

    block: dict[str, Any]
    loc: Loc
    command: str = "command"
    has_url: str = "this one has url"
    has_command: str = "this one has command"

    def args_at(self, place: int) -> Loc:
        """Where that argument is written."""
        return (*self.loc, "module") if self.loc[:1] == ("functions",) else (*self.loc, "args", place)


NOTHING = Server({}, ())


def _servers(values: dict[str, Any]) -> dict[str, Server]:
    """All upstreams by name. A module of functions is a server with a command, an API or an agent one with a url."""
    found = {name: Server(_block(one), ("mcpServers", name)) for name, one in _block(values.get("mcpServers")).items()}
    for name, one in _block(values.get("functions")).items():
        told = _block(one)
        block = {"command": told.get("python") or sys.executable, "args": [told.get("module")], "env": told.get("env")}
        loc: Loc = ("functions", name)
        command = "python" if told.get("python") else "module"
        found[name] = Server(block, loc, command, has_command="this is a module of functions")
    for name, one in _block(values.get("openapi")).items():
        block = {"url": _block(one).get("base_url") or "(none)"}
        found[name] = Server(block, ("openapi", name), has_url="this is an API")
    for name, one in _block(values.get("agents")).items():
        block = {"url": _block(one).get("card") or "(none)"}
        found[name] = Server(block, ("agents", name), has_url="this is an agent")
    return found


def containment_mistakes(values: dict[str, Any], folder: Path, file: str = "gateway.yaml") -> Iterator[Mistake]:
    """The mistakes in `values` by the rules above. `folder` is that of the file, absolute, and `file` its own name."""
    servers, upstreams = _servers(values), _block(values.get("upstreams"))
    deciding = list(deciding_places(values, folder, file))
    sandboxes: dict[str, list[Shared]] = {}
    for name, upstream in upstreams.items():
        server, upstream = servers.get(name, NOTHING), _block(upstream)
        if upstream.get("sandbox") and server.block.get("url"):
            yield Mistake(
                ("upstreams", name, "sandbox"), f"is for a server with command. Remove it: {server.has_url}.", at_key=True
            )
        if upstream.get("private_addresses") and server.block.get("command"):
            yield Mistake(
                ("upstreams", name, "private_addresses"),
                f"is for a server with url. Remove it: {server.has_command}.",
                at_key=True,
            )
        if isinstance(upstream.get("sandbox"), (dict, str)):
            sandboxes[name] = list(_shared(name, _block(upstream["sandbox"]), folder))
    shared = [one for paths in sandboxes.values() for one in paths]
    writable = [one for one in shared if one.writable]
    for one in shared:
        why = _unshareable(one, folder, deciding) or _chosen(one.lookup, writable)
        if why is not None:
            yield Mistake(one.loc, why)
    yield from _roots(values.get("tools"), folder, servers, sandboxes, writable)
    for name, server in servers.items() if writable else ():
        yield from _programs(name, server, folder, writable)


def _shared(name: str, sandbox: dict[str, Any], folder: Path) -> Iterator[Shared]:
    for key in ("read", "write"):
        listed = sandbox.get(key)
        for place, text in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(text, str):
                path = _joined(folder, text)
                yield Shared(name, ("upstreams", name, "sandbox", key, place), text, path, look_up(path))


def _unshareable(one: Shared, folder: Path, deciding: Iterable[Deciding]) -> str | None:
    """What is wrong with giving a sandbox this path, wherever its links lead."""
    real = one.lookup.real
    if real == "/" or any(is_within(real, kernel) for kernel in KERNEL):
        return "is what a sandbox keeps from a server. Name the folders it needs."
    for place in deciding:
        if (one.writable or place.secret) and (is_within(real, place.lookup.real) or place.lookup.touches(real)):
            return f"reaches {place.what}. Name a folder beside it."
    if is_within(look_up(str(folder)).real, real):
        return "holds gateway.yaml and gateway.lock, which say what is allowed. Name a folder below."
    return None


def _chosen(lookup: Lookup, writable: Iterable[Shared]) -> str | None:
    """What is wrong with a path that some server could lead elsewhere."""
    for one in writable:
        if lookup.is_chosen_in(one.lookup.real):
            return (
                f'is looked up in "{printable(one.text)}", where {printable(one.server)} may write and choose what it is. '
                "Name that folder itself, or one beside it."
            )
    return None


def _roots(
    tools: Any, folder: Path, servers: dict[str, "Server"], sandboxes: dict[str, list[Shared]], writable: list[Shared]
) -> Iterator[Mistake]:
    started = [name for name, server in servers.items() if not server.block.get("url")]
    for index, rule in enumerate(tools if isinstance(tools, list) else ()):
        roots = _block(rule).get("roots")
        for place, root in enumerate(roots if isinstance(roots, list) else ()):
            if not isinstance(root, str):
                continue
            loc, path = ("tools", index, "roots", place), _joined(folder, root)
            for name, paths in sandboxes.items():
                if _matches(rule, name) and not any(is_within(path, one.path) for one in paths):
                    text = f'"{printable(root)}" is not in the sandbox of {printable(name)}. Add it there, to read or write.'
                    yield Mistake(loc, text)
            why = _chosen(look_up(path), writable) if any(_matches(rule, name) for name in started) else None
            if why is not None:
                yield Mistake(loc, why)


def _programs(name: str, told: Server, folder: Path, writable: list[Shared]) -> Iterator[Mistake]:
    """A server is started from what no server may write: otherwise that one would choose what runs, and what is bound."""
    server = told.block
    command, args, cwd = server.get("command"), server.get("args"), server.get("cwd")
    if not isinstance(command, str):
        return
    start = os.path.join(folder, cwd) if isinstance(cwd, str) else str(folder)
    beside = look_up(start)
    own = {one.lookup.real for one in writable if one.server == name}
    for one in writable if isinstance(cwd, str) else ():
        real = one.lookup.real
        if beside.is_chosen_in(real) or (beside.touches(real) and beside.real not in own):
            yield Mistake((*told.loc, "cwd"), _started_from("lies", one))
            break
    listed = [arg for arg in args if isinstance(arg, str)] if isinstance(args, list) else []
    for place, arg in enumerate(args if isinstance(args, list) else ()):
        for script in find_scripts([arg] if isinstance(arg, str) else [], start):
            found = look_up(script)
            touching = next((one for one in writable if found.touches(one.lookup.real)), None)
            if touching is not None:
                yield Mistake(told.args_at(place), _started_from("is a script", touching))
    env = _block(server.get("env"))
    for variable in CODE_VARIABLES:
        places = [look_up(os.path.join(start, place)) for place in str(env.get(variable, "")).split(":") if place]
        touching = next((one for one in writable for place in places if place.touches(one.lookup.real)), None)
        if touching is not None:
            yield Mistake((*told.loc, "env", variable), _started_from("looks for programs", touching))
    search = str(env.get("PATH") or os.environ.get("PATH", os.defpath))
    command = os.path.join(folder, command) if "/" in command or told.command == "python" else command
    looked_at = [command if "/" in command else os.path.abspath(place) for place in search.split(":")]
    needs: list[str] = []
    try:
        program = find_program(command, listed, start, search)
        looked_at += program.looked_at
        needs += (look_up(need).real for need in program.needs)
    except (OSError, ValueError):
        pass  # there is none: it will not be started either
    lookups = [look_up(path) for path in dict.fromkeys(looked_at)]
    for one in writable:
        real = one.lookup.real
        if any(path.touches(real) for path in lookups) or any(is_within(real, need) for need in needs):
            yield Mistake((*told.loc, told.command), _started_from("is found, or needs files,", one))
            return


def _started_from(what: str, one: Shared) -> str:
    return (
        f'{what} in "{printable(one.text)}", where {printable(one.server)} may write and so choose what is started. '
        "Keep programs and data in separate folders."
    )


def _matches(rule: dict[str, Any], server: str) -> bool:
    match = rule.get("match")
    globs = match if isinstance(match, list) else [match]
    return any(isinstance(glob, str) and fnmatchcase(server, glob.partition(SEPARATOR)[0]) for glob in globs)


def _joined(folder: Path, path: str) -> str:
    return os.path.normpath(folder / path)


def _block(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
