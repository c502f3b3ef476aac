"""What a client is to us: where its file lies, its format, and how it is told of the gateway."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from gateway.adapters.clients.document import Addition, Format


class Scope(StrEnum):
    """Whose servers they are: a user's everywhere, everybody's in a project, or a user's in a project."""

    USER = "user"
    PROJECT = "project"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Machine:
    """Where we are: the user's home, the current folder (a project's), `sys.platform` and the environment."""

    home: Path
    folder: Path
    platform: str
    environment: Mapping[str, str]

    @property
    def settings(self) -> Path:
        """The folder that applications keep a user's settings in, by the customs of each system."""
        if self.platform == "darwin":
            return self.home / "Library" / "Application Support"
        if self.platform == "win32":
            return Path(self.environment.get("APPDATA") or self.home / "AppData" / "Roaming")
        return Path(self.environment.get("XDG_CONFIG_HOME") or self.home / ".config")


@dataclass(frozen=True, slots=True)
class Program:
    """The gateway over stdio: what the client starts."""

    command: str
    args: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Address:
    """The gateway over HTTP. `variable` names the environment variable that holds the token; the token is nowhere here."""

    url: str
    variable: str


Link = Program | Address


@dataclass(frozen=True, slots=True)
class Client:
    """One MCP client.

    Attributes:
        name: on our command line
        title: what people call it
        format: of its files
        places: its file for each scope that it has
        attached: the server it is given, by our name for it; None where it takes no server over HTTP from its file
        check: how a person sees that it worked
        expands: whether it fills in `${VAR}`
        local: the format with the servers of scope `local`, where there is that scope
    """

    name: str
    title: str
    format: Format
    places: Mapping[Scope, Callable[[Machine], Path]]
    attached: Callable[[str, Link], Addition | None]
    check: str
    expands: bool
    local: Callable[[Machine], Format] | None = None

    def format_of(self, scope: Scope | None, machine: Machine) -> Format:
        """How its file says the servers of that scope."""
        return self.local(machine) if scope is Scope.LOCAL and self.local is not None else self.format

    def path(self, scope: Scope, machine: Machine) -> Path | None:
        """Its file for that scope; None where it has none."""
        place = self.places.get(scope)
        return None if place is None else place(machine)


def program_entry(link: Program) -> dict[str, Any]:
    """What most clients call a program: `command` and `args`."""
    return {"command": link.command, "args": list(link.args)}
