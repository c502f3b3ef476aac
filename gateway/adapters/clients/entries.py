"""What a client's file says of one server, in the words of `mcpServers` in gateway.yaml.

* keys of other clients are renamed (`serverUrl`, Codex' `http_headers`); those that only a client understands are left out
* what a client fills in is filled in (`${workspaceFolder}`, `${userHome}`) or left to the environment: `${input:token}` and
  Codex' `bearer_token_env_var` become `${VAR}`
* all that is left out or changed is told in `notes`
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.adapters.clients.client import Client, Machine, Scope

_SAME = ("type", "command", "args", "env", "cwd", "url", "headers")
_RENAMED = {"serverUrl": "url", "httpUrl": "url", "http_headers": "headers"}
_TYPES = {"streamableHttp": "http", "streamable_http": "http", "streamable-http": "http"}
_READ_APART = {"enabled", "disabled", "env_vars", "bearer_token_env_var", "env_http_headers"}
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")


@dataclass(slots=True)
class Entry:
    """One server of a client.

    Attributes:
        name: in the client's file
        server: what stands under its name in gateway.yaml's mcpServers
        notes: what a person should know about it, a sentence each
        asked: variables that stand for what the client asks a person, which nobody set yet
        off: the client does not start it
    """

    name: str
    server: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    off: bool = False


def read_entry(name: str, said: Mapping[str, Any], client: Client, scope: Scope | None, machine: Machine) -> Entry:
    """What `said` means. `scope`: that of the file it stands in, None where nobody knows."""
    entry = Entry(name, {key: said[key] for key in _SAME if key in said})
    for key, ours in _RENAMED.items():
        if key in said and ours not in entry.server:
            entry.server[ours] = said[key]
    kind = entry.server.get("type")
    if isinstance(kind, str) and kind in _TYPES:
        entry.server["type"] = _TYPES[kind]
    _add_variables(entry, said)
    entry.off = said.get("disabled") is True or said.get("enabled") is False
    left = [key for key in said if key not in {*_SAME, *_RENAMED, *_READ_APART}]
    if left:
        entry.notes.append(f"{', '.join(left)}: only the client understands this; it is left out")
    if "envFile" in left:
        entry.notes.append("envFile is not read: write what the server needs under env")
    if not client.expands and _PLACEHOLDER.search(str(entry.server)):
        entry.notes.append(f"{client.title} takes ${{…}} as it stands; the gateway fills it in from its environment")
    project = machine.folder if scope in (Scope.PROJECT, Scope.LOCAL) else None
    entry.server = {key: _filled(value, entry, project, machine) for key, value in entry.server.items()}
    for key in ("command", "cwd"):
        value = entry.server.get(key)
        if isinstance(value, str) and value.startswith("~/"):
            entry.server[key] = str(machine.home / value[2:])
    if project is not None and "command" in entry.server:
        entry.server["cwd"] = str(project / str(entry.server.get("cwd", "")))
    return entry


def _add_variables(entry: Entry, said: Mapping[str, Any]) -> None:
    """What Codex takes from its own environment."""
    env = {one if isinstance(one, str) else str(one.get("name")): one for one in _listed(said.get("env_vars"))}
    if env:
        entry.server["env"] = {**_mapped(entry.server.get("env")), **{one: f"${{{one}}}" for one in env}}
    headers = {name: f"${{{variable}}}" for name, variable in _mapped(said.get("env_http_headers")).items()}
    token = said.get("bearer_token_env_var")
    if isinstance(token, str):
        headers["Authorization"] = f"Bearer ${{{token}}}"
    if headers:
        entry.server["headers"] = {**_mapped(entry.server.get("headers")), **headers}


def _filled(value: Any, entry: Entry, project: Path | None, machine: Machine) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, entry, project, machine) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, entry, project, machine) for one in value]
    if not isinstance(value, str):
        return value

    def fill(match: re.Match[str]) -> str:
        inside = match[1]
        if inside.startswith("input:"):
            variable = re.sub(r"[^A-Za-z0-9]+", "_", inside.partition(":")[2]).strip("_").upper() or "INPUT"
            variable = f"_{variable}" if variable[0].isdigit() else variable
            if variable not in entry.asked:
                entry.asked.append(variable)
            return f"${{{variable}}}"
        if project is None and inside.startswith("workspaceFolder"):
            entry.notes.append(f"${{{inside}}} is the client's own: write that folder in its place")
        known = {"userHome": str(machine.home), "pathSeparator": "/", "/": "/"}
        if project is not None:
            known |= {"workspaceFolder": str(project), "workspaceFolderBasename": project.name}
        return known.get(inside, match[0])

    return _PLACEHOLDER.sub(fill, value)


def _listed(value: Any) -> list[Any]:
    return [one for one in value if isinstance(one, str | dict)] if isinstance(value, list) else []


def _mapped(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
