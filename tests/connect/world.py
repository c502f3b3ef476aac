"""A home of its own with clients' files in it, and a gateway.yaml. Expected files lie in `snapshots`, one folder a client.

Write them anew, then read the diff: python -m tests.connect.world
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.clients import CLIENTS, Address, Link, Program, Scope
from gateway.adapters.clients.client import Machine

SNAPSHOTS = Path(__file__).parent / "snapshots"
PROGRAM = Program("/opt/sealgate/bin/sealgate", ("serve", "--stdio", "--config", "/srv/gateway/gateway.yaml"))
ADDRESS = Address("http://127.0.0.1:8750/mcp", "SEALGATE_TOKEN")
LINKS: dict[str, Link] = {"stdio": PROGRAM, "http": ADDRESS}
CASES = [
    (client, how, start)
    for client in CLIENTS
    for how in LINKS
    for start in ("new", "before")
    if (client, how) != ("claude-desktop", "http")
]
YAML = """\
# the gateway of the shop
mcpServers:
  notes: {command: python, args: [notes.py]}  # as it was
tools:
  - {match: "notes__*", mode: read_only}
"""


@dataclass(frozen=True)
class Home:
    """A user's home, and the folder that the commands run in."""

    path: Path
    folder: Path

    @property
    def machine(self) -> Machine:
        return Machine(self.path, self.folder, sys.platform, {})

    @property
    def config(self) -> Path:
        return self.folder / "gateway.yaml"

    def file(self, client: str, scope: Scope = Scope.USER) -> Path:
        """The client's file."""
        found = CLIENTS[client].path(scope, self.machine)
        assert found is not None
        return found

    def write(self, client: str, text: str | bytes, scope: Scope = Scope.USER) -> Path:
        """Put a text into the client's file."""
        path = self.file(client, scope)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def copies(self, client: str) -> list[Path]:
        """The copies beside the client's file."""
        return sorted(self.file(client).parent.glob("*.bak"))


def snapshot(client: str, name: str) -> str:
    """An expected file, its line ends as they are."""
    return (SNAPSHOTS / client / name).read_bytes().decode()


def started_from(client: str, start: str) -> str:
    """What the client's file holds at the start: nothing at all, or other servers."""
    return "" if start == "new" else snapshot(client, "before")


def attached(client: str, how: str, start: str) -> str:
    """What `connect` makes of it."""
    addition = CLIENTS[client].attached("sealgate", LINKS[how])
    assert addition is not None
    return CLIENTS[client].format.put(started_from(client, start), addition)


if __name__ == "__main__":
    for one in CASES:
        client, how, start = one
        (SNAPSHOTS / client / f"{start}-{how}").write_bytes(attached(*one).encode())
