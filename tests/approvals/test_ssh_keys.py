"""Approving with an SSH key: signed by the real ssh-keygen here, checked by the real one there."""

import json
import os
import signal
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.daemon import DaemonClient
from gateway.core.answer import Answer, answer_payload, ssh_envelope
from gateway.core.errors import GatewayError
from tests.approvals.people import Person, ask
from tests.approvals.test_answers import about
from tests.core.ssh import KeyFile, ssh_keygen_verifies
from tests.edge.box import Box, boxed
from tests.running import ModernClient, outcome


@pytest.fixture(scope="module")
def keys(ssh_keygen: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, KeyFile]:
    folder = tmp_path_factory.mktemp("ssh")
    made = {kind: KeyFile.make(folder, kind, kind) for kind in ("ed25519", "ecdsa")}
    return {
        **made,
        "stranger": KeyFile.make(folder, "stranger"),
        "locked": KeyFile.make(folder, "locked", passphrase="lock"),
    }


@pytest.fixture(scope="module")
def box(keys: dict[str, KeyFile], alice: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A gateway that knows three SSH keys, and Alice's key file."""
    listed = [
        f'  - {{principal: "user:{name}", ssh_key: "{keys[name].public}"}}\n' for name in ("ed25519", "ecdsa", "locked")
    ]
    with boxed(tmp_path_factory.mktemp("ssh-box"), "approvers:\n" + alice.listed() + "".join(listed)) as running:
        yield running
        running.assert_sound()


def test_an_ssh_key_changes_a_call_and_approves_it(box: Box, client: ModernClient, keys: dict[str, KeyFile]) -> None:
    approval_id = ask(client, "by ssh")
    with_key = ("--ssh-key", str(keys["ed25519"].path), "--yes")
    said = box.run("approvals", "modify", approval_id, "--set", '/text="changed by ssh"', *with_key)
    assert said.code == 0, said
    assert outcome(client.call("box__drop", {"text": "by ssh"})) == {"outcome": "completed"}
    assert [row for row in box.lines("rows") if "by ssh" in row] == ["drop changed by ssh"]
    assert about(box, approval_id)[-1].predicate["signed_answer"]["sshsig"]


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_an_ssh_key_approves_and_the_log_shows_it_to_ssh_keygen(
    box: Box, client: ModernClient, keys: dict[str, KeyFile], tmp_path: Path, kind: str
) -> None:
    approval_id = ask(client, kind)
    said = box.run("approvals", "approve", approval_id, "--ssh-key", str(keys[kind].path), "--yes", "--comment", "seen")
    assert (said.code, f"recorded for user:{kind}" in said.stderr) == (0, True)
    receipt = client.call("box__drop", {"text": kind})["result"]["_meta"]["dev.sealgate/receipt"]
    told = box.entry(receipt).predicate["approval"]
    assert (told["approver"], told["route"], told["keyid"][:7]) == (f"user:{kind}", "cli", "SHA256:")
    signed = about(box, approval_id)[-1].predicate["signed_answer"]
    payload = b64decode(signed["payload"])
    assert json.loads(payload)["call_digest"] == box.entry(receipt).predicate["call"]["call_digest"]
    assert ssh_keygen_verifies(tmp_path, keys[kind].public, signed["sshsig"], payload)
    assert not ssh_keygen_verifies(tmp_path, keys[kind].public, signed["sshsig"], payload + b" ")


def test_an_ssh_agent_signs_for_a_public_key(
    box: Box, client: ModernClient, keys: dict[str, KeyFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = subprocess.run(["ssh-agent", "-s", "-a", str(tmp_path / "agent")], capture_output=True, text=True, check=True)
    pid = int(agent.stdout.split("SSH_AGENT_PID=")[1].split(";")[0])
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
        subprocess.run(["ssh-add", "-q", str(keys["ed25519"].path)], check=True, capture_output=True)
        public = tmp_path / "only.pub"
        public.write_text(keys["ed25519"].public + "\n")
        approval_id = ask(client, "by agent")
        said = box.run("approvals", "approve", approval_id, "--ssh-key", str(public), "--yes")
        assert (said.code, "recorded for user:ed25519" in said.stderr) == (0, True), said
    finally:
        os.kill(pid, signal.SIGTERM)
    assert outcome(client.call("box__drop", {"text": "by agent"})) == {"outcome": "completed"}


def test_a_key_nobody_registered_or_that_is_locked_signs_nothing(
    box: Box, client: ModernClient, keys: dict[str, KeyFile]
) -> None:
    approval_id = ask(client, "no key")
    said = box.run("approvals", "approve", approval_id, "--ssh-key", str(keys["stranger"].path), "--yes")
    assert (said.code, "no approver with the key SHA256:" in said.stderr) == (1, True)
    command = ("approvals", "approve", approval_id, "--ssh-key", str(keys["locked"].path), "--yes")
    done = box.gateway.cli(*command, check=False)  # without a terminal nobody can be asked for the passphrase
    assert (done.returncode, "could not sign" in done.stderr) == (1, True)
    both = box.run("approvals", "approve", approval_id, "--ssh-key", "a", "--key", "b", "--yes")
    assert (both.code, "name two keys" in both.stderr) == (2, True)
    missing = box.run("approvals", "approve", approval_id, "--ssh-key", "nowhere", "--yes")
    assert (missing.code, "ssh-keygen -y -f nowhere" in missing.stderr) == (1, True)
    assert ask(client, "no key") == approval_id


def test_a_signature_of_another_key_purpose_or_request_is_refused(
    box: Box, client: ModernClient, keys: dict[str, KeyFile]
) -> None:
    approval_id = ask(client, "forged")
    request = box.json("approvals", "show", approval_id)["request"]
    payload = answer_payload(request, Answer.APPROVE, "user:ed25519", "")
    other = answer_payload({**request, "call_digest": "hmac-sha256:00"}, Answer.APPROVE, "user:ed25519", "")
    theirs = answer_payload(request, Answer.APPROVE, "user:alice", "")
    key = keys["ed25519"]
    good = ssh_envelope(payload, key.sign(payload))
    attempts = [
        (ssh_envelope(payload, keys["stranger"].sign(payload)), "approval.signature"),
        (ssh_envelope(payload, key.sign(payload, namespace="file")), "approval.signature"),
        (ssh_envelope(payload, key.sign(other)), "approval.signature"),
        (ssh_envelope(other, key.sign(other)), "approval.other_request"),
        (ssh_envelope(theirs, key.sign(theirs)), "approval.other_request"),
        ({**good, "payloadType": "text/plain"}, "approval.signature"),
        ({**good, "keyid": "more"}, "approval.signature"),
        ({**good, "sshsig": 1}, "approval.signature"),
        ({**good, "signatures": []}, "approval.signature"),
    ]
    with DaemonClient(box.gateway.state / "control.sock") as daemon:
        for envelope, code in attempts:
            with pytest.raises(GatewayError) as refused:
                daemon.post(f"/api/v1/approvals/{approval_id}/answer", {"envelope": envelope})
            assert refused.value.code == code
        daemon.post(f"/api/v1/approvals/{approval_id}/answer", {"envelope": good})
    assert outcome(client.call("box__drop", {"text": "forged"})) == {"outcome": "completed"}
