"""Codex: `~/.codex/config.toml` for a user, `.codex/config.toml` in a project that the user trusts. It fills in nothing.

A token is read from a variable that is named; Codex refuses one that is written into the file.
Source: developers.openai.com/codex/mcp.
"""

from pathlib import Path

from gateway.adapters.clients.client import Address, Client, Link, Machine, Scope, program_entry
from gateway.adapters.clients.document import Addition
from gateway.adapters.clients.toml_file import TomlFile


def _user_file(machine: Machine) -> Path:
    return Path(machine.environment.get("CODEX_HOME") or machine.home / ".codex") / "config.toml"


def _attached(name: str, link: Link) -> Addition:
    if isinstance(link, Address):
        return Addition(name, {"url": link.url, "bearer_token_env_var": link.variable})
    return Addition(name, program_entry(link))


CODEX = Client(
    name="codex",
    title="Codex",
    format=TomlFile(),
    places={Scope.USER: _user_file, Scope.PROJECT: lambda machine: machine.folder / ".codex" / "config.toml"},
    attached=_attached,
    check="Start Codex anew, then type /mcp in it, or run: codex mcp list",
    expands=False,
)
