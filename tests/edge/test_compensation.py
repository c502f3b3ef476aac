"""Calls that undo others: an ordinary governed call with a link, which the log shows and the undone call's key remembers."""

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gateway.core.entry import Kind
from tests.docs.test_entries_page import documented, undocumented
from tests.edge.box import Box
from tests.edge.shop import envelope_of, shop_in
from tests.running import ModernClient, outcome, text


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    with shop_in(tmp_path_factory.mktemp("shop")) as shop:
        yield shop


@pytest.fixture
def client(shop: Box) -> Iterator[ModernClient]:
    with ModernClient(shop.gateway) as client:
        yield client


POLICY = """package sealgate.authz

undone := input.context.compensates

answer(effect) := {
	"effect": effect,
	"reasons": [{"code": "shop.undo", "message": json.marshal(undone)}],
	"obligations": {},
}

decision := answer("ask") if {
	undone.capability_id == "ledger__pay"
} else := answer("deny") if {
	undone
} else := {"effect": "allow", "reasons": [], "obligations": {}}
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A shop whose policy asks before a payment is undone, and lets nobody undo anything else."""
    folder = tmp_path_factory.mktemp("strict")
    (folder / "policies").mkdir()
    (folder / "policies" / "authz.rego").write_text(POLICY)
    with shop_in(folder, f"policy: {{path: {folder / 'policies'}}}\n") as shop:
        yield shop


def pay(client: ModernClient, order: str) -> str:
    """Pay an order under its own name as key; the envelope id."""
    response = client.call("ledger__pay", {"order": order}, key=order)
    assert outcome(response)["outcome"] == "completed"
    return envelope_of(response)


def refund(client: ModernClient, order: str, envelope: str, key: str | None = None) -> dict[str, Any]:
    """Undo the call of that envelope."""
    return client.call("ledger__refund", {"order": order}, key=key or f"undo-{order}", compensates=envelope)


def links(shop: Box, envelope: str) -> list[tuple[str, str]]:
    """What the log tells of the undoing of this call: (by, event)."""
    told = [entry.predicate["compensation"] for entry in shop.entries() if entry.kind is Kind.COMPENSATION]
    return [(link["by"], link["event"]) for link in told if link["of"] == envelope]


def test_an_undone_call_shows_in_the_log_and_never_runs_again(shop: Box, client: ModernClient) -> None:
    paid = pay(client, "order-1")
    undo = refund(client, "order-1", paid)
    assert outcome(undo) == {"outcome": "completed"}
    assert links(shop, paid) == [(envelope_of(undo), "started"), (envelope_of(undo), "completed")]
    told = [entry.predicate["compensates"] for entry in shop.entries() if entry.id == envelope_of(undo)]
    assert told == [paid, paid]
    retried = client.call("ledger__pay", {"order": "order-1"}, key="order-1")
    assert outcome(retried) == {"outcome": "conflict", "reasons": ["idempotency.compensated"]}
    assert envelope_of(undo) in text(retried)
    assert shop.lines("rows").count("pay order-1") == shop.lines("rows").count("refund order-1") == 1


def test_the_undoing_call_has_a_key_of_its_own_and_is_replayed(shop: Box, client: ModernClient) -> None:
    paid = pay(client, "order-2")
    first, second = (refund(client, "order-2", paid) for _ in range(2))
    assert (outcome(first), outcome(second)) == ({"outcome": "completed"}, {"outcome": "replayed"})
    assert first["result"]["content"] == second["result"]["content"]
    assert shop.lines("rows").count("refund order-2") == 1


def test_a_call_is_undone_once(shop: Box, client: ModernClient) -> None:
    paid = pay(client, "order-3")
    refund(client, "order-3", paid)
    again = refund(client, "order-3", paid, "another key")
    assert outcome(again) == {"outcome": "denied", "reasons": ["compensation.done"]}
    assert shop.lines("rows").count("refund order-3") == 1


def test_of_many_that_undo_the_same_call_at_once_one_runs(shop: Box, client: ModernClient) -> None:
    paid = pay(client, "order-4")

    def one(number: int) -> dict[str, Any]:
        with ModernClient(shop.gateway) as client:
            return refund(client, "order-4", paid, f"crowd-{number}")

    with ThreadPoolExecutor(10) as crowd:
        ended = Counter(json.dumps(outcome(response)) for response in crowd.map(one, range(10)))
    refused = {"outcome": "denied", "reasons": ["compensation.done"]}
    assert ended == {json.dumps({"outcome": "completed"}): 1, json.dumps(refused): 9}
    assert shop.lines("rows").count("refund order-4") == 1


def test_an_undoing_call_that_failed_leaves_the_call_done_and_another_may_try(shop: Box, client: ModernClient) -> None:
    paid = pay(client, "order-5")
    failed = refund(client, "refuse-order-5", paid)
    assert failed["result"]["isError"] is True
    assert outcome(client.call("ledger__pay", {"order": "order-5"}, key="order-5")) == {"outcome": "replayed"}
    undo = refund(client, "order-5", paid)
    assert outcome(undo) == {"outcome": "completed"}
    assert [event for _, event in links(shop, paid)] == ["started", "failed", "started", "completed"]


@pytest.mark.parametrize(("verdict", "event"), [("completed", "completed"), ("failed", "failed")])
def test_an_undoing_call_in_doubt_keeps_the_other_open_until_its_verdict(
    shop: Box, client: ModernClient, verdict: str, event: str
) -> None:
    order = f"order-{verdict}"
    paid = pay(client, order)
    lost = refund(client, f"hang-{order}", paid)
    assert outcome(lost)["outcome"] == "in_doubt"
    told = outcome(client.call("ledger__pay", {"order": order}, key=order))
    assert told == {"outcome": "conflict", "reasons": ["idempotency.compensating"]}
    other = refund(client, order, paid, f"other-{order}")
    assert outcome(other) == {"outcome": "denied", "reasons": ["compensation.running"]}
    assert shop.run("runs", "resolve", envelope_of(lost), "--as", verdict, "--reason", "looked").code == 0
    assert links(shop, paid) == [(envelope_of(lost), "started"), (envelope_of(lost), event)]
    after = outcome(client.call("ledger__pay", {"order": order}, key=order))
    undone = {"outcome": "conflict", "reasons": ["idempotency.compensated"]}
    assert after == (undone if verdict == "completed" else {"outcome": "replayed"})
    assert shop.lines("rows").count(f"pay {order}") == 1


@pytest.mark.parametrize("told_by", ["the operator", "the tool"])
def test_a_verdict_that_brings_the_tools_own_error_undoes_nothing(
    shop: Box, client: ModernClient, tmp_path: Path, told_by: str
) -> None:
    """Just as the tool's error would have undone nothing, had its answer come."""
    order = told_by.replace(" ", "-")
    paid = pay(client, order)
    lost = envelope_of(refund(client, f"hang-refuse-{order}", paid))
    if told_by == "the operator":
        result = tmp_path / "result.json"
        result.write_text('{"content": [{"type": "text", "text": "no such order"}], "isError": true}')
        assert shop.run("runs", "resolve", lost, "--as", "completed", "--reason", "x", "--result", str(result)).code == 0
    else:
        assert shop.run("runs", "reconcile", lost).code == 0
    assert links(shop, paid) == [(lost, "started"), (lost, "failed")]
    assert outcome(client.call("ledger__pay", {"order": order}, key=order)) == {"outcome": "replayed"}
    retried = client.call(
        "ledger__refund",
        {"order": f"hang-refuse-{order}"},
        key=f"undo-hang-refuse-{order}",
        compensates=paid,
        run={"run_id": "is-told"},
    )
    assert retried["result"]["isError"] is True
    assert outcome(refund(client, order, paid, f"again-{order}")) == {"outcome": "completed"}
    assert shop.run("state", "check").code == 0


def test_the_same_derived_call_made_twice_can_be_undone_each(shop: Box, client: ModernClient) -> None:
    first = pay(client, "twice-1")
    second = pay(client, "twice-2")
    for envelope in (first, second):
        undo = client.call("ledger__refund", {"order": "twice"}, compensates=envelope)
        assert outcome(undo) == {"outcome": "completed"}
    assert shop.lines("rows").count("refund twice") == 2


@pytest.mark.parametrize("envelope", ["not an id", 7, "018BCFE5-6800-7000-8000-000000000001", ""])
def test_a_malformed_link_is_an_invalid_request(client: ModernClient, envelope: Any) -> None:
    response = client.call("ledger__refund", {"order": "malformed"}, key="malformed", compensates=envelope)
    assert response["error"]["code"] == -32602


def test_what_was_not_done_or_has_no_effect_cannot_be_undone_and_a_read_undoes_nothing(
    shop: Box, client: ModernClient
) -> None:
    read = envelope_of(client.call("ledger__blind_status", {"envelope_id": "x"}))
    lost = envelope_of(client.call("ledger__pay", {"order": "hang-undone"}, key="hang-undone"))
    unknown = "018bcfe5-6800-7000-8000-000000000001"
    for envelope, code in ((read, "unknown"), (unknown, "unknown"), (lost, "not_completed")):
        response = refund(client, "nothing", envelope, f"nothing-{code}-{envelope}")
        assert outcome(response) == {"outcome": "denied", "reasons": [f"compensation.{code}"]}
    paid = pay(client, "order-read")
    looked = client.call("ledger__blind_status", {"envelope_id": "x"}, compensates=paid)
    assert outcome(looked) == {"outcome": "denied", "reasons": ["compensation.no_effect"]}
    assert "refund nothing" not in shop.lines("rows")


def test_the_page_about_entries_names_every_field_of_verdicts_and_links(shop: Box, client: ModernClient) -> None:
    lost = refund(client, "hang-page", pay(client, "order-page"))
    assert shop.run("runs", "reconcile", envelope_of(lost)).code == 0
    told = [entry.predicate for entry in shop.entries() if entry.kind in (Kind.RESOLUTION, Kind.COMPENSATION)]
    assert {predicate["kind"] for predicate in told} == {"resolution", "compensation"}
    assert {name for predicate in told for name in undocumented(dict(predicate), documented())} == set()
    linked = [entry.predicate for entry in shop.entries() if "compensates" in entry.predicate]
    assert {name for predicate in linked for name in undocumented(dict(predicate), documented())} == set()


def told_to_policy(response: dict[str, Any]) -> dict[str, str]:
    """What `strict`'s policy saw of the undone call."""
    found: dict[str, str] = json.loads(text(response).partition("\n")[2].removesuffix(" [shop.undo]"))
    return found


def test_policy_and_the_approver_are_told_which_call_is_undone(strict: Box) -> None:
    with ModernClient(strict.gateway) as client:
        paid = pay(client, "order-1")
        waiting = refund(client, "order-1", paid)
        approval_id = outcome(waiting)["approval_id"]
        digest = next(entry.predicate["call"]["call_digest"] for entry in strict.entries() if entry.id == paid)
        undone = {"envelope_id": paid, "capability_id": "ledger__pay", "call_digest": digest}
        assert told_to_policy(waiting) == undone
        shown = strict.json("approvals", "show", approval_id)
        (listed,) = strict.json("approvals", "list")["approvals"]
        assert shown["request"]["compensates"] == listed["request"]["compensates"] == undone
        assert f"the call {paid} of ledger__pay" in strict.run("approvals", "show", approval_id).stdout
        assert "ledger__pay" in strict.run("approvals", "list").stdout
        assert strict.run("approvals", "approve", approval_id, "--yes").code == 0
        assert outcome(refund(client, "order-1", paid)) == {"outcome": "completed"}
    asked = [entry.predicate for entry in strict.entries() if entry.kind is Kind.APPROVAL]
    assert [told["approval"]["compensates"] for told in asked] == [undone, undone]
    assert {name for predicate in asked for name in undocumented(dict(predicate), documented())} == set()


def test_policy_can_refuse_by_the_call_that_is_undone(strict: Box) -> None:
    unknown = "018bcfe5-6800-7000-8000-000000000001"
    with ModernClient(strict.gateway) as client:
        booked = envelope_of(client.call("ledger__book", {"order": "order-2"}))
        refused, of_nothing = refund(client, "order-2", booked), refund(client, "order-3", unknown)
    for response in (refused, of_nothing):
        assert outcome(response) == {"outcome": "denied", "reasons": ["shop.undo"]}
    assert told_to_policy(refused)["capability_id"] == "ledger__book"
    assert told_to_policy(of_nothing) == {"envelope_id": unknown}


def test_an_entry_that_is_no_call_names_the_calls_it_is_about(shop: Box, client: ModernClient) -> None:
    paid = pay(client, "order-ids")
    lost = envelope_of(refund(client, "hang-ids", paid))
    assert shop.run("runs", "resolve", lost, "--as", "completed", "--reason", "looked").code == 0
    ends = shop.entries()[-2:]
    assert [entry.kind for entry in ends] == [Kind.RESOLUTION, Kind.COMPENSATION]
    for entry, calls in zip(ends, ([lost], [lost, paid]), strict=True):
        said = shop.run("log", "disclose", entry.id)
        assert (said.code, "error[log.no_values]" in said.stderr) == (1, True), said
        assert all(call in said.stderr for call in calls)
