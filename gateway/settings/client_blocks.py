"""Servers of a client on their way into gateway.yaml: names that it takes, and why it takes no server as it is."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from gateway.core.catalog import skeleton
from gateway.settings.expand import expand_upstreams, required_variables
from gateway.settings.mistakes import spelled, validation_mistakes
from gateway.settings.model import Configuration
from gateway.settings.words import MAX_SERVER_NAME, suggested_name

_STANDS_FOR_UNSET = ("x", "https://x")


def accepted_name(name: str, taken: Iterable[str]) -> str:
    """The name nearest to `name` that gateway.yaml takes, and that looks like none of `taken`."""
    looks = {skeleton(one) for one in taken}
    wanted = name if not _mistakes(name, {"command": "x"}) else suggested_name(name)
    number = 2
    chosen = wanted
    while skeleton(chosen) in looks:
        ending = f"-{number}"
        chosen, number = wanted[: MAX_SERVER_NAME - len(ending)].rstrip("-_") + ending, number + 1
    return chosen


def refusal(server: Mapping[str, Any]) -> str | None:
    """Why gateway.yaml does not take a server's block; None where it does, once the variables in it are set."""
    found: list[str] = []
    for stands_for in _STANDS_FOR_UNSET:
        block = {"mcpServers": {"server": dict(server)}}
        environment = {name: os.environ.get(name) or stands_for for name in required_variables(block)}
        filled, mistakes = expand_upstreams(block, environment)
        found = [f"{spelled(one.loc[2:], hide_names=True)}: {one.text}" for one in mistakes]
        found += _mistakes("server", filled["mcpServers"]["server"])
        if not found:
            return None
    return "; ".join(found)


def _mistakes(name: str, server: Mapping[str, Any]) -> list[str]:
    try:
        Configuration.model_validate({"mcpServers": {name: server}})
    except ValidationError as error:
        return [f"{spelled(one.loc[2:]) or 'it'}: {one.text}" for one in validation_mistakes(error)]
    return []
