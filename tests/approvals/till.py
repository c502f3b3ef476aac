"""A gateway before a tool that pays, under a policy that asks about larger amounts; and what its approvers do about them."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import load_approver_key
from gateway.core.answer import PAYLOAD_TYPE, Answer, answer_payload
from gateway.core.dsse import envelop
from gateway.core.entry import Entry, Kind
from tests.approvals.people import Person
from tests.edge.box import Box, Said, boxed
from tests.running import ModernClient, outcome

TOOL = "box__pay"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "to": {"type": "array", "items": {"type": "string"}},
        "amount": {"type": "number", "minimum": 0, "maximum": 100_000},
        "note": {"type": "string"},
        "pin": {"type": "string", "x-sealgate-sensitive": True},
        "how": {"type": "object"},
    },
    "required": ["to", "amount"],
    "additionalProperties": False,
}

POLICY = """package sealgate.authz

arguments := input.context.arguments

amount := object.get(arguments, "amount", 0)

note := object.get(arguments, "note", "")

default decision := {"effect": "allow", "reasons": [], "obligations": {}}

decision := {"effect": "deny", "reasons": [{"code": "till.barred", "message": "Not to them."}], "obligations": {}} if {
	"mallory" in object.get(arguments, "to", [])
} else := {
	"effect": "ask",
	"reasons": [{"code": "till.large", "message": sprintf("%v is much.", [amount])}],
	"obligations": obligations,
} if {
	amount >= 100
}

obligations := {"quorum": {"count": 2}} if {
	contains(note, "four eyes")
} else := {"approve_for": "run"} if {
	contains(note, "same run")
} else := {"modify": {"/note": "policy says so"}} if {
	note == "to be changed"
} else := {}
"""


@contextmanager
def till(folder: Path, people: list[Person], more: str = "") -> Iterator[Box]:
    """The gateway. `more` is added to gateway.yaml."""
    (folder / "policies").mkdir()
    (folder / "policies" / "authz.rego").write_text(POLICY)
    (folder / "box").mkdir()
    (folder / "box" / "extra.json").write_text(json.dumps([{"name": "pay", "inputSchema": SCHEMA}]))
    approvers = "".join(person.listed() for person in people)
    rule = "  - {match: box__pay, mode: destructive, trust: trusted, fields: {amount: [/amount]}}\n"
    config = f"{rule}policy: {{path: {folder / 'policies'}}}\napprovers:\n{approvers}{more}"
    with boxed(folder, config) as box:
        yield box


def pay(client: ModernClient, arguments: Mapping[str, Any], **meta: Any) -> dict[str, Any]:
    """Make the call; the response."""
    return client.call(TOOL, dict(arguments), **meta)


def asks(client: ModernClient, arguments: Mapping[str, Any], **meta: Any) -> str:
    """Make the call, which must wait for a person; its approval id."""
    told = outcome(pay(client, arguments, **meta))
    assert told["outcome"] == "awaiting_approval", told
    return str(told["approval_id"])


def paid(box: Box) -> list[dict[str, Any]]:
    """The arguments of every payment there was."""
    return [json.loads(line.removeprefix("pay ")) for line in box.lines("calls") if line.startswith("pay ")]


def modify(box: Box, person: Person, approval_id: str, *more: str, **changes: Any) -> Said:
    """`sealgate approvals modify`; `amount=50` sets /amount."""
    given = [f"--set=/{name}={json.dumps(value)}" for name, value in changes.items()]
    return person.answers(box, "modify", approval_id, *given, *more)


def meta(response: dict[str, Any], name: str) -> Any:
    return response["result"]["_meta"].get(f"dev.sealgate/{name}")


def instead_of(box: Box, approval_id: str) -> str:
    """The id of the request that is asked instead of this one."""
    answers = box.json("approvals", "show", approval_id)["answers"]
    return str(answers[-1]["modified_into"])


def about(box: Box, approval_id: str) -> list[Entry]:
    """The entries of one request, in order."""
    found = [entry for entry in box.entries() if entry.kind is Kind.APPROVAL]
    return [entry for entry in found if entry.predicate["approval"]["approval_id"] == approval_id]


class Desk:
    """The control socket, spoken to by somebody who makes answers by hand."""

    def __init__(self, box: Box) -> None:
        self._daemon = DaemonClient(box.gateway.state / "control.sock")

    def close(self) -> None:
        self._daemon.__exit__(None, None, None)

    def shown(self, approval_id: str) -> dict[str, Any]:
        return self._daemon.get(f"/api/v1/approvals/{approval_id}")

    def offered(self, approval_id: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """What the gateway would ask instead."""
        return self._daemon.post(f"/api/v1/approvals/{approval_id}/modify", {"changes": dict(changes)})

    def answered(self, approval_id: str, envelope: Mapping[str, Any]) -> dict[str, Any]:
        return self._daemon.post(f"/api/v1/approvals/{approval_id}/answer", {"envelope": dict(envelope)})


def signed(person: Person, request: Mapping[str, Any], into: Mapping[str, Any] | None, **more: Any) -> dict[str, Any]:
    """The person's answer `modify` to one request, with the other in its place."""
    signer = load_approver_key(person.key, person.passphrase.read_bytes())
    payload = answer_payload(request, Answer.MODIFY, person.principal, "", into=into, **more)
    envelope: dict[str, Any] = json.loads(envelop(PAYLOAD_TYPE, payload, signer)[0])
    return envelope
