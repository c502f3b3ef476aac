"""The configuration files of MCP clients: where they lie, what they say of servers, and one server put in or taken out.

`client` says what a client is, with one file for each: `claude_code`, `claude_desktop`, `cursor`, `vscode`, `codex`.
`jsonc` and `json_file` change JSON, `toml_file` TOML: all else in a file stays byte for byte. `entries` reads what a
client's file says of a server, `secrets` takes secrets out of that, `gateways` tells which of them are Sealgate.
"""

from gateway.adapters.clients.claude_code import CLAUDE_CODE
from gateway.adapters.clients.claude_desktop import CLAUDE_DESKTOP
from gateway.adapters.clients.client import Address, Client, Link, Machine, Program, Scope
from gateway.adapters.clients.codex import CODEX
from gateway.adapters.clients.cursor import CURSOR
from gateway.adapters.clients.document import Format, Malformed
from gateway.adapters.clients.entries import Entry, read_entry
from gateway.adapters.clients.gateways import Started, called_url, names_of, started_gateway
from gateway.adapters.clients.secrets import Moved, masked, without_values
from gateway.adapters.clients.vscode import VSCODE

CLIENTS = {client.name: client for client in (CLAUDE_CODE, CLAUDE_DESKTOP, CURSOR, VSCODE, CODEX)}
"""By the name that the command line knows them by."""

__all__ = [
    "CLIENTS",
    "Address",
    "Client",
    "Entry",
    "Format",
    "Link",
    "Machine",
    "Malformed",
    "Moved",
    "Program",
    "Scope",
    "Started",
    "called_url",
    "masked",
    "names_of",
    "read_entry",
    "started_gateway",
    "without_values",
]
