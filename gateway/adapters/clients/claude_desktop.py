"""Claude Desktop: one file for the user. It starts programs only, and fills in nothing.

Source: modelcontextprotocol.io/docs/develop/connect-local-servers.
"""

from gateway.adapters.clients.client import Address, Client, Link, Scope, program_entry
from gateway.adapters.clients.document import Addition
from gateway.adapters.clients.json_file import JsonFile


def _attached(name: str, link: Link) -> Addition | None:
    return None if isinstance(link, Address) else Addition(name, program_entry(link))


CLAUDE_DESKTOP = Client(
    name="claude-desktop",
    title="Claude Desktop",
    format=JsonFile(("mcpServers",), comments=False),
    places={Scope.USER: lambda machine: machine.settings / "Claude" / "claude_desktop_config.json"},
    attached=_attached,
    check="Quit Claude Desktop and start it anew, then look under Settings, Developer",
    expands=False,
)
