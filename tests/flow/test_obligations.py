"""What policy binds the gateway to, through a real gateway: done, or the call is denied."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.core.obligations import Obligations
from tests.flow.mail import Mail, meta, reasons
from tests.running import outcome, text

SECRET = "DE8937040044"


@pytest.fixture
def obliged(mail: Mail) -> Iterator[Mail]:
    yield mail
    mail.oblige({})
    (mail.folder / "sent").unlink(missing_ok=True)


def test_what_policy_redacts_is_answered_stored_and_remembered_without_it(obliged: Mail) -> None:
    account = {"iban": SECRET, "owner": {"name": "Bob", "iban": SECRET}, "balance": 12345.5}
    obliged.write("account", account)
    obliged.oblige({"redact": ["/structuredContent/iban", "/structuredContent/owner/iban", "/structuredContent/absent"]})
    response = obliged.read("account", "redact", "book")
    assert SECRET not in json.dumps(response)
    assert response["result"]["structuredContent"] == {
        "iban": "[redacted: policy]",
        "owner": {"name": "Bob", "iban": "[redacted: policy]"},
        "balance": 12345.5,
    }
    assert json.loads(text(response)) == response["result"]["structuredContent"]
    assert meta(response, "redacted") == ["policy"]
    assert SECRET not in obliged.kept(response)
    assert "Bob" in obliged.kept(response)
    assert obliged.origins({"to": SECRET, "text": "Bob"}, "redact") == {"/text": ["trusted"], "/to": []}


def test_every_element_can_be_redacted_and_a_value_goes_wherever_else_it_stands(obliged: Mail) -> None:
    obliged.write("accounts", {"accounts": [{"iban": SECRET}, {"iban": "FR7630006"}], "note": f"first is {SECRET}"})
    obliged.oblige({"redact": ["/structuredContent/accounts/*/iban"]})
    response = obliged.read("accounts", "redact-all", "book")
    assert SECRET not in json.dumps(response)
    assert "FR7630006" not in json.dumps(response)
    assert response["result"]["structuredContent"]["note"] == "first is [redacted: policy]"


@pytest.mark.parametrize("is_error", [True, False])
def test_a_result_that_cannot_be_redacted_is_withheld(obliged: Mail, *, is_error: bool) -> None:
    obliged.write("plain", f"the account is {SECRET}", isError=is_error)
    obliged.oblige({"redact": ["/structuredContent/iban"]})
    response = obliged.read("plain", "redact-plain", "book")
    assert text(response) == "[redacted: policy]"
    assert response["result"]["isError"] is is_error


def test_where_the_content_is_named_nothing_else_tells_it_again(obliged: Mail) -> None:
    obliged.write("account", {"iban": SECRET})
    obliged.oblige({"redact": ["/content/0/text"]})
    response = obliged.read("account", "redact-content", "book")
    assert SECRET not in json.dumps(response)
    assert text(response) == "[redacted: policy]"


def test_a_replay_is_redacted_as_policy_wants_it_by_then(obliged: Mail) -> None:
    (obliged.folder / "answer.json").write_text(
        json.dumps({"content": [{"type": "text", "text": SECRET}], "structuredContent": {"iban": SECRET}})
    )
    try:
        first = obliged.call("send", {"to": "a"}, "redact-replay", key="redact-replay")
        assert SECRET in json.dumps(first)
        obliged.oblige({"redact": ["/structuredContent/iban"]})
        second = obliged.call("send", {"to": "a"}, "redact-replay", key="redact-replay")
    finally:
        (obliged.folder / "answer.json").unlink()
    assert outcome(second) == {"outcome": "replayed"}
    assert SECRET not in json.dumps(second)


def test_a_larger_result_than_policy_allows_is_withheld_and_the_call_was_done(obliged: Mail) -> None:
    obliged.write("long", "a secret " * 100)
    obliged.write("short", "short")
    obliged.oblige({"max_result_bytes": 300})
    long, short = obliged.read("long", "size", "book"), obliged.read("short", "size", "book")
    assert meta(long, "withheld") == {"max_result_bytes": 300}
    assert "The call was done" in text(long)
    assert "a secret" not in json.dumps(long)
    assert "a secret" not in obliged.kept(long)
    assert (text(short), meta(short, "withheld")) == ("short", None)


def test_changed_arguments_run_as_a_call_of_their_own_linked_to_the_one_that_was_made(obliged: Mail) -> None:
    obliged.oblige({"modify": {"/amount": 10, "/urgent": False}})
    response = obliged.call("send", {"to": "bob", "amount": 5000}, "modify")
    assert outcome(response) == {"outcome": "completed"}
    assert obliged.sent() == [{"tool": "send", "amount": 10, "to": "bob", "urgent": False}]
    told = meta(response, "modified")
    assert told["pointers"] == ["/amount", "/urgent"]
    done = obliged.entry(response)
    assert done["modified_from"] == told["envelope_id"]
    with_index = {"leaf_index": meta(response, "receipt")["leaf_index"] - 2}
    original = obliged.entry({"result": {"_meta": {"dev.sealgate/receipt": with_index}}})
    assert (original["envelope_id"], original["reasons"]) == (told["envelope_id"], ["call.modified"])
    assert original["modified_into"] == done["envelope_id"]


@pytest.mark.parametrize("key", [None, "own-key"])
def test_a_retry_of_a_changed_call_gets_its_result_and_no_second_effect(obliged: Mail, key: str | None) -> None:
    own = {} if key is None else {"key": key}
    run = f"modify-retry-{key}"
    obliged.oblige({"modify": {"/amount": 10}})
    first = obliged.call("send", {"to": run, "amount": 5000}, run, **own)
    second = obliged.call("send", {"to": run, "amount": 5000}, run, **own)
    assert (outcome(first)["outcome"], outcome(second)["outcome"]) == ("completed", "replayed")
    assert meta(second, "modified")["pointers"] == ["/amount"]
    obliged.oblige({})
    late = obliged.call("send", {"to": run, "amount": 5000}, run, **own)
    assert (outcome(late)["outcome"], meta(late, "modified")["pointers"]) == ("replayed", ["/amount"])
    if key is not None:  # the key stands for the call that was made, so it is not another one's
        obliged.oblige({})
        other = obliged.call("send", {"to": run, "amount": 10}, run, **own)
        assert outcome(other) == {"outcome": "conflict", "reasons": ["idempotency.mismatch"]}
    assert obliged.sent() == [{"tool": "send", "amount": 10, "to": run}]


def test_arguments_that_are_as_policy_wants_them_are_left_alone(obliged: Mail) -> None:
    obliged.oblige({"modify": {"/amount": 10}})
    response = obliged.call("send", {"to": "bob", "amount": 10.0}, "modify-same")
    assert outcome(response) == {"outcome": "completed"}
    assert meta(response, "modified") is None
    assert "modified_from" not in obliged.entry(response)


@pytest.mark.parametrize(
    "changes", [{"/amount": "ten"}, {"/unknown": 1}, {"/no/such/place": 1}, {"/tags/3": "x"}, {"/to/*": "x"}]
)
def test_a_change_that_does_not_fit_the_call_is_a_deny(obliged: Mail, changes: dict[str, Any]) -> None:
    obliged.oblige({"modify": changes})
    response = obliged.call("send", {"to": "bob", "amount": 5000, "tags": []}, "modify-wrong")
    assert outcome(response) == {"outcome": "denied", "reasons": ["policy.modify_wrong"]}
    assert obliged.sent() == []


def test_policy_that_wants_to_change_the_changed_call_again_denies_it(obliged: Mail) -> None:
    (obliged.gateway.folder / "policy" / "again.rego").write_text(
        'package again\n\nmodify := {"/amount": object.get(input.context.arguments, "amount", 0) + 1}\n'
    )
    policy = obliged.gateway.folder / "policy" / "authz.rego"
    before = policy.read_text()
    try:
        policy.write_text(before.replace('"obligations": bound,', '"obligations": {"modify": data.again.modify},'))
        obliged.oblige({})
        response = obliged.call("send", {"to": "bob", "amount": 1}, "modify-again")
    finally:
        policy.write_text(before)
        (obliged.gateway.folder / "policy" / "again.rego").unlink()
    assert reasons(response) == ["policy.modify_again"]
    assert meta(response, "modified")["pointers"] == ["/amount"]
    assert obliged.sent() == []


def test_a_call_must_cite_as_much_evidence_as_policy_wants(obliged: Mail) -> None:
    obliged.write("fact", "A fact.")
    trusted = [meta(obliged.read("fact", "evidence", "book"), "evidence")["ref"] for _ in range(2)]
    untrusted = meta(obliged.read("fact", "evidence-u"), "evidence")["ref"]
    obliged.oblige({"evidence": {"count": 2, "trust": "trusted"}})
    for refs in ([], trusted[:1], [trusted[0], trusted[0]]):
        refused = obliged.call("send", {"to": "a"}, "evidence", evidence=refs)
        assert reasons(refused) == ["evidence.missing"]
        assert '_meta["dev.sealgate/evidence"]' in text(refused)
    assert outcome(obliged.call("send", {"to": "a"}, "evidence", evidence=trusted)) == {"outcome": "completed"}
    obliged.oblige({"evidence": {"count": 1, "trust": "trusted"}})
    asked = obliged.call("read", {"file": "fact"}, "evidence-u", evidence=[untrusted])
    assert reasons(asked) == ["evidence.missing"]
    obliged.oblige({"evidence": {"count": 1}})
    assert outcome(obliged.call("read", {"file": "fact"}, "evidence-u", evidence=[untrusted])) == {"outcome": "completed"}


WELL_FORMED: dict[str, Any] = {
    "approver": "user:alice",
    "quorum": {"count": 2},
    "routes": ["cli"],
    "approve_for": "run",
    "redact": ["/structuredContent/iban"],
    "max_result_bytes": 10,
    "egress": ["elsewhere.example"],
    "modify": {"/to": "changed"},
    "evidence": {"count": 1},
}


def test_every_obligation_there_is_was_tried_below() -> None:
    assert WELL_FORMED.keys() == set(Obligations.__dataclass_fields__)


@pytest.mark.parametrize("name", [*WELL_FORMED, "unheard_of"])
def test_no_allowed_call_with_an_obligation_is_as_if_it_had_none(obliged: Mail, name: str) -> None:
    """Honoured or denied, for each of them: the effect, the answer, or both are not those of a call without it."""
    (obliged.folder / "answer.json").write_text(
        json.dumps({"content": [{"type": "text", "text": SECRET}], "structuredContent": {"iban": SECRET}})
    )
    try:
        obliged.oblige({name: WELL_FORMED.get(name, True)})
        response = obliged.call("send", {"to": name}, f"each-{name}")
    finally:
        (obliged.folder / "answer.json").unlink()
    happened = obliged.sent()
    if outcome(response)["outcome"] == "denied":
        assert happened == []
        return
    as_if_without = happened == [{"tool": "send", "to": name}] and SECRET in json.dumps(response)
    assert not as_if_without or (name == "egress" and "egress" in obliged.entry(response)["policy"]["obligations"])
