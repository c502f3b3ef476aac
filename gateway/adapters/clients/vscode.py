"""VS Code: `mcp.json` of the user's profile, `.vscode/mcp.json` in a workspace. JSON with comments; a token is asked for.

What a person answers to one of `inputs` is kept by VS Code, encrypted, and not in the file.
Source: code.visualstudio.com/docs/copilot/reference/mcp-configuration.
"""

from gateway.adapters.clients.client import Address, Client, Link, Scope, program_entry
from gateway.adapters.clients.document import Addition
from gateway.adapters.clients.json_file import JsonFile


def _attached(name: str, link: Link) -> Addition:
    if isinstance(link, Address):
        token = f"{name}-token"
        entry = {"type": "http", "url": link.url, "headers": {"Authorization": f"Bearer ${{input:{token}}}"}}
        question = {"type": "promptString", "description": "Token for the Sealgate gateway", "password": True}
        return Addition(name, entry, {token: question})
    return Addition(name, {"type": "stdio", **program_entry(link)})


VSCODE = Client(
    name="vscode",
    title="VS Code",
    format=JsonFile(("servers",), comments=True),
    places={
        Scope.USER: lambda machine: machine.settings / "Code" / "User" / "mcp.json",
        Scope.PROJECT: lambda machine: machine.folder / ".vscode" / "mcp.json",
    },
    attached=_attached,
    check='Run "MCP: List Servers" from the command palette of VS Code',
    expands=True,
)
