"""Approvers of these tests, and calls that wait for them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.keys import make_approver_key, write_private_text
from tests.edge.box import Box, Said
from tests.running import ModernClient, outcome


@dataclass(frozen=True)
class Person:
    """An approver with a key file and its passphrase file."""

    principal: str
    key: Path
    passphrase: Path
    public_key: str

    @classmethod
    def make(cls, folder: Path, principal: str) -> "Person":
        """A new one; the files are in `folder`."""
        name = principal.replace(":", "-")
        key, passphrase = folder / f"{name}.pem", folder / f"{name}.pass"
        write_private_text(passphrase, f"pass of {name}")
        return cls(principal, key, passphrase, make_approver_key(key, principal, f"pass of {name}".encode()))

    def listed(self) -> str:
        """As gateway.yaml has them."""
        return f'  - {{principal: "{self.principal}", public_key: "{self.public_key}"}}\n'

    def answers(self, box: Box, verb: str, approval_id: str, *more: str) -> Said:
        """`sealgate approvals approve|reject`."""
        files = ("--key", str(self.key), "--passphrase-file", str(self.passphrase))
        return box.run("approvals", verb, approval_id, *files, "--yes", *more)


def ask(client: ModernClient, text: str, tool: str = "box__drop", **meta: Any) -> str:
    """Make a call that needs approval; the approval id."""
    told = outcome(client.call(tool, {"text": text}, **meta))
    assert told["outcome"] == "awaiting_approval", told
    return str(told["approval_id"])
