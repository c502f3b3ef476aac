"""What a server may use must fit together. These rules read the values as written, like those of `checks.py`.

* a sandbox is for a server that is started, private addresses for one that is connected to
* no sandbox is given the whole machine, the gateway's own state, or the file and lock that say what is allowed
* the folders of a tool (`roots`) are in the sandbox of its server
"""

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gateway.core.capability import SEPARATOR
from gateway.settings.mistakes import Mistake
from gateway.settings.yaml_source import Loc, printable

KERNEL = ("/proc", "/sys", "/dev")


def containment_mistakes(values: dict[str, Any], folder: Path) -> Iterator[Mistake]:
    """The mistakes in `values` by the rules above. `folder` is that of the file, absolute."""
    servers, upstreams = _block(values.get("mcpServers")), _block(values.get("upstreams"))
    state = values.get("state", ".sealgate")
    shared: dict[str, list[str]] = {}
    for name, upstream in upstreams.items():
        server, upstream = _block(servers.get(name)), _block(upstream)
        if upstream.get("sandbox") and server.get("url"):
            yield Mistake(
                ("upstreams", name, "sandbox"), "is for a server with command. Remove it: this one has url.", at_key=True
            )
        if upstream.get("private_addresses") and server.get("command"):
            yield Mistake(
                ("upstreams", name, "private_addresses"),
                "is for a server with url. Remove it: this one has command.",
                at_key=True,
            )
        sandbox = upstream.get("sandbox")
        if isinstance(sandbox, (dict, str)):
            shared[name] = []
            for loc, path in _paths(_block(sandbox), ("upstreams", name, "sandbox")):
                shared[name].append(_joined(folder, path))
                why = _unshareable(path, folder, state if isinstance(state, str) else ".sealgate")
                if why is not None:
                    yield Mistake(loc, why)
    yield from _outside(values.get("tools"), folder, shared)


def _paths(sandbox: dict[str, Any], loc: Loc) -> Iterator[tuple[Loc, str]]:
    for key in ("read", "write"):
        listed = sandbox.get(key)
        for place, path in enumerate(listed if isinstance(listed, list) else ()):
            if isinstance(path, str):
                yield (*loc, key, place), path


def _unshareable(path: str, folder: Path, state: str) -> str | None:
    """What is wrong with giving a sandbox this path, wherever its links lead."""
    real = os.path.realpath(folder / path)
    if real == "/" or any(_within(real, kernel) for kernel in KERNEL):
        return "is what a sandbox keeps from a server. Name the folders it needs."
    own = os.path.realpath(folder / state)
    if _within(own, real) or _within(real, own):
        return f'holds the keys and the log of the gateway ("{printable(state)}"). Name a folder beside it.'
    if _within(os.path.realpath(folder), real):
        return "holds gateway.yaml and gateway.lock, which say what is allowed. Name a folder below."
    return None


def _outside(tools: Any, folder: Path, shared: dict[str, list[str]]) -> Iterator[Mistake]:
    for index, rule in enumerate(tools if isinstance(tools, list) else ()):
        roots = _block(rule).get("roots")
        for place, root in enumerate(roots if isinstance(roots, list) else ()):
            if not isinstance(root, str):
                continue
            for name, paths in shared.items():
                if _matches(rule, name) and not any(_within(_joined(folder, root), path) for path in paths):
                    yield Mistake(
                        ("tools", index, "roots", place),
                        f'"{printable(root)}" is not in the sandbox of {printable(name)}. Add it there, to read or write.',
                    )


def _matches(rule: dict[str, Any], server: str) -> bool:
    match = rule.get("match")
    globs = match if isinstance(match, list) else [match]
    return any(isinstance(glob, str) and fnmatchcase(server, glob.partition(SEPARATOR)[0]) for glob in globs)


def _joined(folder: Path, path: str) -> str:
    return os.path.normpath(folder / path)


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _block(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
