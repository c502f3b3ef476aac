"""An approver changes the arguments of a call that waits: the changed call may run, once, and the other never does."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.core.entry import Kind
from tests.approvals.people import Person
from tests.approvals.till import about, asks, instead_of, meta, modify, paid, pay, till
from tests.edge.box import Box
from tests.running import ModernClient, outcome, text


@pytest.fixture(scope="module")
def box(alice: Person, bob: Person, actor: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with till(tmp_path_factory.mktemp("modify"), [alice, bob, actor]) as running:
        yield running
        assert running.faults() == []
        assert running.verified().problems == []
        checked = running.run("state", "check")
        assert checked.code == 0, checked


def of(name: str, **more: Any) -> dict[str, Any]:
    return {"to": [name], "amount": 5000, **more}


def paid_to(box: Box, name: str) -> list[dict[str, Any]]:
    return [one for one in paid(box) if name in one["to"]]


def test_the_changed_call_runs_once_and_the_one_that_was_made_never(box: Box, client: ModernClient, alice: Person) -> None:
    made = of("ann", note="rent", how={"fast": True, "by": ["wire", "cash"]})
    approval_id = asks(client, made)
    said = alice.answers(
        box, "modify", approval_id, "--set", "/amount=150.5", "--set", '/how/by/1="card"', "--comment", "less"
    )
    assert said.code == 0, said
    assert "change     /amount: 5000 -> 150.5" in said.stdout
    assert 'change     /how/by/1: "cash" -> "card"' in said.stdout
    assert paid_to(box, "ann") == []
    done = pay(client, made)
    wanted = {**made, "amount": 150.5, "how": {"fast": True, "by": ["wire", "card"]}}
    assert (outcome(done)["outcome"], paid_to(box, "ann")) == ("completed", [wanted])
    again = pay(client, made)
    assert outcome(again)["outcome"] == "replayed"
    for response in (done, again):
        assert "changed arguments of this call first: /amount, /how/by/1" in text(response)
        assert meta(response, "modified")["pointers"] == ["/amount", "/how/by/1"]
    assert paid_to(box, "ann") == [wanted]


def test_the_log_tells_who_changed_what_into_what_and_no_value(box: Box, client: ModernClient, alice: Person) -> None:
    made = of("log", note="in clear nowhere 4711")
    approval_id = asks(client, made)
    assert modify(box, alice, approval_id, amount=333, note="in clear nowhere 4712").code == 0
    changed_id = instead_of(box, approval_id)
    done = pay(client, made)
    assert outcome(done)["outcome"] == "completed"
    ran = box.entry(meta(done, "receipt")).predicate
    requested, modified = about(box, approval_id)
    assert [entry.predicate["event"] for entry in about(box, changed_id)] == ["requested", "approved"]
    asked = about(box, changed_id)[0].predicate["approval"]
    assert (modified.predicate["event"], modified.predicate["approver"]) == ("modified", "user:alice")
    assert modified.predicate["modified_into"] == {"approval_id": changed_id, "call_digest": asked["call_digest"]}
    assert (asked["modified_from"], asked["expires_at"]) == (approval_id, requested.predicate["approval"]["expires_at"])
    assert ran["call"]["call_digest"] == asked["call_digest"] != requested.predicate["approval"]["call_digest"]
    assert ran["approval"]["approval_id"] == changed_id
    assert ran["modified_from"] == meta(done, "modified")["envelope_id"]
    (original,) = [entry for entry in box.entries() if entry.kind is Kind.DENIED and entry.id == ran["modified_from"]]
    assert (original.predicate["reasons"], original.predicate["modified_into"]) == (
        ["approval.modified"],
        ran["envelope_id"],
    )
    logged = json.dumps([entry.predicate for entry in box.entries()])
    assert "nowhere" not in logged
    assert "333" not in [text.strip(' "') for text in logged.replace(":", ",").split(",")]


def test_the_one_who_changes_need_not_approve(box: Box, client: ModernClient, alice: Person, bob: Person) -> None:
    made = of("only")
    approval_id = asks(client, made)
    assert modify(box, alice, approval_id, "--only-change", amount=200).code == 0
    changed_id = instead_of(box, approval_id)
    waiting = pay(client, made)
    assert (outcome(waiting)["outcome"], outcome(waiting)["approval_id"]) == ("awaiting_approval", changed_id)
    assert meta(waiting, "modified")["pointers"] == ["/amount"]
    shown = box.run("approvals", "show", changed_id).stdout
    assert f"changed    by a person, in answer to {approval_id}" in shown
    assert '"amount": 200' in shown
    listed = box.run("approvals", "list", "--all").stdout
    assert "modified" in listed
    assert "pending, changed" in listed
    assert f"modified   by user:alice, into {changed_id}" in box.run("approvals", "show", approval_id).stdout
    assert bob.answers(box, "approve", changed_id).code == 0
    assert outcome(pay(client, made))["outcome"] == "completed"
    assert paid_to(box, "only") == [{**made, "amount": 200}]


def test_a_quorum_decides_about_the_changed_call(box: Box, client: ModernClient, alice: Person, bob: Person) -> None:
    made = of("quorum", note="four eyes")
    approval_id = asks(client, made)
    assert bob.answers(box, "approve", approval_id).code == 0
    said = modify(box, alice, approval_id, amount=400)
    assert (said.code, "It takes 1 more" in said.stderr) == (0, True)
    changed_id = instead_of(box, approval_id)
    assert asks(client, made) == changed_id  # Bob's yes was to another call
    assert "error[approval.already_answered]" in alice.answers(box, "approve", changed_id).stderr
    assert bob.answers(box, "approve", changed_id).code == 0
    assert outcome(pay(client, made))["outcome"] == "completed"
    assert paid_to(box, "quorum") == [{**made, "amount": 400}]


def test_who_said_yes_does_not_change_it(box: Box, client: ModernClient, bob: Person) -> None:
    approval_id = asks(client, of("yes", note="four eyes"))
    assert bob.answers(box, "approve", approval_id).code == 0
    assert "error[approval.already_answered]" in modify(box, bob, approval_id, amount=200).stderr


def test_a_changed_call_can_be_changed_again_and_back(box: Box, client: ModernClient, alice: Person, bob: Person) -> None:
    made = of("chain")
    first = asks(client, made)
    assert modify(box, alice, first, "--only-change", amount=900, note="why").code == 0
    second = instead_of(box, first)
    assert asks(client, made) == second
    assert modify(box, bob, second, "--only-change", amount=800).code == 0
    third = instead_of(box, second)
    waiting = pay(client, made)
    assert outcome(waiting)["approval_id"] == third
    assert meta(waiting, "modified")["pointers"] == ["/amount", "/note"]
    assert alice.answers(box, "approve", third).code == 0
    assert outcome(pay(client, made))["outcome"] == "completed"
    assert paid_to(box, "chain") == [{**made, "amount": 800, "note": "why"}]
    made = of("back")
    first = asks(client, made)
    assert modify(box, alice, first, "--only-change", amount=900).code == 0
    assert modify(box, bob, instead_of(box, first), amount=made["amount"]).code == 0
    done = pay(client, made)
    assert (outcome(done), meta(done, "modified")) == ({"outcome": "completed"}, None)
    assert paid_to(box, "back") == [made]


def test_a_call_is_not_changed_for_ever(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = asks(client, of("ever"))
    for amount in range(200, 216):
        assert modify(box, alice, approval_id, "--only-change", amount=amount).code == 0
        approval_id = instead_of(box, approval_id)
    assert "error[approval.modified_often]" in modify(box, alice, approval_id, amount=300).stderr


def test_a_no_to_the_changed_call_ends_both(box: Box, client: ModernClient, alice: Person, bob: Person) -> None:
    made = of("rejected")
    approval_id = asks(client, made)
    assert modify(box, alice, approval_id, "--only-change", amount=200).code == 0
    assert bob.answers(box, "reject", instead_of(box, approval_id)).code == 0
    refused = pay(client, made)
    assert outcome(refused) == {"outcome": "denied", "reasons": ["approval.rejected"]}
    assert asks(client, made) not in (approval_id, instead_of(box, approval_id))
    assert paid_to(box, "rejected") == []


def test_taken_back_it_is_asked_anew_as_it_was_made(box: Box, client: ModernClient, alice: Person) -> None:
    made = of("revoked")
    approval_id = asks(client, made)
    assert modify(box, alice, approval_id, amount=200).code == 0
    assert box.run("approvals", "revoke", instead_of(box, approval_id)).code == 0
    anew = asks(client, made)
    assert box.json("approvals", "show", anew)["arguments"] == made
    assert "modified_from" not in box.json("approvals", "show", anew)["request"]


def test_policy_decides_about_the_changed_call(box: Box, client: ModernClient, alice: Person) -> None:
    made = of("bea")
    approval_id = asks(client, made)
    assert alice.answers(box, "modify", approval_id, "--set", '/to/0="mallory"').code == 0
    refused = pay(client, made)
    assert outcome(refused) == {"outcome": "denied", "reasons": ["till.barred"]}
    assert meta(refused, "modified")["pointers"] == ["/to/0"]
    small = of("cal")
    assert modify(box, alice, asks(client, small), "--only-change", amount=5).code == 0
    assert outcome(pay(client, small))["outcome"] == "completed"  # of which policy asks nobody
    assert (paid_to(box, "bea"), paid_to(box, "mallory"), paid_to(box, "cal")) == ([], [], [{**small, "amount": 5}])


def test_what_policy_changed_first_a_person_may_change_but_policy_not_again(
    box: Box, client: ModernClient, alice: Person
) -> None:
    made = of("both", note="to be changed")
    approval_id = asks(client, made)
    assert box.json("approvals", "show", approval_id)["arguments"]["note"] == "policy says so"
    assert modify(box, alice, approval_id, amount=300).code == 0
    done = pay(client, made)
    assert outcome(done)["outcome"] == "completed"
    assert meta(done, "modified")["pointers"] == ["/note", "/amount"]
    assert paid_to(box, "both") == [{**made, "note": "policy says so", "amount": 300}]
    again = of("both again")
    assert modify(box, alice, asks(client, again), note="to be changed").code == 0
    assert outcome(pay(client, again)) == {"outcome": "denied", "reasons": ["policy.modify_again"]}
    assert paid_to(box, "both again") == []


def test_the_key_stands_for_what_was_made(box: Box, client: ModernClient, alice: Person) -> None:
    made = of("key")
    approval_id = asks(client, made, key="modified-key")
    assert modify(box, alice, approval_id, amount=250).code == 0
    changed = pay(client, {**made, "amount": 250}, key="modified-key")
    assert outcome(changed) == {"outcome": "conflict", "reasons": ["idempotency.mismatch"]}
    assert outcome(pay(client, made, key="modified-key"))["outcome"] == "completed"
    assert outcome(pay(client, made, key="modified-key"))["outcome"] == "replayed"
    assert asks(client, {**made, "amount": 250}) != instead_of(box, approval_id)
    assert paid_to(box, "key") == [{**made, "amount": 250}]


def test_the_stored_result_of_a_changed_call_is_told_only_where_policy_allows_that_call(
    box: Box, client: ModernClient, alice: Person
) -> None:
    made = of("told", note="no more")
    assert modify(box, alice, asks(client, made), amount=207).code == 0
    assert outcome(pay(client, made))["outcome"] == "completed"
    policy = box.gateway.folder / "policies" / "authz.rego"
    good = policy.read_text()
    policy.write_text(good.replace('"mallory" in object.get(arguments, "to", [])', "arguments.amount == 207"))
    try:
        box.run("policy", "reload")
        refused = pay(client, made)
        assert outcome(refused) == {"outcome": "denied", "reasons": ["till.barred"]}
        assert meta(refused, "modified")["pointers"] == ["/amount"]
    finally:
        policy.write_text(good)
        box.run("policy", "reload")
    assert outcome(pay(client, made))["outcome"] == "replayed"
    assert paid_to(box, "told") == [{**made, "amount": 207}]


def test_a_yes_to_a_changed_call_is_for_no_run(box: Box, client: ModernClient, alice: Person) -> None:
    made, run = of("run", note="same run"), {"run_id": "modified-run"}
    with ModernClient(box.gateway) as another:
        approval_id = asks(another, made, run=run)
        assert modify(box, alice, approval_id, "--only-change", amount=300).code == 0
        said = alice.answers(box, "approve", instead_of(box, approval_id), "--for", "run")
        assert "error[approval.reach]" in said.stderr
        assert alice.answers(box, "approve", instead_of(box, approval_id)).code == 0
        assert outcome(pay(another, made, run=run))["outcome"] == "completed"
        asks(another, of("run", amount=777, note="same run"), run=run)
    assert paid_to(box, "run") == [{**made, "amount": 300}]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("/amount=-1", "approval.change"),
        ('/amount="much"', "approval.change"),
        ("/unheard_of=1", "approval.change"),
        ("/to/1=1", "approval.change"),
        ('/to/*="all"', "approval.change"),
        ("/note/deeper=1", "approval.change"),
        ("/amount=5000", "approval.nothing_changed"),
        ('/pin="123456"', "approval.secret"),
        ('/note="AKIAIOSFODNN7EXAMPLE"', "approval.secret"),
    ],
)
def test_a_change_that_cannot_be_is_refused_at_once(
    box: Box, client: ModernClient, alice: Person, change: str, why: str
) -> None:
    approval_id = asks(client, of("wrong"))
    said = alice.answers(box, "modify", approval_id, "--set", change)
    assert (said.code, f"error[{why}]" in said.stderr) == (1, True), said
    assert asks(client, of("wrong")) == approval_id
    assert box.json("approvals", "show", approval_id)["state"] == "pending"


@pytest.mark.parametrize(
    "change", ["/amount", "amount=5", "/amount=", "/amount=five", '/note="a"b"', '/how={"a":1,"a":2}', "=1"]
)
def test_what_is_no_pointer_with_a_value_is_a_mistake_in_the_command(
    box: Box, client: ModernClient, alice: Person, change: str
) -> None:
    said = alice.answers(box, "modify", asks(client, of("wrong")), "--set", change)
    assert (said.code, "--set" in said.stderr) == (2, True), said
    twice = alice.answers(box, "modify", asks(client, of("wrong")), "--set", "/amount=5", "--set", "/amount=6")
    assert (twice.code, "set twice" in twice.stderr) == (2, True)


def test_a_value_may_hold_the_sign_between(box: Box, client: ModernClient, alice: Person) -> None:
    made = of("sign", how={"a=b": 1})
    said = alice.answers(box, "modify", asks(client, made), "--set", '/note="x=1"', "--set", '/how/a=b={"c":"=2"}')
    assert said.code == 0, said
    assert outcome(pay(client, made))["outcome"] == "completed"
    assert paid_to(box, "sign") == [{**made, "note": "x=1", "how": {"a=b": {"c": "=2"}}}]


@pytest.mark.parametrize("secret", [{"pin": "123456"}, {"pin": "1"}])
def test_a_call_whose_arguments_are_stored_redacted_is_not_changed(
    box: Box, client: ModernClient, alice: Person, secret: dict[str, str]
) -> None:
    made = of("secret", **secret)
    said = modify(box, alice, asks(client, made), amount=200)
    assert (said.code, "error[approval.arguments_redacted]" in said.stderr) == (1, True)
    asks(client, made)
    assert paid_to(box, "secret") == []


def test_without_a_yes_to_the_question_nothing_is_changed(box: Box, client: ModernClient) -> None:
    approval_id = asks(client, of("question"))
    said = box.run("approvals", "modify", approval_id, "--set", "/amount=200", stdin="n\n")
    assert said.code == 1
    assert asks(client, of("question")) == approval_id


def test_a_look_alike_cannot_deceive_who_changes(box: Box, client: ModernClient, alice: Person) -> None:
    said = alice.answers(box, "modify", asks(client, of("look")), "--set", '/note="p\u0430id\u202e"')
    assert 'change     /note: (nothing) -> "p\\u0430id\\u202e"' in said.stdout


def test_a_hundred_parallel_retries_have_one_effect(box: Box, client: ModernClient, alice: Person) -> None:
    made = of("crowd")
    assert modify(box, alice, asks(client, made), amount=350).code == 0

    def one(_: int) -> str:
        with ModernClient(box.gateway) as another:
            response = pay(another, made)
            assert meta(response, "modified")["pointers"] == ["/amount"]
            return str(outcome(response)["outcome"])

    with ThreadPoolExecutor(100) as crowd:
        ended = Counter(crowd.map(one, range(100)))
    assert ended == {"completed": 1, "replayed": 99}
    assert paid_to(box, "crowd") == [{**made, "amount": 350}]


def test_changing_while_the_caller_retries_loses_nothing(box: Box, client: ModernClient, alice: Person, bob: Person) -> None:
    """Retries run all the time while two people change the call, over and over: what runs is what was approved last."""
    made = of("restless")
    approval_id = asks(client, made)
    calm = False

    def retry(_: int) -> set[str]:
        seen = set()
        with ModernClient(box.gateway) as another:
            while not calm:
                seen.add(str(outcome(pay(another, made))["outcome"]))
        return seen

    with ThreadPoolExecutor(4) as crowd:
        retries = [crowd.submit(retry, number) for number in range(4)]
        try:
            for amount in (901, 902, 903, 904):
                assert modify(box, bob, approval_id, "--only-change", amount=amount).code == 0
                approval_id = instead_of(box, approval_id)
        finally:
            calm = True
        assert [one.result() for one in retries] == [{"awaiting_approval"}] * 4
    assert asks(client, made) == approval_id
    assert alice.answers(box, "approve", approval_id).code == 0
    assert outcome(pay(client, made))["outcome"] == "completed"
    assert paid_to(box, "restless") == [{**made, "amount": 904}]


def test_a_program_reads_what_happened(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = asks(client, of("program"))
    assert modify(box, alice, approval_id, "--only-change", amount=200).code == 0
    was, now = (box.json("approvals", "show", one) for one in (approval_id, instead_of(box, approval_id)))
    (answer,) = was["answers"]
    assert (was["state"], answer["answer"]) == ("modified", "modify")
    assert answer["modified_into"] == now["request"]["approval_id"]
    assert now["request"]["modified_from"] == approval_id
    assert (now["state"], now["arguments"]["amount"], was["arguments"]["amount"]) == ("pending", 200, 5000)
    assert "changed arguments of this call first: /amount" in text(pay(client, of("program")))
