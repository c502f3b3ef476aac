"""A gateway before `upstream.py`, under a small policy of its own that says what it was told of a call's run.

* a read is allowed
* `probe` is denied, and says all it was told: that is how tests see it
* an effect outside the registered intent, or over the budget, is denied; in a tainted run a person is asked, unless every
  argument that is not mere content is covered
* what is allowed has the obligations that stand in the policy's data
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.store.sqlite.database import open_for_reading
from tests.edge.box import Box
from tests.running import ModernClient, RunningGateway, outcome, text

CONFIG = """
mcpServers:
  mail: {{command: "{python}", args: ["-m", "tests.flow.upstream", "{folder}"]}}
policy: {{path: policy}}
tools:
  - {{match: [mail__read, mail__slow_read], mode: read_only, owner: strangers}}
  - {{match: [mail__book, mail__slow_book], mode: read_only, trust: trusted, owner: us}}
  - match: [mail__send, mail__probe]
    mode: local_write
    trust: {trust}
    owner: us
    fields: {{recipient: [/to], amount: [/amount], content: [/text, /headers]}}
  - {{match: mail__draft, mode: local_write, owner: strangers}}
  - {{match: mail__wipe, mode: destructive, owner: us}}
"""

POLICY = """package sealgate.authz

context := input.context

provenance := context.provenance

tool := input.resource.properties.tool

told := {
	"run": context.run, "provenance": provenance, "intent": context.intent, "cited": context.cited,
	"fields": context.fields,
}

has_effect if input.resource.properties.mode != "read_only"

default decision := {"effect": "deny", "reasons": [], "obligations": {}}

decision := {
	"effect": "deny", "reasons": [{"code": "test.told", "message": json.marshal(told)}], "obligations": {},
} if {
	tool == "probe"
} else := {
	"effect": "deny", "reasons": [{"code": "test.outside_intent", "message": "Not what the run is for."}],
	"obligations": {},
} if {
	has_effect
	context.intent.fulfilled == false
} else := {
	"effect": "deny", "reasons": [{"code": "test.over_budget", "message": "Enough."}], "obligations": {},
} if {
	has_effect
	context.run.effects >= data.budget
} else := {
	"effect": "ask", "reasons": [{"code": "test.tainted", "message": "A person is asked."}],
	"obligations": object.filter(data.obligations, {"redact", "max_result_bytes", "evidence", "modify"}),
} if {
	has_effect
	provenance.tainted
	not covered
} else := {
	"effect": "allow", "reasons": [{"code": "test.allowed", "message": "Allowed."}],
	"obligations": bound,
}

bound := {} if tool == "test" # which is what a policy is tried with before it is put to work

bound := data.obligations if tool != "test"

covered if {
	context.intent.fulfilled
	provenance.complete
	every leaf in provenance.leaves {
		is_known(leaf)
	}
}

is_known(leaf) if leaf.role == "content"

is_known(leaf) if "intent" in leaf.origins

is_known(leaf) if "trusted" in leaf.origins

is_known(leaf) if "definition" in leaf.origins
"""


@dataclass
class Mail:
    """The running gateway, and the folder of its upstream."""

    gateway: RunningGateway
    folder: Path
    client: ModernClient

    def write(self, name: str, said: Any, **more: Any) -> None:
        """What `read` and `book` answer for this file: a text, or a structured value, or a whole result."""
        if isinstance(said, str):
            said = {"content": [{"type": "text", "text": said}]}
        elif "content" not in said:
            said = {"content": [{"type": "text", "text": json.dumps(said)}], "structuredContent": said}
        (self.folder / f"{name}.json").write_text(json.dumps({**said, **more}))

    def sent(self) -> list[dict[str, Any]]:
        """The arguments of every effect there was."""
        path = self.folder / "sent"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def call(self, tool: str, arguments: dict[str, Any], run: str, **meta: Any) -> dict[str, Any]:
        """One call within a run; the whole response."""
        return self.client.call(f"mail__{tool}", arguments, run={"run_id": run}, **meta)

    def read(self, file: str, run: str, tool: str = "read", **meta: Any) -> dict[str, Any]:
        """A read, which must be answered; the response."""
        response = self.call(tool, {"file": file}, run, **meta)
        assert outcome(response)["outcome"] == "completed", response
        return response

    def told(self, arguments: dict[str, Any], run: str, **meta: Any) -> dict[str, Any]:
        """What policy is told of an effect with these arguments."""
        response = self.call("probe", arguments, run, **meta)
        assert outcome(response) == {"outcome": "denied", "reasons": ["test.told"]}, response
        said: dict[str, Any] = json.loads(text(response).splitlines()[1].removesuffix(" [test.told]"))
        return said

    def origins(self, arguments: dict[str, Any], run: str, **meta: Any) -> dict[str, list[str]]:
        """The origins of each leaf, by pointer."""
        return {leaf["pointer"]: leaf["origins"] for leaf in self.told(arguments, run, **meta)["provenance"]["leaves"]}

    def entry(self, response: dict[str, Any]) -> dict[str, Any]:
        """The predicate of the entry that the answer's receipt names, its signature checked."""
        return dict(Box(self.gateway, self.folder).entry(meta(response, "receipt")).predicate)

    def kept(self, response: dict[str, Any]) -> str:
        """What the gateway stored of the call's values, as JSON of ASCII."""
        with DaemonClient(self.gateway.state / "control.sock") as client:
            return json.dumps(client.get(f"/api/v1/calls/{meta(response, 'receipt')['envelope_id']}/values"))

    def kept_input(self, response: dict[str, Any]) -> str:
        """What the gateway stored of what policy saw, as JSON of ASCII."""
        with DaemonClient(self.gateway.state / "control.sock") as client:
            return json.dumps(client.get(f"/api/v1/policy/inputs/{meta(response, 'receipt')['envelope_id']}"))

    def oblige(self, obligations: dict[str, Any], **data: Any) -> None:
        """From now on every allowed call has these obligations."""
        (self.gateway.folder / "policy" / "data.json").write_text(json.dumps({"obligations": obligations, **data}))
        with DaemonClient(self.gateway.state / "control.sock") as client:
            client.post("/api/v1/policy/reload", {})

    def flows(self) -> list[tuple[Any, ...]]:
        """What the journal keeps of runs."""
        db = open_for_reading(self.gateway.state / "journal.db")
        try:
            return db.execute("SELECT scope, subject, tainted_at, effects, intent FROM flows").fetchall()
        finally:
            db.close()


def reasons(response: dict[str, Any]) -> list[str]:
    """The reason codes of a refusal."""
    codes: list[str] = outcome(response)["reasons"]
    return codes


def meta(response: dict[str, Any], key: str) -> Any:
    """A `dev.sealgate/` key of the answer's `_meta`; None where it is not there."""
    return response["result"]["_meta"].get(f"dev.sealgate/{key}")


@contextmanager
def mailing(folder: Path, *, trust: str = "trusted") -> Iterator[Mail]:
    """A running gateway; `trust` is that of the results of `send` and `probe`."""
    (folder / "mail").mkdir()
    (folder / "policy").mkdir()
    (folder / "policy" / "authz.rego").write_text(POLICY)
    (folder / "policy" / "data.json").write_text('{"obligations": {}}')
    gateway = RunningGateway(folder)
    gateway.configure(CONFIG.format(python=sys.executable, folder=folder / "mail", trust=trust))
    with gateway:
        gateway.approve_tools()
        with ModernClient(gateway) as client:
            yield Mail(gateway, folder / "mail", client)
