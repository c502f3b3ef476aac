"""Answers that change a call and are none: forged, swapped, too late, by whoever may not, or used twice."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from gateway.cli.changes import check_offer
from gateway.core.errors import GatewayError
from gateway.core.obligations import ApproveFor, Route
from gateway.core.offers import MOST_OF_A_REQUEST
from tests.approvals.people import Person
from tests.approvals.till import Desk, about, asks, instead_of, modify, paid, pay, signed, till
from tests.edge.box import Box
from tests.running import ModernClient, outcome, until


@pytest.fixture(scope="module")
def box(alice: Person, actor: Person, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with till(tmp_path_factory.mktemp("refused"), [alice, actor]) as running:
        yield running
        running.assert_sound()


@pytest.fixture
def desk(box: Box) -> Iterator[Desk]:
    desk = Desk(box)
    yield desk
    desk.close()


def of(name: str, amount: float = 5000) -> dict[str, Any]:
    return {"to": [name], "amount": amount}


def refusal(desk: Desk, approval_id: str, envelope: Mapping[str, Any]) -> str | None:
    """The code with which an answer is refused."""
    with pytest.raises(GatewayError) as refused:
        desk.answered(approval_id, envelope)
    return refused.value.code


def untouched(box: Box, client: ModernClient, approval_id: str, name: str) -> bool:
    """Whether the call still waits for an answer to the same request, and nothing was recorded of another."""
    state = box.json("approvals", "show", approval_id)["state"]
    events = [entry.predicate["event"] for entry in about(box, approval_id)]
    waits = asks(client, of(name)) == approval_id
    return waits and (state, events) == ("pending", ["requested"]) and not [one for one in paid(box) if name in one["to"]]


@pytest.mark.parametrize(
    "swapped",
    [
        {"call_digest": "hmac-sha256:" + "0" * 64},
        {"expires_at": "2999-01-01T00:00:00.000Z"},
        {"advisory": False},
        {"mode": "local_write"},
        {"policy_revision": "another"},
        {"principal_chain": ["user:alice"]},
        {"modified_from": None},
    ],
)
def test_a_signature_over_another_new_request_does_not_count(
    box: Box, client: ModernClient, desk: Desk, alice: Person, swapped: dict[str, Any]
) -> None:
    approval_id = asks(client, of("swapped"))
    made, instead = desk.shown(approval_id)["request"], desk.offered(approval_id, {"/amount": 200})["request"]
    envelope = signed(alice, made, {**instead, **swapped})
    assert refusal(desk, approval_id, envelope) == "approval.other_request"
    assert untouched(box, client, approval_id, "swapped")


def test_a_signature_over_another_old_request_does_not_count(
    box: Box, client: ModernClient, desk: Desk, alice: Person
) -> None:
    approval_id = asks(client, of("old"))
    made, instead = desk.shown(approval_id)["request"], desk.offered(approval_id, {"/amount": 200})["request"]
    for swapped in ({"call_digest": instead["call_digest"]}, {"envelope_id": "another"}):
        assert refusal(desk, approval_id, signed(alice, {**made, **swapped}, instead)) == "approval.other_request"
    assert untouched(box, client, approval_id, "old")


def test_changes_made_after_signing_are_others(box: Box, client: ModernClient, desk: Desk, alice: Person) -> None:
    """A new request under another's id does not pass, and neither does the digest of one under the id of the other."""
    approval_id = asks(client, of("after"))
    made = desk.shown(approval_id)["request"]
    first, second = (desk.offered(approval_id, {"/amount": amount})["request"] for amount in (200, 90_000))
    crossed = {**first, "approval_id": second["approval_id"]}
    assert refusal(desk, approval_id, signed(alice, made, crossed)) == "approval.other_request"
    envelope = signed(alice, made, first)
    payload = envelope["payload"]
    assert refusal(desk, approval_id, {**signed(alice, made, second), "payload": payload}) == "approval.signature"
    assert untouched(box, client, approval_id, "after")


def test_changes_of_another_request_are_no_answer_to_this_one(
    box: Box, client: ModernClient, desk: Desk, alice: Person
) -> None:
    approval_id, other_id = asks(client, of("this")), asks(client, of("that"))
    made, other = desk.shown(approval_id)["request"], desk.shown(other_id)["request"]
    of_other = desk.offered(other_id, {"/amount": 200})["request"]
    assert refusal(desk, approval_id, signed(alice, made, of_other)) == "approval.not_offered"
    assert refusal(desk, approval_id, signed(alice, other, of_other)) == "approval.not_offered"
    assert untouched(box, client, approval_id, "this")
    assert untouched(box, client, other_id, "that")


def test_what_the_gateway_did_not_offer_is_not_asked(box: Box, client: ModernClient, desk: Desk, alice: Person) -> None:
    approval_id = asks(client, of("made up"))
    made = desk.shown(approval_id)["request"]
    made_up = {**made, "approval_id": "01a201b3-0000-7000-8000-000000000000", "modified_from": approval_id}
    for into in (made_up, made, None):
        assert refusal(desk, approval_id, signed(alice, made, into)) == "approval.not_offered"
    desk.offered(approval_id, {"/amount": 200})
    for envelope in ({}, {"payload": "!"}, {"payload": "e30="}, {"payload": 1}):
        assert refusal(desk, approval_id, envelope) == "approval.signature"
    assert untouched(box, client, approval_id, "made up")


def test_an_offer_alone_changes_nothing(box: Box, client: ModernClient, desk: Desk) -> None:
    approval_id = asks(client, of("offered"))
    size = box.size()
    offered = desk.offered(approval_id, {"/amount": 200})
    assert offered["arguments"] == of("offered", 200)
    assert box.size() == size
    with pytest.raises(GatewayError) as unknown:
        desk.shown(offered["request"]["approval_id"])
    assert unknown.value.code == "approval.unknown"
    assert untouched(box, client, approval_id, "offered")


def test_offers_are_not_kept_for_ever(box: Box, client: ModernClient, desk: Desk, alice: Person) -> None:
    approval_id = asks(client, of("many"))
    made = desk.shown(approval_id)["request"]
    offers = [desk.offered(approval_id, {"/amount": 200 + number})["request"] for number in range(MOST_OF_A_REQUEST + 1)]
    assert refusal(desk, approval_id, signed(alice, made, offers[0])) == "approval.not_offered"
    assert untouched(box, client, approval_id, "many")
    assert desk.answered(approval_id, signed(alice, made, offers[1]))["modified_into"] == offers[1]["approval_id"]


def test_the_actor_cannot_change_its_call(box: Box, client: ModernClient, actor: Person) -> None:
    approval_id = asks(client, of("self"))
    assert "error[approval.self]" in modify(box, actor, approval_id, amount=200).stderr
    assert untouched(box, client, approval_id, "self")


def test_a_key_nobody_registered_changes_nothing(box: Box, client: ModernClient, stranger: Person) -> None:
    approval_id = asks(client, of("stranger"))
    assert "error[approval.signature]" in modify(box, stranger, approval_id, amount=200).stderr
    assert untouched(box, client, approval_id, "stranger")


def test_a_change_counts_once(box: Box, client: ModernClient, desk: Desk, alice: Person) -> None:
    approval_id = asks(client, of("twice"))
    made = desk.shown(approval_id)["request"]
    first, second = (desk.offered(approval_id, {"/amount": amount})["request"] for amount in (200, 300))
    envelope = signed(alice, made, first)
    assert desk.answered(approval_id, envelope)["modified_into"] == first["approval_id"]
    assert refusal(desk, approval_id, envelope) == "approval.not_offered"
    assert refusal(desk, approval_id, signed(alice, made, second)) == "approval.already_answered"
    assert refusal(desk, first["approval_id"], envelope) == "approval.not_offered"
    for verb in ("approve", "reject"):
        assert "error[approval.already_answered]" in alice.answers(box, verb, approval_id).stderr
    assert "error[approval.already_answered]" in modify(box, alice, approval_id, amount=400).stderr
    assert "error[approval.ended]" in box.run("approvals", "revoke", approval_id).stderr
    assert [entry.predicate["event"] for entry in about(box, approval_id)] == ["requested", "modified"]
    assert asks(client, of("twice")) == first["approval_id"]
    assert [one for one in paid(box) if "twice" in one["to"]] == []


def test_a_change_is_no_yes_and_a_yes_to_the_old_call_is_none_to_the_new(
    box: Box, client: ModernClient, desk: Desk, alice: Person
) -> None:
    approval_id = asks(client, of("no yes"))
    made, instead = desk.shown(approval_id)["request"], desk.offered(approval_id, {"/amount": 200})["request"]
    desk.answered(approval_id, signed(alice, made, instead))
    kept = about(box, approval_id)[-1].predicate["signed_answer"]
    assert refusal(desk, instead["approval_id"], kept) == "approval.not_offered"
    assert asks(client, of("no yes")) == instead["approval_id"]
    assert [one for one in paid(box) if "no yes" in one["to"]] == []


@pytest.mark.parametrize(
    ("how", "why"),
    [({"route": Route.WEBHOOK}, "approval.route"), ({"reach": ApproveFor.RUN}, "approval.reach")],
)
def test_a_change_for_another_route_or_for_a_run_does_not_count(
    box: Box, client: ModernClient, desk: Desk, alice: Person, how: dict[str, Any], why: str
) -> None:
    approval_id = asks(client, of("route"))
    made, instead = desk.shown(approval_id)["request"], desk.offered(approval_id, {"/amount": 200})["request"]
    assert refusal(desk, approval_id, signed(alice, made, instead, **how)) == why
    assert untouched(box, client, approval_id, "route")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "request.invalid"),
        ([], "request.invalid"),
        (None, "request.invalid"),
        ({"amount": 5}, "request.invalid"),
        ({"/a" * 17: 1}, "request.invalid"),
        (dict.fromkeys(map("/{}".format, range(65)), 1), "request.invalid"),
        ({"/how": {"a": "x" * 900_000}}, "approval.change"),
    ],
)
def test_changes_of_another_form_or_size_are_refused(
    box: Box, client: ModernClient, desk: Desk, changes: Any, code: str
) -> None:
    approval_id = asks(client, {**of("form"), "note": "y" * 200_000})
    with pytest.raises(GatewayError) as refused:
        desk._daemon.post(f"/api/v1/approvals/{approval_id}/modify", {"changes": changes})
    assert refused.value.code == code


def test_an_unknown_request_is_named(box: Box, alice: Person) -> None:
    said = modify(box, alice, "01a201b3-0000-7000-8000-000000000000", amount=5)
    assert (said.code, "error[approval.unknown]" in said.stderr, "next:" in said.stderr) == (1, True, True)


def test_a_tool_that_changed_since_is_told(box: Box, client: ModernClient, alice: Person) -> None:
    approval_id = asks(client, of("drifted"))
    extra = box.folder / "extra.json"
    before = extra.read_text()
    changed = json.loads(before)
    changed[0]["description"] = "Pay, differently."

    def relisted(text: str, callable_now: bool) -> None:
        extra.write_text(text)
        client.call("box__relist", {})

        def listed() -> bool:
            return any(one["id"] == "box__pay" and one["callable"] for one in box.json("tools", "list")["tools"])

        until(lambda: listed() is callable_now, what="the new list")

    relisted(json.dumps(changed), callable_now=False)
    try:
        assert "error[tool.drifted]" in modify(box, alice, approval_id, amount=200).stderr
    finally:
        relisted(before, callable_now=True)
    assert modify(box, alice, approval_id, amount=200).code == 0
    assert outcome(pay(client, of("drifted")))["outcome"] == "completed"
    assert instead_of(box, approval_id)


@pytest.mark.parametrize(
    "other",
    [
        {"arguments": {"to": ["offer"], "amount": 90_000}},
        {"arguments": {"to": ["offer"], "amount": 200, "note": "more"}},
        {"capability_id": "box__other"},
        {"modified_from": "01a201b3-0000-7000-8000-000000000000"},
        {"expires_at": "2999-01-01T00:00:00.000Z"},
        {"quorum": {"count": 1, "of": []}},
    ],
)
def test_the_command_signs_no_other_change_than_it_was_asked_for(
    box: Box, client: ModernClient, desk: Desk, other: dict[str, Any]
) -> None:
    approval_id = asks(client, of("offer"))
    changes = {"/amount": 200}
    made, offered = desk.shown(approval_id), desk.offered(approval_id, changes)
    check_offer(made, changes, offered)
    arguments = other.get("arguments", offered["arguments"])
    request = {**offered["request"], **{name: value for name, value in other.items() if name != "arguments"}}
    with pytest.raises(GatewayError) as refused:
        check_offer(made, changes, {**offered, "arguments": arguments, "request": request})
    assert refused.value.code == "approval.other_change"
