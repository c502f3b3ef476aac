"""Which of a client's servers are Sealgate: what it starts, or where it calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.clients.client import Client, Link

_CONFIG = ("--config", "-c")


@dataclass(frozen=True, slots=True)
class Started:
    """A gateway, or the relay to one, that the client starts. `config` is its gateway.yaml, None for that of its folder."""

    command: str
    args: tuple[str, ...]
    config: Path | None


def started_gateway(said: Mapping[str, Any]) -> Started | None:
    """The gateway that a server's block starts; None where it starts something else."""
    command, args = said.get("command"), said.get("args", [])
    if not isinstance(command, str) or not isinstance(args, list) or not all(isinstance(one, str) for one in args):
        return None
    module = args[:2] == ["-m", "gateway"]
    if not (module or Path(command).name == "sealgate") or not {"serve", "--stdio"} <= set(args):
        return None
    config = None
    for place, argument in enumerate(args):
        name, equals, value = argument.partition("=")
        if name in _CONFIG and equals:
            config = Path(value)
        elif argument in _CONFIG and place + 1 < len(args):
            config = Path(args[place + 1])
    return Started(command, tuple(args), config)


def called_url(said: Mapping[str, Any]) -> str | None:
    """The address that a server's block calls."""
    url = next((said[key] for key in ("url", "serverUrl", "httpUrl") if key in said), None)
    return url if isinstance(url, str) else None


def names_of(client: Client, servers: Mapping[str, Mapping[str, Any]], link: Link) -> list[str]:
    """The servers that are this gateway already, said just as we would say it."""
    return [
        name
        for name, said in servers.items()
        if (addition := client.attached(name, link)) is not None and addition.entry == said
    ]
