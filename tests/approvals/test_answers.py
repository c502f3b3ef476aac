"""A call that waits for a person: it runs once after a yes, and never otherwise."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import approver_public_key, load_approver_key
from gateway.core.answer import PAYLOAD_TYPE, Answer, answer_payload
from gateway.core.dsse import envelop, key_id, open_envelope
from gateway.core.entry import Entry, Kind
from gateway.core.errors import GatewayError
from tests.approvals.people import Person, ask
from tests.edge.box import Box
from tests.edge.clients import HandshakeClient
from tests.running import ModernClient, outcome, text


def test_an_approved_call_runs_once_for_its_retry_and_after_that_is_replayed(box: Box, client: ModernClient) -> None:
    approval_id = ask(client, "once")
    waiting = client.call("box__drop", {"text": "once"})
    assert outcome(waiting)["approval_id"] == approval_id
    assert f"sealgate approvals approve {approval_id}" in text(waiting)
    done = box.gateway.cli("approvals", "approve", approval_id, "--yes", "--comment", "seen")  # a process of its own
    assert "approve: recorded for user:dev-approver" in done.stderr
    assert "drop once" not in box.lines("rows")
    with ModernClient(box.gateway) as another:  # its request ids begin anew
        first, second = (another.call("box__drop", {"text": "once"}) for _ in range(2))
    assert (outcome(first), outcome(second)) == ({"outcome": "completed"}, {"outcome": "replayed"})
    assert box.lines("rows").count("drop once") == 1


def test_the_retry_may_come_over_the_other_era(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = ask(client, "other era")
    assert alice.answers(box, "approve", approval_id).code == 0
    with HandshakeClient(box.gateway) as handshake:
        assert outcome(handshake.call("box__drop", {"text": "other era"})) == {"outcome": "completed"}
    assert box.lines("rows").count("drop other era") == 1


def test_one_changed_argument_is_another_call(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = ask(client, "this one", key="changed")
    assert alice.answers(box, "approve", approval_id).code == 0
    other = client.call("box__drop", {"text": "that one"}, key="changed")
    assert outcome(other) == {"outcome": "conflict", "reasons": ["idempotency.mismatch"]}
    assert ask(client, "that one") != approval_id
    assert ask(client, "this one", tool="box__drop_all", key="changed") != approval_id
    assert not [row for row in box.lines("rows") if row.endswith(("this one", "that one"))]
    assert outcome(client.call("box__drop", {"text": "this one"}, key="changed")) == {"outcome": "completed"}


def test_a_request_is_one_callers_and_one_keys(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = ask(client, "keyed", key="k-1")
    assert alice.answers(box, "approve", approval_id).code == 0
    assert ask(client, "keyed", key="k-2") != approval_id
    assert ask(client, "keyed") != approval_id
    assert ask(client, "keyed", run={"run_id": "r"}) != approval_id


def test_the_actor_cannot_approve_its_own_call(box: Box, client: ModernClient, actor: Person) -> None:
    said = actor.answers(box, "approve", ask(client, "self"))
    assert (said.code, "error[approval.self]" in said.stderr) == (1, True)
    ask(client, "self")
    assert "drop self" not in box.lines("rows")


def test_a_key_nobody_registered_approves_nothing(box: Box, client: ModernClient, stranger: Person) -> None:
    said = stranger.answers(box, "approve", ask(client, "unknown key"))
    assert (said.code, "error[approval.signature]" in said.stderr) == (1, True)
    ask(client, "unknown key")


def test_a_name_beside_the_key_file_makes_nobody_an_approver(
    box: Box, client: ModernClient, stranger: Person, alice: Person, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(stranger.key.read_bytes())
    key.chmod(0o600)
    key.with_name("key.pem.json").write_bytes(alice.key.with_name(alice.key.name + ".json").read_bytes())
    impostor = Person(alice.principal, key, stranger.passphrase, alice.public_key)
    assert "error[approval.signature]" in impostor.answers(box, "approve", ask(client, "impostor")).stderr


@pytest.mark.parametrize("second", ["approve", "reject"])
def test_an_answer_counts_once(box: Box, client: ModernClient, alice: Person, second: str) -> None:
    approval_id = ask(client, f"twice {second}")
    assert alice.answers(box, "approve", approval_id).code == 0
    said = alice.answers(box, second, approval_id)
    assert (said.code, "error[approval.already_answered]" in said.stderr) == (1, True)


def test_an_answer_for_one_request_is_none_for_another(box: Box, client: ModernClient, alice: Person) -> None:
    given, wanted = ask(client, "given"), ask(client, "wanted")
    assert alice.answers(box, "approve", given).code == 0
    shown = box.json("approvals", "show", given)["answers"][0]
    kept = about(box, given)[-1]
    with DaemonClient(box.gateway.state / "control.sock") as daemon, pytest.raises(GatewayError) as refused:
        daemon.post(f"/api/v1/approvals/{wanted}/answer", {"envelope": kept.predicate["signed_answer"]})
    assert refused.value.code == "approval.other_request"
    assert shown["approver"] == "user:alice"


def about(box: Box, approval_id: str) -> list[Entry]:
    """The entries of one request, in order."""
    found = [entry for entry in box.entries() if entry.kind is Kind.APPROVAL]
    return [entry for entry in found if entry.predicate["approval"]["approval_id"] == approval_id]


def test_a_rejected_call_says_so_and_the_next_one_asks_anew(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = ask(client, "no")
    assert alice.answers(box, "reject", approval_id, "--comment", "not today").code == 0
    refused = client.call("box__drop", {"text": "no"})
    assert outcome(refused) == {"outcome": "denied", "reasons": ["approval.rejected"]}
    assert ask(client, "no") != approval_id
    assert "drop no" not in box.lines("rows")


def test_a_wrong_passphrase_is_told_and_answers_nothing(
    box: Box, client: ModernClient, alice: Person, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.pass"
    wrong.write_text("wrong")
    wrong.chmod(0o600)
    approval_id = ask(client, "passphrase")
    said = Person(alice.principal, alice.key, wrong, "").answers(box, "approve", approval_id)
    assert (said.code, "wrong passphrase" in said.stderr) == (1, True)
    assert ask(client, "passphrase") == approval_id


@pytest.mark.parametrize("which", ["key", "passphrase"])
def test_a_key_others_can_read_is_refused(box: Box, client: ModernClient, folder: Path, which: str) -> None:
    careless = Person.make(folder, f"user:careless-{which}")
    (careless.key if which == "key" else careless.passphrase).chmod(0o644)
    said = careless.answers(box, "approve", ask(client, f"readable {which}"))
    assert (said.code, "can be read by others" in said.stderr, "chmod 600" in said.stderr) == (1, True, True)


def test_without_a_yes_to_the_question_nothing_is_signed(box: Box, client: ModernClient) -> None:
    approval_id = ask(client, "question")
    said = box.run("approvals", "approve", approval_id, stdin="n\n")
    assert said.code == 1
    assert ask(client, "question") == approval_id
    assert box.run("approvals", "approve", approval_id, stdin="y\n").code == 0


def test_an_unknown_request_is_named(box: Box) -> None:
    for verb in ("show", "approve", "reject"):
        said = box.run("approvals", verb, "01a201b3-0000-7000-8000-000000000000")
        assert (said.code, "error[approval.unknown]" in said.stderr, "next:" in said.stderr) == (1, True, True)


def test_twenty_parallel_retries_after_the_yes_have_one_effect(box: Box, client: ModernClient, alice: Person) -> None:
    assert alice.answers(box, "approve", ask(client, "crowd")).code == 0

    def one(_: int) -> str:
        with ModernClient(box.gateway) as another:
            return str(outcome(another.call("box__drop", {"text": "crowd"}))["outcome"])

    with ThreadPoolExecutor(20) as crowd:
        ended = Counter(crowd.map(one, range(20)))
    assert ended == {"completed": 1, "replayed": 19}
    assert box.lines("rows").count("drop crowd") == 1


def test_the_answers_entry_carries_the_approvers_own_signature(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = ask(client, "evidence")
    asked = box.json("approvals", "show", approval_id)
    assert alice.answers(box, "approve", approval_id, "--comment", "I saw it").code == 0
    receipt = client.call("box__drop", {"text": "evidence"})["result"]["_meta"]["dev.sealgate/receipt"]
    entry = about(box, approval_id)[-1]
    key = approver_public_key(alice.public_key)
    keyid = key_id(key.public_bytes_raw())
    signed = open_envelope(dict(entry.predicate["signed_answer"]), PAYLOAD_TYPE, {keyid: key})
    assert signed.payload == answer_payload(asked["request"], Answer.APPROVE, "user:alice", "I saw it")
    assert json.loads(signed.payload)["call_digest"] == box.entry(receipt).predicate["call"]["call_digest"]
    said = box.entry(receipt).predicate["approval"]
    assert (said["approval_id"], said["approver"], said["keyid"]) == (approval_id, "user:alice", keyid)
    assert (said["advisory"], said["answer"]) == (True, "approve")
    assert [entry.predicate["event"] for entry in about(box, approval_id)] == ["requested", "approved"]


def test_an_answer_signed_for_other_arguments_than_shown_is_refused(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = ask(client, "tampered")
    request = box.json("approvals", "show", approval_id)["request"]
    signer = load_approver_key(alice.key, alice.passphrase.read_bytes())
    for name, value in (("call_digest", "sha256:00"), ("capability_id", "box__echo"), ("expires_at", "2999-01-01")):
        payload = answer_payload({**request, name: value}, Answer.APPROVE, alice.principal, "")
        envelope, _ = envelop(PAYLOAD_TYPE, payload, signer)
        with DaemonClient(box.gateway.state / "control.sock") as daemon, pytest.raises(GatewayError) as refused:
            daemon.post(f"/api/v1/approvals/{approval_id}/answer", {"envelope": json.loads(envelope)})
        assert refused.value.code == "approval.other_request"
    ask(client, "tampered")


def test_programs_can_read_what_waits(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = ask(client, "as json")
    listed = json.loads(box.run("approvals", "list", "--json").stdout)["approvals"]
    mine = next(item for item in listed if item["request"]["approval_id"] == approval_id)
    assert (mine["state"], mine["answers"], mine["missing"]) == ("pending", [], 1)
    assert {"call_digest", "capability_id", "mode", "principal_chain", "reasons", "expires_at"} <= mine["request"].keys()
    shown = json.loads(box.run("approvals", "show", approval_id, "--json").stdout)
    assert shown == {**mine, "arguments": {"text": "as json"}}
    watched = json.loads(box.run("approvals", "watch", "--once", "--json").stdout)
    assert watched["state"] == "pending"
    alice.answers(box, "reject", approval_id)
    listed = json.loads(box.run("approvals", "list", "--all", "--json").stdout)["approvals"]
    mine = next(item for item in listed if item["request"]["approval_id"] == approval_id)
    (answer,) = mine["answers"]
    assert (mine["state"], mine["missing"], answer["approver"], answer["answer"], answer["route"]) == (
        "rejected",
        0,
        "user:alice",
        "reject",
        "cli",
    )
