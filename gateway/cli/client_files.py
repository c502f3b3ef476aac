"""A client's configuration file as `connect` and `import` see it, and a change of a file that a person is asked about."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from gateway.adapters.clients import CLIENTS, Client, Format, Machine, Malformed, Moved, Scope, masked, without_values
from gateway.adapters.edited_file import EditedFile
from gateway.cli.change_lines import change_lines
from gateway.cli.render import one_line, say, stdout
from gateway.core.errors import ConfigError


class ClientName(StrEnum):
    """The clients, by the names that a command takes."""

    CLAUDE_CODE = "claude-code"
    CLAUDE_DESKTOP = "claude-desktop"
    CURSOR = "cursor"
    VSCODE = "vscode"
    CODEX = "codex"


@dataclass(frozen=True, slots=True)
class Opened:
    """A client's file and what it says. `scope` is None where it was named by its path."""

    client: Client
    scope: Scope | None
    format: Format
    file: EditedFile
    servers: Mapping[str, dict[str, Any]]


def this_machine() -> Machine:
    """Where the command runs."""
    return Machine(Path(os.path.expanduser("~")), Path.cwd(), sys.platform, os.environ)


def place_of(client: Client, scope: Scope, path: Path | None) -> Path:
    """Where the client's file is: `path`, or that of the scope. Raises `ConfigError` where it has none."""
    found = path or client.path(scope, this_machine())
    if found is None:
        raise ConfigError(
            f"{client.title} has no file for scope {scope}", hint="Leave --scope out, or name the file: --path."
        )
    return found.absolute()


def open_file(client: Client, scope: Scope | None, path: Path) -> Opened:
    """Raises `ConfigError` with the place of what is wrong. Nothing is written then."""
    file, form = EditedFile.read(path), client.format_of(scope, this_machine())
    try:
        return Opened(client, scope, form, file, form.servers(file.text))
    except Malformed as error:
        raise malformed(path, error, client) from error


def malformed(path: Path, error: Malformed, client: Client) -> ConfigError:
    """The error that a person is told."""
    return ConfigError(
        f"{path}:{error.line}:{error.column}: {error.problem}. Nothing was written.",
        hint=f"Correct the file: {client.title} may not read it either.",
    )


def guessed(path: Path) -> Client:
    """The client whose format a file has."""
    if path.suffix == ".toml":
        return CLIENTS["codex"]
    text = EditedFile.read(path).text
    for name in ("vscode", "cursor"):  # both read comments
        try:
            if CLIENTS[name].format.servers(text):
                return CLIENTS[name]
        except Malformed:
            continue
    return CLIENTS["cursor"]


def secrets_in(servers: Mapping[str, Any]) -> frozenset[str]:
    """Values in servers' blocks that look like secrets."""
    moved = Moved()
    for name, said in servers.items():
        if isinstance(said, dict):
            without_values(name, {"headers": said.get("http_headers"), **said}, moved)
    return frozenset(moved.values.values())


def show_change(file: EditedFile, changed: str, secrets: frozenset[str] = frozenset()) -> None:
    """The change as a diff on stdout. Values that look like secrets, and `secrets`, are hidden in it."""
    for line in change_lines(file, changed):
        stdout.print(one_line(masked(line, secrets)), markup=False, highlight=False, soft_wrap=True)


def write_asked(file: EditedFile, changed: str, *, yes: bool) -> None:
    """Write the change that was shown, once a person agreed. Raises `typer.Abort` where they do not, and `ConfigError`."""
    place = str(file.path)
    if os.path.realpath(place) != place:
        place += f", which leads to {os.path.realpath(place)}"
    if not yes:
        typer.confirm(one_line(f"Write this to {place}?"), abort=True, err=True)
    copy = file.write(changed)
    say(one_line(f"written: {place}" + ("" if copy is None else f"; as it was: {copy}")))
