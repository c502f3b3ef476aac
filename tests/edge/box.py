"""A gateway in front of `upstream.py`, and what can be seen of both from outside."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.daemon import DaemonClient, DaemonLog
from gateway.adapters.keys import load_trusted_keys
from gateway.core.entry import Entry, open_entry
from gateway.core.verify import Report, StoredEntry, verify_log
from tests.running import RunningGateway
from tests.running import Said as Said
from tests.running import run_cli as run_cli

CONFIG = """
mcpServers:
  box: {{command: "{python}", args: ["-m", "tests.edge.upstream", "{folder}"]}}
upstreams:
  box: {{deadline_seconds: 20, breaker_failures: 0}}
tools:
  - match: [box__echo, box__open, box__slow_read, box__forged, box__relist, box__drifting]
    mode: read_only
    trust: trusted
  - {{match: [box__add_row, box__slow_write, box__error, box__is_error, box__no_content], mode: local_write, trust: trusted}}
  - {{match: box__post, mode: network, trust: trusted, egress: [elsewhere.example]}}
  - {{match: box__act, mode: delegated, trust: trusted}}
  - {{match: [box__drop, box__drop_all], mode: destructive, trust: trusted}}
{more}
"""


@dataclass
class Box:
    """A running gateway and the folder its upstream writes to."""

    gateway: RunningGateway
    folder: Path

    def lines(self, file: str) -> list[str]:
        """What the upstream wrote there: `calls`, `rows`, `started` or `cancelled`."""
        path = self.folder / file
        return path.read_text().splitlines() if path.exists() else []

    @contextmanager
    def log(self) -> Iterator[DaemonLog]:
        """The log, read through the daemon."""
        with DaemonClient(self.gateway.state / "control.sock") as client:
            yield DaemonLog(client)

    def size(self) -> int:
        """How many entries the log has."""
        with self.log() as log:
            return log.head()[0]

    def stored(self, index: int) -> StoredEntry:
        """One entry as stored."""
        with self.log() as log:
            return next(iter(log.entries(index)))

    def entries(self, start: int = 0) -> list[Entry]:
        """Entries from `start` on, their signatures checked."""
        keys = load_trusted_keys(self.gateway.state / "keys" / "public.json").by_id()
        with self.log() as log:
            return [open_entry(stored.entry, keys) for stored in log.entries(start)]

    def entry(self, receipt: dict[str, Any]) -> Entry:
        """The entry a receipt points at, its signature checked."""
        return self.entries(receipt["leaf_index"])[0]

    def verified(self) -> Report:
        """What `sealgate log verify` finds."""
        with self.log() as log:
            head, notes = log.head(), list(log.checkpoints())
            keys = load_trusted_keys(self.gateway.state / "keys" / "public.json")
            return verify_log(log.entries(), notes, keys, head=head, tile=log.tile)

    def run(self, *arguments: str, stdin: str = "") -> Said:
        """A `sealgate` command on this state folder, in this process: starting one costs a second."""
        return run_cli(*arguments, state=self.gateway.state, stdin=stdin)

    def json(self, *arguments: str) -> Any:
        """The JSON of a command that has `--json`."""
        said = self.run(*arguments, "--json")
        assert said.code == 0, said
        return json.loads(said.stdout)

    def assert_sound(self) -> None:
        """The gateway never stumbled, its log verifies and its state is whole."""
        assert self.faults() == []
        assert self.verified().problems == []
        checked = self.run("state", "check")
        assert checked.code == 0, checked

    def faults(self) -> list[str]:
        """What the gateway said on stderr that it should never have to say."""
        return [
            line
            for line in self.gateway.output.splitlines()
            if "Traceback" in line or '"level": "error"' in line or '"level": "critical"' in line
        ]


def configured(folder: Path, more: str = "") -> str:
    """The text of gateway.yaml; the upstream writes to `folder`."""
    return CONFIG.format(python=sys.executable, folder=folder, more=more)


@contextmanager
def boxed(folder: Path, more: str = "") -> Iterator[Box]:
    """A gateway with all its tools approved; `more` is added to gateway.yaml."""
    (folder / "box").mkdir(exist_ok=True)
    gateway = RunningGateway(folder)
    gateway.configure(configured(folder / "box", more))
    with gateway:
        box = Box(gateway, folder / "box")
        said = box.run("tools", "approve", "--all", "--yes")
        assert said.code == 0, said
        yield box
