"""The delegated tier: reachable for whoever was delegated to, and each call by that principal's own SSH key."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.adapters.keys import make_keys
from gateway.adapters.policy.bundle import default_policies
from tests.approvals.people import Person, ask
from tests.core.ssh import KeyFile
from tests.edge.box import Box, configured
from tests.running import ModernClient, RunningGateway, outcome, text

TOKENS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("delegated", "bare", "expired", "elsewhere")}
DELEGATIONS = {
    "delegated": '{scopes: ["box__act"], expires_at: "2999-01-01T00:00:00Z"}',
    "bare": "null",
    "expired": '{scopes: ["box__*"], expires_at: "2020-01-01T00:00:00Z"}',
    "elsewhere": '{scopes: ["mail__*", "box__post"], expires_at: "2999-01-01T00:00:00Z"}',
}


class ServingGateway(RunningGateway):
    @property
    def token(self) -> str:
        return "delegated"


@pytest.fixture(scope="module")
def own_key(ssh_keygen: str, tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile.make(tmp_path_factory.mktemp("ada"), "id_ed25519")


@pytest.fixture(scope="module")
def box(own_key: KeyFile, alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """`sealgate serve` for Ada, in whose name a helper acts; her SSH key and Alice's key file may approve."""
    folder = tmp_path_factory.mktemp("delegation")
    (folder / "box").mkdir()
    policies = folder / "policies"
    shutil.copytree(default_policies(), policies)
    data = json.loads((policies / "data.json").read_text())
    data["sealgate"]["settings"]["delegated_evidence"] = 0
    (policies / "data.json").write_text(json.dumps(data))
    callers = "".join(
        f'  - {{principal: "user:ada", actors: ["agent:helper"], token_sha256: {TOKENS[name]}, delegation: {given}}}\n'
        for name, given in DELEGATIONS.items()
    )
    ssh = f'  - {{principal: "user:ada", ssh_key: "{own_key.public}"}}\n'
    more = f"policy: {{path: {policies}}}\ncallers:\n{callers}approvers:\n{alice.listed()}{ssh}"
    gateway = ServingGateway(folder, verb="serve")
    gateway.configure(configured(folder / "box", more))
    make_keys(gateway.state / "keys", origin="sealgate.local/default", dev=False)
    with gateway:
        running = Box(gateway, folder / "box")
        assert running.run("tools", "approve", "--all", "--yes").code == 0
        yield running
        running.assert_sound()


def act(box: Box, token: str, said: str) -> dict[str, Any]:
    with ModernClient(box.gateway, token=token) as client:
        return client.call("box__act", {"text": said})


def test_a_delegated_call_is_approved_by_that_principals_own_ssh_key(box: Box, own_key: KeyFile, alice: Person) -> None:
    with ModernClient(box.gateway) as client:
        approval_id = ask(client, "mine", tool="box__act")
    assert "delegated.own_approval" in text(act(box, "delegated", "mine"))
    refused = alice.answers(box, "approve", approval_id)
    assert (refused.code, "error[approval.wrong_approver]" in refused.stderr) == (1, True)
    said = box.run("approvals", "approve", approval_id, "--ssh-key", str(own_key.path), "--yes")
    assert (said.code, "recorded for user:ada" in said.stderr) == (0, True), said
    done = act(box, "delegated", "mine")
    assert outcome(done) == {"outcome": "completed"}
    told = box.entry(done["result"]["_meta"]["dev.sealgate/receipt"]).predicate["approval"]
    assert (told["approver"], told["route"], told["advisory"]) == ("user:ada", "cli", False)
    assert box.lines("rows").count("act mine") == 1


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("bare", "delegation.missing"),
        ("expired", "delegation.expired"),
        ("elsewhere", "delegation.not_covered"),
    ],
)
def test_without_a_delegation_that_covers_the_tool_it_is_denied(box: Box, token: str, why: str) -> None:
    assert outcome(act(box, token, why)) == {"outcome": "denied", "reasons": [why]}
    assert f"act {why}" not in box.lines("rows")


def test_no_rule_takes_the_place_of_that_principals_own_yes(box: Box) -> None:
    with ModernClient(box.gateway, token="delegated") as client:
        approval_id = ask(client, "a rule", tool="box__act")
    said = box.run("approvals", "rule", approval_id)
    assert (said.code, said.stdout, "error[rule.bound]" in said.stderr) == (1, "", True)
