"""What an auditor is handed: a log that a running gateway wrote, exported, and the keys, which came another way.

The numbers on `docs/how-to/audit-without-us.md` are those of this log, so the order of what happens here is fixed.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.adapters.keys import make_approver_key, write_private_text
from tests.docs.pages import ROOT
from tests.running import ModernClient, RunningGateway, outcome, until

AUDITOR = ROOT / "tests" / "auditor"
OUTCOME, APPROVED, ROTATED = 5, 8, 11
"""Entries that the page names: a call's outcome, an approval, a change of the entry key."""
READS = 260
"""More than 256: the log has a full tile, and a second level."""


@dataclass(frozen=True)
class Alice:
    """The approver, with her key and what she types to open it."""

    key: Path
    passphrase: Path
    public_key: str

    @classmethod
    def in_folder(cls, folder: Path) -> "Alice":
        key, passphrase = folder / "alice.pem", folder / "alice.pass"
        write_private_text(passphrase, "only Alice knows")
        return cls(key, passphrase, make_approver_key(key, "user:alice", b"only Alice knows"))

    def approve(self, gateway: RunningGateway, approval_id: str) -> None:
        files = ("--key", str(self.key), "--passphrase-file", str(self.passphrase))
        gateway.run("approvals", "approve", approval_id, *files, "--yes")


def hand_over(folder: Path) -> Path:
    """Run a gateway in `folder` and let things happen; the folder that the auditor gets."""
    handed = folder / "handed"
    handed.mkdir()
    alice = Alice.in_folder(folder)
    gateway = RunningGateway(folder)
    gateway.configure(
        f"mcpServers: {{notes: {{command: {sys.executable}, args: [{ROOT}/examples/notes.py, {folder}/notes]}}}}\n"
        "tools:\n"
        "  - {match: notes__read_note, mode: read_only, trust: trusted}\n"
        "  - {match: notes__append_note, mode: local_write, trust: trusted}\n"
        "  - {match: notes__delete_note, mode: destructive, trust: trusted}\n"
        f'approvers: [{{principal: "user:alice", public_key: "{alice.public_key}"}}]\n'
    )
    with gateway:
        gateway.approve_tools()
        with ModernClient(gateway) as client:
            client.call("notes__append_note", {"name": "demo", "text": "30 Euro für Bob"})
            asked = outcome(client.call("notes__delete_note", {"name": "demo"}))
            alice.approve(gateway, asked["approval_id"])
            assert outcome(client.call("notes__delete_note", {"name": "demo"}))["outcome"] == "completed"
    gateway.run("log", "export", str(handed / "early"))
    (handed / "kept.txt").write_text(gateway.run("log", "checkpoint").stdout)
    shutil.copy(gateway.state / "keys" / "log.pem", folder / "copied.pem")
    gateway.run("keys", "rotate", "entry")
    gateway.run("keys", "rotate", "log")
    with gateway:
        with ModernClient(gateway) as client:
            for _ in range(READS):
                client.call("notes__read_note", {"name": "welcome"})
        entries = gateway.json("log", "list", "--limit", "1000")["entries"]
        until(lambda: _covered(gateway) == len(entries), what="a checkpoint of all entries")
        gateway.run("log", "export", str(handed / "log"))
        gateway.run("log", "prove", str(OUTCOME), "--out", str(handed / "call.tlog-proof"))
        gateway.run("log", "disclose", entries[OUTCOME]["id"], "--out", str(handed / "disclosed.json"))
        (handed / "public.json").write_text(gateway.run("keys", "public").stdout)
    told = {place: (entries[place]["kind"], entries[place]["end"]) for place in (OUTCOME, APPROVED, ROTATED)}
    assert told == {OUTCOME: ("outcome", "completed"), APPROVED: ("approval", "approved"), ROTATED: ("key", "rotated")}
    shutil.copy(alice.key.with_name("alice.pem.json"), handed / "approver.json")
    shutil.copytree(AUDITOR, handed / "auditor", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return handed


def _covered(gateway: RunningGateway) -> int:
    return int(gateway.run("log", "checkpoint").stdout.split("\n")[1])
