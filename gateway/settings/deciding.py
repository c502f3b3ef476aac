"""The files that decide what is allowed, or vouch for what was done: no server may write to them.

A path of the model that is not here is looked up by, or given to, servers; a test holds that none is forgotten.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.upstream.lookup import Lookup, look_up
from gateway.adapters.upstream.program import SYSTEM
from gateway.settings.credentials import FILE, secret_names
from gateway.settings.yaml_source import printable

STATE = "state"
"""Where the keys and the log are. Its default is the model's."""

DECIDING = (
    *(("policy", "path"), ("policy", "verification_key"), ("policy", "shadow"), ("policy", "decision_log")),
    *(("log", "anchors", "policy"), ("log", "anchors", "keep"), ("log", "anchors", "timestamp", "ca")),
    ("approvals", "webhooks", "*", "secret_file"),
    ("listen", "unix"),
    ("openapi", "*", "document"),
)
"""Their keys; `*` stands for every element of a list or of a block of names."""

SECRET = frozenset({"secret_file", "unix"})
"""Of these, the ones that no server may read either: who sees a socket can connect to it, as the gateway's user."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """`what` says in a mistake what the place is; `secret`: it may not be read either."""

    what: str
    lookup: Lookup
    secret: bool = False


def deciding_places(values: dict[str, Any], folder: Path, name: str) -> Iterator[Deciding]:
    """All of them. `values` as written; `folder` is that of gateway.yaml, absolute, and `name` the file's own."""
    state = values.get(STATE)
    state = state if isinstance(state, str) else ".sealgate"
    yield Deciding(f'the keys and the log of the gateway ("{printable(state)}")', _look_up(folder, state), secret=True)
    for file in (name, "gateway.lock"):
        yield Deciding(f"{file}, which says what is allowed", _look_up(folder, file))
    for key in DECIDING:
        for place, path in _at(values, key, ()):
            if isinstance(path, str):
                yield Deciding(f"{place}, on which the gateway relies", _look_up(folder, path), secret=key[-1] in SECRET)
    for loc, text in secret_names(values):
        if text.startswith(FILE):
            what = f"{'.'.join(map(printable, loc))}, on which the gateway relies"
            yield Deciding(what, _look_up(folder, text.removeprefix(FILE)), secret=True)
    package = Path(__file__).resolve().parents[1]
    for own in dict.fromkeys((str(package), sys.prefix, sys.base_prefix)):
        yield Deciding("the gateway's own program", look_up(own))
    for system in ("/etc", *SYSTEM):
        yield Deciding("programs or settings of the system", look_up(system))


def _look_up(folder: Path, path: str) -> Lookup:
    return look_up(os.path.join(folder, path))


def _at(value: Any, key: tuple[str, ...], place: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """The values at a key, each with its own name."""
    if not key:
        yield ".".join(place), value
    elif key[0] == "*" and isinstance(value, list):
        for index, element in enumerate(value):
            yield from _at(element, key[1:], (*place[:-1], f"{place[-1]}[{index}]"))
    elif key[0] == "*" and isinstance(value, dict):
        for name, element in value.items():
            yield from _at(element, key[1:], (*place, printable(name)))
    elif isinstance(value, dict) and key[0] in value:
        yield from _at(value[key[0]], key[1:], (*place, key[0]))
