"""A gateway under the policy library, in a folder of the operator's own, and tools that the library asks about."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.policy.bundle import default_policies
from tests.edge.box import Said, run_cli
from tests.running import ModernClient, RunningGateway, outcome, until

CONFIG = """
mcpServers:
  mail: {{command: "{python}", args: ["-m", "tests.flow.upstream", "{folder}"]}}
{policy}
tools:
  - {{match: mail__read, mode: read_only, owner: strangers}}
  - match: mail__send
    mode: network
    egress: [api.example.com]
    trust: trusted
    fields: {{host: [/to, /relay], content: [/text, /pin]}}
  - {{match: mail__draft, mode: network, egress: [cdn.example.com], trust: trusted}}
  - {{match: mail__probe, mode: local_write, trust: trusted, fields: {{amount: [/amount], content: [/text]}}}}
  - {{match: mail__wipe, mode: destructive, trust: trusted}}
{more}
"""
SETTINGS = """{
	"sealgate": {
		"settings": {
			"always_ask": ["mail__slow_book"],
			"egress_allow": ["api.example.com"],
			"network_calls_per_minute": 1000,
			"constraints": {
				"mail__*": {"max_amount": 1000.50,
					"ask_above": 100, "optional": true}
			},
			"flow": {"tainted": "ask", "gated_modes": ["local_write"]}
		}
	}
}
"""
"""With tabs, and laid out as no program would: whatever is not changed must stay so."""


@dataclass
class Desk:
    """The running gateway, its policy folder, and a client."""

    gateway: RunningGateway
    policies: Path
    client: ModernClient

    def call(self, tool: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
        """What became of one call."""
        return outcome(self.client.call(f"mail__{tool}", arguments, **meta))

    def ask(self, tool: str, arguments: dict[str, Any], **meta: Any) -> str:
        """A call that a person is asked about; the approval id."""
        told = self.call(tool, arguments, **meta)
        assert told["outcome"] == "awaiting_approval", told
        return str(told["approval_id"])

    def rule(self, approval_id: str, *more: str) -> Said:
        """`sealgate approvals rule`."""
        return run_cli("approvals", "rule", approval_id, *more, state=self.gateway.state)

    def told(self, approval_id: str, *more: str) -> dict[str, Any]:
        """The same, as JSON."""
        said = self.rule(approval_id, "--json", *more)
        assert said.code == 0, said
        document: dict[str, Any] = json.loads(said.stdout)
        return document

    def refused(self, approval_id: str, *more: str) -> tuple[str, str]:
        """The error's code, and all that was said. Nothing that looks like a diff is printed."""
        said = self.rule(approval_id, *more)
        assert (said.code, said.stdout) == (1, ""), said
        return said.stderr.partition("[")[2].partition("]")[0], said.stderr

    def apply(self, patch: str, *command: str) -> None:
        """Apply what was printed, whole, as a person would, and wait until it is in force."""
        before = self.revision()
        done = subprocess.run(command, cwd=self.policies, input=patch, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done
        assert run_cli("policy", "check", str(self.policies), state=self.gateway.state).code == 0
        until(lambda: self.revision() != before, what="the changed settings")

    def revision(self) -> str:
        told: str = self.gateway.json("status")["policy"]["revision"]
        return told

    def settings(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.policies / "data.json").read_text())["sealgate"]["settings"]
        return found

    def write(self, settings: str) -> None:
        """Other settings, in force when this returns."""
        (self.policies / "data.json").write_text(settings)
        self.gateway.run("policy", "reload")


@contextmanager
def desk(folder: Path, *, policy: str = "policy: {path: policies}", more: str = "") -> Iterator[Desk]:
    """See `Desk`; `more` is added to gateway.yaml."""
    (folder / "mail").mkdir()
    policies = Path(shutil.copytree(default_policies(), folder / "policies"))
    (policies / "data.json").write_text(SETTINGS)
    gateway = RunningGateway(folder)
    gateway.configure(CONFIG.format(python=sys.executable, folder=folder / "mail", policy=policy, more=more))
    with gateway:
        gateway.approve_tools()
        with ModernClient(gateway) as client:
            yield Desk(gateway, policies, client)


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
