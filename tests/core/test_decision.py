"""Reading a policy's answer: whatever is not exactly a decision is a deny."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given

from gateway.core.call import Compensated
from gateway.core.circumstances import Circumstances
from gateway.core.decision import POLICY_ERROR, REDACTED_CODE, UNNAMED, Effect, policy_input, read_verdict
from gateway.core.fields import FieldRole
from gateway.core.obligations import NONE, Obligations
from gateway.core.outcome import Reason
from tests.core.calls import NOW, Call, seal
from tests.core.documents import acceptable, sealable


@pytest.mark.parametrize("effect", list(Effect))
def test_a_decision_document_is_read(effect: Effect) -> None:
    document: dict[str, Any] = {"effect": effect.value, "reasons": [{"code": "a.b", "message": "Since."}], "obligations": {}}
    verdict = read_verdict(document, str)
    assert (verdict.effect, verdict.reasons, verdict.cause) == (effect, (Reason("a.b", "Since."),), None)


def test_a_known_obligation_is_kept() -> None:
    verdict = read_verdict({"effect": "ask", "reasons": [], "obligations": {"approver": "user:bob"}}, str)
    assert verdict.obligations == Obligations(approver="user:bob")


@pytest.mark.parametrize(
    "document",
    [
        None,
        True,
        "allow",
        [],
        {},
        {"effect": "allow"},
        {"reasons": []},
        {"effect": "Allow", "reasons": []},
        {"effect": "permit", "reasons": []},
        {"effect": None, "reasons": []},
        {"effect": ["allow"], "reasons": []},
        {"effect": {"allow": True}, "reasons": []},
        {"effect": "allow", "reasons": None},
        {"effect": "allow", "reasons": 5},
        {"effect": "allow", "reasons": ["because"]},
        {"effect": "allow", "reasons": {"code": "x", "message": "y"}},
        {"effect": "allow", "reasons": [{"code": "x"}]},
        {"effect": "allow", "reasons": [], "obligations": {"log_more": True}},
        {"effect": "ask", "reasons": [], "obligations": {"approver": "user:bob", "second": 1}},
        {"effect": "allow", "reasons": [], "obligations": None},
        {"effect": "allow", "reasons": [], "obligations": []},
        {"effect": "allow", "reasons": [], "obligations": ""},
        {"effect": "allow", "reasons": [], "obligations": [["approver", "user:bob"]]},
        {"effect": "allow", "reasons": [], "obligations": [[1, 2], ["a", 3]]},
        {"effect": "ask", "reasons": [], "obligations": {"approver": 5}},
        {"effect": "ask", "reasons": [], "obligations": {"approver": None}},
        {"effect": "ask", "reasons": [], "obligations": {"approver": ["user:bob"]}},
        *(
            {"effect": "ask", "reasons": [], "obligations": {"approver": name}}
            for name in ("", "bob", "user:", "user:b b", "x:b")
        ),
        *(
            {"effect": "deny", "reasons": [{"code": code, "message": "No."}]}
            for code in ("", "No", "no!", "a b", "a\n", "x" * 65)
        ),
        *({"effect": "deny", "reasons": [{"code": code, "message": "No."}]} for code in (None, 5, ["no"], "n\u00e9")),
        {"effect": "deny", "reasons": [{"code": "no", "message": None}]},
        {"effect": "deny", "reasons": [{"code": "no", "message": ["No."]}]},
    ],
)
def test_anything_else_is_a_deny_with_its_cause_for_the_operator(document: Any) -> None:
    verdict = read_verdict(document, str)
    assert (verdict.effect, verdict.reasons) == (Effect.DENY, (POLICY_ERROR,))
    assert verdict.cause


def test_a_cause_quotes_no_effect_since_a_policy_may_have_taken_it_from_an_argument() -> None:
    for effect in ("hunter22", ["hunter22"], {"hunter22": 1}):
        assert "hunter22" not in str(read_verdict({"effect": effect, "reasons": []}, str).cause)


def without_hunter(text: str) -> str:
    return text.replace("hunter22", "[redacted]")


@pytest.mark.parametrize("effect", [Effect.ALLOW, Effect.DENY])
def test_what_must_not_be_stored_is_taken_out_of_codes_and_messages(effect: Effect) -> None:
    reasons = [{"code": "no.hunter22", "message": "No hunter22."}, {"code": "no", "message": "No."}]
    verdict = read_verdict({"effect": effect.value, "reasons": reasons}, without_hunter)
    assert verdict.effect is effect
    assert verdict.reasons == (Reason(REDACTED_CODE, "No [redacted]."), Reason("no", "No."))


def test_nobody_is_asked_for_a_reason_whose_code_must_not_be_told() -> None:
    """Two such reasons would look the same, and a yes to one would be one to the other."""
    reasons = [{"code": "no", "message": "No."}, {"code": "no.hunter22", "message": "No."}]
    verdict = read_verdict({"effect": "ask", "reasons": reasons}, without_hunter)
    assert (verdict.effect, verdict.reasons) == (Effect.DENY, (UNNAMED,))
    assert "hunter22" not in str(verdict)
    quoted = read_verdict({"effect": "ask", "reasons": [{"code": "no", "message": "No hunter22."}]}, without_hunter)
    assert (quoted.effect, quoted.reasons) == (Effect.ASK, (Reason("no", "No [redacted]."),))


@pytest.mark.parametrize("obligations", [{"approver": "user:hunter22"}, {"hunter22": True}, {"approver": ["hunter22"]}])
def test_an_obligation_that_quotes_what_must_not_be_stored_is_no_decision(obligations: dict[str, Any]) -> None:
    verdict = read_verdict({"effect": "ask", "reasons": [], "obligations": obligations}, without_hunter)
    assert (verdict.effect, verdict.reasons, verdict.obligations) == (Effect.DENY, (POLICY_ERROR,), NONE)
    assert "hunter22" not in str(verdict.cause)


def test_a_deny_stays_a_deny_whatever_obligations_it_carries() -> None:
    verdict = read_verdict({"effect": "deny", "reasons": [{"code": "no", "message": "No."}], "obligations": {"x": 1}}, str)
    assert (verdict.effect, verdict.reasons[0].code) == (Effect.DENY, "no")
    assert verdict.obligations == NONE


@given(acceptable)
def test_no_document_makes_reading_fail(document: Any) -> None:
    for told in (
        document,
        {"effect": "allow", "reasons": [], "obligations": document},
        {"effect": "ask", "reasons": document},
    ):
        verdict = read_verdict(told, str)
        assert verdict.effect is Effect.DENY or not verdict.obligations.names or not verdict.reasons


@given(sealable)
def test_policy_sees_the_very_arguments_that_were_digested(value: Any) -> None:
    call = seal(Call(arguments={"text": value}))
    seen = policy_input(call, Circumstances(recent_calls=3), dev=False, now=NOW)
    assert b'"arguments":' + call.arguments in seen
    assert orjson.loads(seen)["context"]["recent_calls"] == 3


def test_policy_sees_the_declared_fields_by_role() -> None:
    call = replace(seal(Call()), fields={FieldRole.RECIPIENT: ["bob@example.com"], FieldRole.AMOUNT: [2.5]})
    seen = orjson.loads(policy_input(call, Circumstances(), dev=False, now=NOW))
    assert seen["context"]["fields"] == {"recipient": ["bob@example.com"], "amount": [2.5]}


@pytest.mark.parametrize(
    ("compensated", "told"),
    [
        (
            Compensated("e-1", "mail__send", "hmac-sha256:00"),
            {"envelope_id": "e-1", "capability_id": "mail__send", "call_digest": "hmac-sha256:00"},
        ),
        (Compensated("e-1"), {"envelope_id": "e-1"}),
    ],
)
def test_policy_sees_which_call_is_undone_as_one_more_member(compensated: Compensated, told: dict[str, str]) -> None:
    call = seal(Call())
    seen, without = (
        orjson.loads(policy_input(call, Circumstances(0, one), dev=False, now=NOW)) for one in (compensated, None)
    )
    assert seen["context"].pop("compensates") == told
    assert seen == without
    assert without["context"].keys() == {
        "arguments",
        "fields",
        "idempotency",
        "run",
        "recent_calls",
        "provenance",
        "intent",
        "cited",
        "dev",
        "time",
    }
