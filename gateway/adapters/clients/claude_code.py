"""Claude Code: `~/.claude.json` for a user, `.mcp.json` in a project. It fills in `${VAR}` and `${VAR:-default}`.

What `claude mcp add` adds by default is for one user in one project: under `projects` in the user's file.

The file is written rather than `claude mcp add-json` run: a change of a file can be shown before it is made, kept as a copy
and taken back, also where `claude` is not installed (decision 0034). Source: code.claude.com/docs/en/mcp.
"""

from pathlib import Path

from gateway.adapters.clients.client import Address, Client, Link, Machine, Scope, program_entry
from gateway.adapters.clients.document import Addition
from gateway.adapters.clients.json_file import JsonFile


def _user_file(machine: Machine) -> Path:
    return Path(machine.environment.get("CLAUDE_CONFIG_DIR") or machine.home) / ".claude.json"


def _attached(name: str, link: Link) -> Addition:
    if isinstance(link, Address):
        headers = {"Authorization": f"Bearer ${{{link.variable}}}"}
        return Addition(name, {"type": "http", "url": link.url, "headers": headers})
    return Addition(name, {"type": "stdio", **program_entry(link)})


CLAUDE_CODE = Client(
    name="claude-code",
    title="Claude Code",
    format=JsonFile(("mcpServers",), comments=False),
    places={
        Scope.USER: _user_file,
        Scope.PROJECT: lambda machine: machine.folder / ".mcp.json",
        Scope.LOCAL: _user_file,
    },
    local=lambda machine: JsonFile(("projects", str(machine.folder), "mcpServers"), comments=False),
    attached=_attached,
    check="Start Claude Code anew, then type /mcp in it, or run: claude mcp list",
    expands=True,
)
