"""Cursor: `~/.cursor/mcp.json` for a user, `.cursor/mcp.json` in a project. It fills in `${env:VAR}`.

Source: cursor.com/docs/mcp.
"""

from gateway.adapters.clients.client import Address, Client, Link, Scope, program_entry
from gateway.adapters.clients.document import Addition
from gateway.adapters.clients.json_file import JsonFile


def _attached(name: str, link: Link) -> Addition:
    if isinstance(link, Address):
        return Addition(name, {"url": link.url, "headers": {"Authorization": f"Bearer ${{env:{link.variable}}}"}})
    return Addition(name, program_entry(link))


CURSOR = Client(
    name="cursor",
    title="Cursor",
    format=JsonFile(("mcpServers",), comments=True),
    places={
        Scope.USER: lambda machine: machine.home / ".cursor" / "mcp.json",
        Scope.PROJECT: lambda machine: machine.folder / ".cursor" / "mcp.json",
    },
    attached=_attached,
    check="Reload Cursor, then look in its settings under MCP",
    expands=True,
)
