"""A policy that quotes arguments wherever it can: what it says is stored, logged and told without what must not be."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.privacy.desk import CONFIG, Desk, places, running_desk
from tests.privacy.test_canaries import tell
from tests.running import outcome

POLICY = """package sealgate.authz

said := input.context.arguments

way := said.device.label

sentence := sprintf("no %v for %v", [said.password, said.user])

plain := {"effect": "deny", "reasons": [{"code": "test.no", "message": "No."}], "obligations": {}}

default decision := {"effect": "deny", "reasons": [], "obligations": {}}

decision := {"effect": "allow", "reasons": [{"code": "test.yes", "message": "Yes."}], "obligations": {}} if way == "allow"

decision := object.union(plain, {"reasons": [{"code": said.password, "message": sentence}]}) if way == "code"

decision := object.union(plain, {"effect": "ask", "reasons": [{"code": "test.ask", "message": sentence}]}) if {
	way in {"ask", "ask-with-a-secret"}
}

decision := object.union(plain, {"effect": "ask", "reasons": [{"code": said.password, "message": sentence}]}) if {
	way == "ask-code"
}

decision := object.union(plain, {"reasons": [{"code": sentence, "message": sentence}]}) if way == "sentence-as-code"

decision := object.union(plain, {"reasons": [{"code": [said.password], "message": sentence}]}) if way == "list-as-code"

decision := object.union(plain, {"effect": said.password}) if way == "effect"

decision := object.union(plain, {"obligations": {said.password: said.user}}) if way == "obligation-of-a-deny"

decision := object.union(plain, {"effect": "ask", "obligations": {said.password: said.user}}) if way == "obligation"

approver := sprintf("user:%v", [said.password])

decision := object.union(plain, {"effect": "ask", "obligations": {"approver": approver}}) if way == "approver"

decision := object.union(plain, {"effect": "ask", "obligations": {"approver": said.user}}) if way == "no-approver"

decision := object.union(plain, {"effect": "ask", "obligations": {"approver": [said.user]}}) if way == "list-of-approvers"

decision := said.password + 1 if way == "failed-addition"

decision := net.cidr_contains(said.user, "10.0.0.1") if way == "failed-address"

decision := said if way == "arguments"
"""
DENIED = {
    "ask-code": ["policy.redacted"],
    "ask-with-a-secret": ["approval.secret_in_arguments"],
    "code": ["policy.redacted"],
    "sentence-as-code": ["policy.error"],
    "list-as-code": ["policy.error"],
    "effect": ["policy.error"],
    "obligation-of-a-deny": ["test.no"],
    "obligation": ["policy.error"],
    "approver": ["policy.error"],
    "no-approver": ["policy.error"],
    "list-of-approvers": ["policy.error"],
    "failed-addition": ["policy.error"],
    "failed-address": ["policy.error"],
    "arguments": ["policy.error"],
}
TOKEN = "ghp_" + "pQ7z" * 9


def sensitive(way: str) -> str:
    """A password of the form of a reason code, and of a principal's id."""
    return f"hidden.{way}-c40d22"


def ordinary(way: str) -> str:
    return f"canary-{way}-7f3a91"


@dataclass
class Quoted:
    """What each way was answered, and everything that is stored or was told by then."""

    answers: dict[str, Any]
    found: dict[str, bytes]


@pytest.fixture(scope="module")
def quoted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quoted]:
    folder = tmp_path_factory.mktemp("quotes")
    policies = folder / "policies"
    policies.mkdir()
    (policies / "authz.rego").write_text(POLICY)
    with running_desk(folder, f"{CONFIG}\npolicy: {{{{path: {policies}}}}}\n") as desk:
        answers = dict(asked(desk))
        told = tell(desk, tmp_path_factory.mktemp("told"))
        told["approval"] = json.dumps(desk.json("approvals", "show", outcome(answers["ask"])["approval_id"])).encode()
        yield Quoted(answers, {**desk.stored(), **told})
        desk.verify()


def asked(desk: Desk) -> Iterator[tuple[str, Any]]:
    with desk.client() as client:
        for way in ("allow", "ask", *DENIED):
            arguments = {
                "user": ordinary(way) if way == "ask" else f"{ordinary(way)} {TOKEN}",
                "password": sensitive(way),
                "device": {"label": way},
            }
            yield way, client.call("desk__login", arguments, key=way)


def test_the_policy_is_in_force_and_calls_run(quoted: Quoted) -> None:
    assert outcome(quoted.answers["allow"])["outcome"] == "completed"


@pytest.mark.parametrize("way", DENIED)
def test_what_a_policy_may_not_say_so_is_a_deny_that_says_it_no_further(quoted: Quoted, way: str) -> None:
    told = outcome(quoted.answers[way])
    assert (told["outcome"], told["reasons"]) == ("denied", DENIED[way])


@pytest.mark.parametrize("way", ["ask", *DENIED])
def test_what_was_quoted_is_in_no_store_log_or_answer(quoted: Quoted, way: str) -> None:
    answer = {"answer": json.dumps(quoted.answers[way]).encode()}
    assert places(sensitive(way), {**quoted.found, **answer}) == []
    assert places(TOKEN, {**quoted.found, **answer}) == []
    to_approvers = ("approval", "api approvals")
    assert places(ordinary(way), {name: data for name, data in quoted.found.items() if name not in to_approvers}) == []


def test_an_approver_reads_the_sentence_without_sensitive_values(quoted: Quoted) -> None:
    shown = json.loads(quoted.found["approval"])["request"]["reasons"]
    told = f"no [redacted: sensitive] for {ordinary('ask')}"
    assert shown == [{"code": "test.ask", "message": told}]


def test_the_operator_reads_where_the_policy_failed(quoted: Quoted) -> None:
    said = quoted.found["gateway.err"].decode()
    assert 'decision := said.password + 1 if way == \\"failed-addition\\"' in said
    assert "authz.rego:" in said


def test_the_search_would_find_them(quoted: Quoted) -> None:
    assert places(ordinary("ask"), {"shown": quoted.found["approval"]}) == ["shown"]
    assert places("policy.redacted", {"entries": quoted.found["entries"]}) == ["entries"]
