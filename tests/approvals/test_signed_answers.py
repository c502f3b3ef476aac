"""An auditor checks by approvers' own keys that the answers in a log are theirs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.core.signed_answers import SignedAnswers
from gateway.settings.approvers import load_approvers
from tests.approvals.people import Person, ask
from tests.approvals.policies import write_policy
from tests.edge.box import Box, boxed
from tests.running import ModernClient, outcome


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Its log has a yes that was used, a no, and a change with a yes to the changed call."""
    folder = tmp_path_factory.mktemp("answers")
    alice = Person.make(folder, "user:alice")
    with boxed(folder, f"policy: {{path: {write_policy(folder)}}}\napprovers:\n{alice.listed()}") as box:
        with ModernClient(box.gateway) as client:
            approval_id = ask(client, "yes || {}", key="k-1")
            assert alice.answers(box, "approve", approval_id, "--comment", "fine").code == 0
            assert outcome(client.call("box__drop", {"text": "yes || {}"}, key="k-1")) == {"outcome": "completed"}
            assert alice.answers(box, "reject", ask(client, "no || {}", key="k-2")).code == 0
            change = ("--set", '/text="changed || {}"')
            assert alice.answers(box, "modify", ask(client, "change || {}", key="k-3"), *change).code == 0
        yield box


def config(box: Box) -> Path:
    return box.gateway.folder / "gateway.yaml"


def changed(predicate: Mapping[str, Any], pointer: str, value: Any) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(predicate))
    *above, last = pointer.split("/")
    place = copy
    for name in above:
        place = place[name]
    place[last] = value
    return copy


def test_every_answer_is_checked_by_the_configured_keys_or_the_approvers_own_file(box: Box) -> None:
    for source in (config(box), box.gateway.folder / "user-alice.pem.json"):
        done = box.run("log", "verify", "--approvers", str(source))
        assert done.code == 0, done
        assert "answers: 4 signed by these approvers, 0 told by clients" in done.stdout
    told = json.loads(box.run("log", "verify", "--approvers", str(config(box)), "--json").stdout)
    assert told["answers"] == {"signed": 4, "elicited": 0}
    assert json.loads(box.run("log", "verify", "--json").stdout)["answers"] is None


def test_an_answer_of_somebody_else_is_named(box: Box, tmp_path: Path) -> None:
    Person.make(tmp_path, "user:alice")  # of that name, with another key
    done = box.run("log", "verify", "--approvers", str(tmp_path / "user-alice.pem.json"))
    assert done.code == 6
    assert done.stdout.count("an answer that none of the given approvers signed") == 4


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("event", "rejected"),
        ("approver", "user:mallory"),
        ("keyid", "00"),
        ("route", "webhook"),
        ("approve_for", "run"),
        ("approval/call_digest", "hmac-sha256:00"),
        ("approval/expires_at", "2099-01-01T00:00:00.000Z"),
        ("approval/approval_id", "01a201b8-79b3-727b-b6be-4e378d217126"),
        ("approval/policy_revision", "sha256:00"),
        ("signed_answer", {}),
        ("signed_answer/payload", "e30="),
    ],
)
def test_an_entry_that_says_something_else_than_was_signed_is_named(box: Box, pointer: str, value: Any) -> None:
    approved = next(entry for entry in box.entries() if entry.predicate.get("event") == "approved")
    answers = SignedAnswers(load_approvers(config(box)))
    assert list(answers.problems(approved)) == []
    assert answers.signed == 1
    (problem,) = answers.problems(replace(approved, predicate=changed(approved.predicate, pointer, value)))
    assert problem.startswith("an answer that ")
    assert answers.signed == 1


def test_what_a_client_answered_is_counted_and_not_taken_for_a_signature(box: Box) -> None:
    approved = next(entry for entry in box.entries() if entry.predicate.get("event") == "approved")
    answers = SignedAnswers(load_approvers(config(box)))
    elicited = replace(approved, predicate=changed(approved.predicate, "route", "elicitation"))
    assert list(answers.problems(elicited)) == []
    assert (answers.signed, answers.elicited) == (0, 1)


def test_a_yes_that_was_signed_for_more_than_it_is_told_of_is_in_order(tmp_path: Path) -> None:
    """Of two approvers the first is told of before anybody knows how far both go; and a call alone is within its run."""
    alice, bob = Person.make(tmp_path, "user:alice"), Person.make(tmp_path, "user:bob")
    policy = f"policy: {{path: {write_policy(tmp_path)}}}\napprovers:\n{alice.listed()}{bob.listed()}"
    text = 'both || {"quorum": {"count": 2}, "approve_for": "run"}'
    with boxed(tmp_path, policy) as box, ModernClient(box.gateway) as client:
        for first, second in (("run", "run"), ("once", "run"), ("run", "once")):
            run = {"run_id": f"{first}-{second}"}
            approval_id = ask(client, text, tool="box__post", run=run)
            assert alice.answers(box, "approve", approval_id, "--for", first).code == 0
            assert bob.answers(box, "approve", approval_id, "--for", second).code == 0
            assert outcome(client.call("box__post", {"text": text}, run=run)) == {"outcome": "completed"}
        done = box.run("log", "verify", "--approvers", str(config(box)))
        assert (done.code, "answers: 6 signed by these approvers, 0 told by clients" in done.stdout) == (0, True), done
        entries = [entry for entry in box.entries() if entry.predicate.get("event") in ("answered", "approved")]
        reaches = [entry.predicate.get("approve_for") for entry in entries]
        assert reaches == [None, "run", None, None, None, None]
        for place, problem in ((3, "not all of its approvers signed"), (5, "not the one that its approver signed")):
            answers = SignedAnswers(load_approvers(config(box)))
            said = replace(entries[place], predicate={**entries[place].predicate, "approve_for": "run"})
            assert list(answers.problems(entries[place - 1])) == []
            (found,) = answers.problems(said)
            assert problem in found


@pytest.mark.parametrize(
    "text", ["", "approvers: []", "[]", "approvers: [{principal: x}]", "approvers: 5", "{", "tenant: a"]
)
def test_a_file_without_approvers_is_a_clear_mistake(box: Box, tmp_path: Path, text: str) -> None:
    (tmp_path / "some.yaml").write_text(text)
    done = box.run("log", "verify", "--approvers", str(tmp_path / "some.yaml"))
    assert done.code == 2
    assert "some.yaml" in done.stderr
