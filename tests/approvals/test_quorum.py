"""Policy wants several approvers: the call runs after as many different yeses, and after the first no it never does."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.approvals.people import Person, ask
from tests.approvals.policies import write_policy
from tests.approvals.test_answers import about
from tests.core.ssh import KeyFile
from tests.edge.box import Box, boxed
from tests.running import ModernClient, outcome


@pytest.fixture(scope="module")
def second_key_of_bob(folder: Path, ssh_keygen: str) -> KeyFile:
    return KeyFile.make(folder, "bob-ssh")


@pytest.fixture(scope="module")
def box(alice: Person, bob: Person, second_key_of_bob: KeyFile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("quorum")
    ssh = f'  - {{principal: "user:bob", ssh_key: "{second_key_of_bob.public}"}}\n'
    more = f"policy: {{path: {write_policy(folder)}}}\napprovers:\n{alice.listed()}{bob.listed()}{ssh}"
    with boxed(folder, more) as running:
        yield running
        running.assert_sound()


def wanting(name: str, **obligations: Any) -> str:
    """A text under which policy wants this of approvers."""
    return f"{name} || {json.dumps(obligations)}"


def test_it_takes_as_many_different_approvers_as_policy_wants(
    box: Box, client: ModernClient, alice: Person, bob: Person, second_key_of_bob: KeyFile
) -> None:
    text = wanting("two", quorum={"count": 2})
    approval_id = ask(client, text)
    said = bob.answers(box, "approve", approval_id)
    assert (said.code, "It takes 1 more" in said.stderr) == (0, True)
    shown = box.run("approvals", "show", approval_id).stdout
    assert "2 different approvers; 1 still missing" in shown
    assert "approved   by user:bob" in shown
    assert ask(client, text) == approval_id
    again = bob.answers(box, "approve", approval_id)
    assert "error[approval.already_answered]" in again.stderr
    other_key = box.run("approvals", "approve", approval_id, "--ssh-key", str(second_key_of_bob.path), "--yes")
    assert "error[approval.already_answered]" in other_key.stderr
    assert ask(client, text) == approval_id
    assert f"drop {text}" not in box.lines("rows")
    said = alice.answers(box, "approve", approval_id)
    assert (said.code, "makes the same call again" in said.stderr) == (0, True)
    done = client.call("box__drop", {"text": text})
    assert outcome(done) == {"outcome": "completed"}
    assert outcome(client.call("box__drop", {"text": text})) == {"outcome": "replayed"}
    assert box.lines("rows").count(f"drop {text}") == 1
    told = box.entry(done["result"]["_meta"]["dev.sealgate/receipt"]).predicate["approval"]
    assert [one["approver"] for one in told["answers"]] == ["user:bob", "user:alice"]
    events = about(box, approval_id)
    assert [entry.predicate["event"] for entry in events] == ["requested", "answered", "approved"]
    assert [entry.predicate.get("missing") for entry in events] == [None, 1, None]
    assert events[0].predicate["approval"]["quorum"] == {"count": 2, "of": []}


def test_the_first_no_ends_it(box: Box, client: ModernClient, alice: Person, bob: Person) -> None:
    text = wanting("no", quorum={"count": 2})
    approval_id = ask(client, text)
    assert bob.answers(box, "approve", approval_id).code == 0
    assert alice.answers(box, "reject", approval_id).code == 0
    assert outcome(client.call("box__drop", {"text": text})) == {"outcome": "denied", "reasons": ["approval.rejected"]}
    assert f"drop {text}" not in box.lines("rows")


def test_only_those_whom_policy_names_count(box: Box, client: ModernClient, alice: Person, bob: Person) -> None:
    text = wanting("circle", quorum={"count": 1, "of": ["user:bob"]})
    approval_id = ask(client, text)
    assert "error[approval.wrong_approver]" in alice.answers(box, "approve", approval_id).stderr
    assert bob.answers(box, "approve", approval_id).code == 0
    assert outcome(client.call("box__drop", {"text": text})) == {"outcome": "completed"}


def test_a_route_that_policy_does_not_name_is_refused(box: Box, client: ModernClient, alice: Person) -> None:
    text = wanting("route", routes=["webhook"])
    approval_id = ask(client, text)
    assert "error[approval.route]" in alice.answers(box, "approve", approval_id).stderr
    assert ask(client, text) == approval_id


def test_what_nobody_could_approve_is_denied_at_once(box: Box, client: ModernClient) -> None:
    for obligations, why in (
        ({"routes": ["elicitation"]}, "approval.no_route"),
        ({"quorum": {"count": 2}, "approver": "user:bob"}, "approval.no_approver"),
    ):
        refused = client.call("box__drop", {"text": wanting("nobody", **obligations)})
        assert outcome(refused) == {"outcome": "denied", "reasons": [why]}


def test_the_answers_survive_a_restart(alice: Person, bob: Person, tmp_path: Path) -> None:
    more = f"policy: {{path: {write_policy(tmp_path)}}}\napprovers:\n{alice.listed()}{bob.listed()}"
    text = wanting("restart", quorum={"count": 2})
    with boxed(tmp_path, more) as box:
        with ModernClient(box.gateway) as client:
            approval_id = ask(client, text)
            assert bob.answers(box, "approve", approval_id).code == 0
        box.gateway.stop()
        box.gateway.start()
        with ModernClient(box.gateway) as client:
            assert alice.answers(box, "approve", approval_id).code == 0
            assert outcome(client.call("box__drop", {"text": text})) == {"outcome": "completed"}
        assert box.verified().problems == []


def test_an_approver_who_was_taken_from_the_configuration_counts_no_more(alice: Person, bob: Person, tmp_path: Path) -> None:
    more = f"policy: {{path: {write_policy(tmp_path)}}}\napprovers:\n"
    text = wanting("dismissed", quorum={"count": 2})
    with boxed(tmp_path, more + alice.listed() + bob.listed()) as box:
        with ModernClient(box.gateway) as client:
            approval_id = ask(client, text)
            for person in (alice, bob):
                assert person.answers(box, "approve", approval_id).code == 0
        box.gateway.stop()
        config = box.gateway.folder / "gateway.yaml"
        config.write_text(config.read_text().replace(bob.listed(), ""))
        box.gateway.start()
        with ModernClient(box.gateway) as client:
            assert ask(client, text) != approval_id
        assert box.lines("rows") == []


def test_a_hundred_parallel_retries_after_the_last_yes_have_one_effect(
    box: Box, client: ModernClient, alice: Person, bob: Person
) -> None:
    text = wanting("crowd", quorum={"count": 2})
    approval_id = ask(client, text)
    for person in (alice, bob):
        assert person.answers(box, "approve", approval_id).code == 0

    def one(_: int) -> str:
        with ModernClient(box.gateway) as another:
            return str(outcome(another.call("box__drop", {"text": text}))["outcome"])

    with ThreadPoolExecutor(100) as crowd:
        ended = Counter(crowd.map(one, range(100)))
    assert ended == {"completed": 1, "replayed": 99}
    assert box.lines("rows").count(f"drop {text}") == 1
