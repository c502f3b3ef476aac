"""A gateway in front of `upstream.py`, what is stored by it, and a search for texts in all of that."""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.edge.box import Said, run_cli
from tests.running import ModernClient, RunningGateway

CONFIG = """
mcpServers:
  desk: {{command: "{python}", args: ["-m", "tests.privacy.upstream", "{folder}"]}}
tools:
  - {{match: [desk__read], mode: read_only, trust: trusted}}
  - {{match: [desk__login, desk__note, desk__profile], mode: local_write, trust: trusted}}
  - {{match: [desk__drop], mode: destructive, trust: trusted}}
"""


@dataclass
class Desk:
    """A running gateway and the folder its upstream writes to."""

    gateway: RunningGateway
    folder: Path

    def client(self) -> ModernClient:
        return ModernClient(self.gateway)

    def calls(self) -> list[Any]:
        """What reached the upstream: [tool, arguments] each."""
        path = self.folder / "calls"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def run(self, *arguments: str, stdin: str = "") -> Said:
        """A `sealgate` command on this state folder, in this process."""
        return run_cli(*arguments, state=self.gateway.state, stdin=stdin)

    def json(self, *arguments: str) -> Any:
        """The JSON of a command that has `--json`."""
        said = self.run(*arguments, "--json")
        assert said.code == 0, said
        return json.loads(said.stdout)

    def entries(self) -> str:
        """Everything that the log says, as `sealgate log show` prints it."""
        size = len(self.json("log", "list", "-n", "100000")["entries"])
        return "".join(self.run("log", "show", str(index)).stdout for index in range(size))

    def verify(self) -> None:
        said = self.run("log", "verify")
        assert said.code == 0, said

    def stored(self) -> dict[str, bytes]:
        """Every file of the state folder and what the gateway printed, with the payloads of entries decoded."""
        files = {str(path.relative_to(self.gateway.folder)): path for path in self.gateway.folder.rglob("*")}
        found = {
            name: path.read_bytes()
            for name, path in files.items()
            if path.is_file() and self.folder not in path.parents  # that one is the upstream's own
        }
        found["entries"] = self.entries().encode()
        return found


@contextmanager
def running_desk(folder: Path, config: str = CONFIG) -> Iterator[Desk]:
    """A gateway with all its tools approved."""
    (folder / "desk").mkdir(parents=True, exist_ok=True)
    gateway = RunningGateway(folder)
    gateway.configure(config.format(python=sys.executable, folder=folder / "desk"))
    with gateway:
        desk = Desk(gateway, folder / "desk")
        said = desk.run("tools", "approve", "--all", "--yes")
        assert said.code == 0, said
        yield desk


def spellings(text: str) -> set[bytes]:
    """A text as it is, in hex, and inside base64 and base64url at each of the three offsets."""
    data = text.encode()
    found = {data, data.hex().encode(), json.dumps(text)[1:-1].encode()}
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + data + bytes(2))
        first = (offset * 8 + 5) // 6  # characters that no other byte than the text's own has a part in
        last = (offset + len(data)) * 8 // 6
        inner = encoded[first:last]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def places(text: str, stored: dict[str, bytes]) -> list[str]:
    """Where `text` stands in clear, in any spelling."""
    return sorted(name for name, data in stored.items() if any(spelled in data for spelled in spellings(text)))
