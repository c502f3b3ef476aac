"""`${VAR}`, `${VAR:-default}` and `${env:VAR}` in mcpServers and what is like it, as Claude Code and Cursor write them.

A default stands in for a variable that is unset or empty, as in shells (POSIX 2.6.2). A variable that is unset and has no
default is a mistake: an empty credential must not start a server.
"""

import re
from collections.abc import Mapping
from typing import Any

from gateway.settings.mistakes import Mistake
from gateway.settings.yaml_source import Loc, printable

EXPANDED = {
    "mcpServers": ("command", "args", "env", "cwd", "url", "headers"),
    "functions": ("env",),
    "openapi": ("document", "base_url", "headers", "query"),
    "agents": ("card", "headers"),
}
"""Blocks of upstreams, and the keys of each upstream in which placeholders are filled in."""
_PLACEHOLDER = re.compile(r"\$\{([^{}]*)\}")
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def expand_upstreams(values: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[dict[str, Any], list[Mistake]]:
    """`values` (the whole file, not yet checked) with its placeholders filled in."""
    filled, mistakes = dict(values), []
    for block, keys in EXPANDED.items():
        if block in values:
            filled[block], wrong = _expand(block, keys, values[block], environment)
            mistakes += wrong
    return filled, mistakes


def _expand(block: str, keys: tuple[str, ...], servers: Any, environment: Mapping[str, str]) -> tuple[Any, list[Mistake]]:
    if not isinstance(servers, dict):
        return servers, []
    mistakes: list[Mistake] = []

    def expanded(value: Any, loc: Loc) -> Any:
        if isinstance(value, str):
            return _expand_text(value, loc, environment, mistakes)
        if isinstance(value, dict):
            return {key: expanded(item, (*loc, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [expanded(item, (*loc, index)) for index, item in enumerate(value)]
        return value

    filled = {
        name: {key: expanded(value, (block, name, key)) if key in keys else value for key, value in server.items()}
        if isinstance(server, dict)
        else server
        for name, server in servers.items()
    }
    return filled, mistakes


def required_variables(values: Mapping[str, Any]) -> list[str]:
    """The variables that `values` (the whole file) cannot do without: those with no default, in their order."""
    found: dict[str, None] = {}

    def look(value: Any) -> None:
        if isinstance(value, str):
            for inside in _PLACEHOLDER.findall(value):
                variable = _VARIABLE.fullmatch(inside)
                if variable is not None and variable[2] is None:
                    found[variable[1]] = None
        elif isinstance(value, dict):
            for one in value.values():
                look(one)
        elif isinstance(value, list):
            for one in value:
                look(one)

    for block, keys in EXPANDED.items():
        servers = values.get(block)
        for server in servers.values() if isinstance(servers, dict) else ():
            if isinstance(server, dict):
                look([server[key] for key in keys if key in server])
    return list(found)


def _expand_text(text: str, loc: Loc, environment: Mapping[str, str], mistakes: list[Mistake]) -> str:
    def fill(match: re.Match[str]) -> str:
        variable = _VARIABLE.fullmatch(match[1])
        if variable is None:
            mistakes.append(Mistake(loc, f"{printable(match[0])} is not a variable. {_instead(match[1])}"))
            return match[0]
        name, default = variable.groups()
        value = environment.get(name)
        if value or (value is not None and default is None):
            return value
        if default is None:
            mistakes.append(
                Mistake(loc, f"the environment variable {name} is not set. Set it, or write ${{{name}:-a default}}")
            )
            return match[0]
        return str(default)

    return _PLACEHOLDER.sub(fill, text)


def _instead(inside: str) -> str:
    if inside.startswith("input:"):
        return "Editors ask a person for it; a gateway cannot. Write ${VAR} and set VAR in the environment."
    return "Write ${VAR}, ${env:VAR} or ${VAR:-default}"
