"""Sealing: the call digest says what runs, and only that; the reservation says where its effect is counted."""

import json
from base64 import b64encode, urlsafe_b64decode
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given

from gateway.core.call import MAX_COMMITMENTS, Sealer, ToolRequest
from gateway.core.canonical import canonical
from gateway.core.capability import ApprovalMode, IdempotencyRule
from gateway.core.commitment import CommitmentKey
from gateway.core.entry import Kind, Record, seal_entry
from gateway.core.envelope import Refusal, call_envelope, refusal_envelope
from gateway.core.outcome import Reason
from gateway.core.run_context import Principal, PrincipalKind
from tests.core.calls import (
    ALICE,
    ALLOW,
    ASSISTANT,
    KEY,
    LATER,
    Call,
    capability,
    envelope_id,
    person,
    request_of,
    run_of,
    seal,
)
from tests.core.documents import any_text, documents, plain_scalars, sealable

BASE = Call()
BOB = Principal(PrincipalKind.USER, "bob")


def test_a_retry_has_the_same_digests() -> None:
    retry = BASE.but(envelope=2, trace_id="f" * 32, requested_at=LATER)
    first, again = seal(BASE), seal(retry)
    assert first.envelope_id != again.envelope_id
    assert (first.call_digest, first.fingerprint, first.idempotency) == (
        again.call_digest,
        again.fingerprint,
        again.idempotency,
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"arguments": {"text": "hello!"}},
        {"arguments": {"texT": "hello"}},
        {"arguments": {"text": "hello", "cc": None}},
        {"arguments": {"text": ["hello"]}},
        {"tool": "sent"},
        {"description": "Send it!"},
        {"tenant": "acme2"},
        {"principal": BOB},
        {"actors": ()},
        {"actors": (ASSISTANT, ASSISTANT)},
        {"key": "key-2"},
        {"key": None},
    ],
)
def test_each_part_that_is_covered_changes_the_call_digest(changed: dict[str, Any]) -> None:
    assert seal(BASE.but(**changed)).call_digest != seal(BASE).call_digest


def test_another_commitment_key_changes_every_digest() -> None:
    one, other = seal(BASE), seal(BASE, key=bytes(32))
    assert one.call_digest != other.call_digest
    assert one.fingerprint != other.fingerprint
    assert one.idempotency is not None
    assert other.idempotency is not None
    assert one.idempotency.reservation != other.idempotency.reservation
    assert one.idempotency.commitment != other.idempotency.commitment


def reservation(call: Call) -> str:
    key = seal(call).idempotency
    assert key is not None
    return key.reservation


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "acme2"},
        {"principal": BOB},
        {"actors": ()},
        {"tool": "sent"},
        {"key": "key-2"},
        {"key": None},
        {"key": "key-1 "},
    ],
)
def test_a_clients_key_is_counted_per_tenant_caller_capability_and_key(changed: dict[str, Any]) -> None:
    assert reservation(BASE.but(**changed)) != reservation(BASE)


@pytest.mark.parametrize("same", [{"arguments": {"text": "else"}}, {"run_id": "run-9"}])
def test_a_clients_key_stands_for_itself_whatever_comes_under_it(same: dict[str, Any]) -> None:
    assert reservation(BASE.but(**same)) == reservation(BASE)


DERIVED = BASE.but(key=None)


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": "acme2"},
        {"principal": BOB},
        {"tool": "sent"},
        {"arguments": {"text": "else"}},
        {"run_id": "run-1"},
    ],
)
def test_a_derived_key_is_counted_per_run_and_arguments_too(changed: dict[str, Any]) -> None:
    assert reservation(DERIVED.but(**changed)) != reservation(DERIVED)
    assert reservation(DERIVED.but(run_id="run-1")) != reservation(DERIVED.but(run_id="run-2"))


def test_a_derived_key_lasts_two_minutes_or_a_day_within_a_run() -> None:
    alone, within = seal(DERIVED).idempotency, seal(DERIVED.but(run_id="run-1")).idempotency
    assert alone is not None
    assert within is not None
    assert (alone.derived, alone.scope, alone.window_seconds) == (True, "principal", 120)
    assert (within.derived, within.scope, within.window_seconds) == (True, "run", 86_400)
    given_key = seal(BASE).idempotency
    assert given_key is not None
    assert (given_key.derived, given_key.scope, given_key.window_seconds) == (False, "client", None)


def test_a_tool_that_requires_a_key_is_not_called_without_one() -> None:
    refused = seal_or_reasons(DERIVED.but(rule=IdempotencyRule.REQUIRED))
    assert isinstance(refused, tuple)
    assert refused[0].code == "idempotency.key_required"
    assert seal(BASE.but(rule=IdempotencyRule.REQUIRED)).idempotency is not None


@pytest.mark.parametrize("mode", list(ApprovalMode))
def test_only_a_read_may_go_without_a_key(mode: ApprovalMode) -> None:
    call = seal(DERIVED.but(rule=IdempotencyRule.NONE, mode=mode))
    assert (call.idempotency is None) is (mode is ApprovalMode.READ_ONLY)


def seal_or_reasons(call: Call) -> Any:
    return Sealer(CommitmentKey(KEY), bytes).seal(run_of(call), capability(call), request_of(call))


@given(documents(plain_scalars).filter(lambda document: isinstance(document, dict)))
def test_the_arguments_are_canonical_bytes_of_what_was_sent(arguments: dict[str, Any]) -> None:
    call = seal(BASE.but(arguments=arguments))
    assert call.arguments == canonical(arguments)
    assert orjson.loads(call.arguments) == arguments


@given(sealable)
def test_every_argument_has_its_commitment_and_each_call_its_own_salts(value: Any) -> None:
    drawn: list[bytes] = []

    def random(size: int) -> bytes:
        drawn.append(len(drawn).to_bytes(size, "big"))
        return drawn[-1]

    call = seal(BASE.but(arguments={"b": value, "a": value}), random=random)
    assert [disclosure.name for disclosure in call.disclosures] == ["a", "b"]
    assert len({disclosure.digest for disclosure in call.disclosures}) == 2
    assert [len(salt) for salt in drawn] == [16, 16]


@pytest.mark.parametrize("arguments", [{"n": 2**53}, {"n": float("nan")}, {"t": ["\ud800"]}])
def test_arguments_without_a_canonical_form_are_refused(arguments: dict[str, Any]) -> None:
    refused = seal_or_reasons(BASE.but(arguments=arguments))
    assert isinstance(refused, tuple)
    assert {reason.code for reason in refused} == {"arguments.invalid"}


@pytest.mark.parametrize(
    "arguments",
    [
        {f"name-{number}": number for number in range(MAX_COMMITMENTS + 1)},
        {f"name-{number}": number for number in range(5_000)},
        {"n" * 60_000: 1},
        {"\x01" * 10_000: 1},
        {"\U0001f600" * 15_000: 1},
        {f"{number}" * 1_000: 1 for number in range(50)},
    ],
)
def test_whatever_the_arguments_are_called_the_envelope_fits_an_entry(arguments: dict[str, Any]) -> None:
    call = seal(BASE.but(arguments=arguments, declares=tuple(arguments)))
    assert [disclosure.name for disclosure in call.disclosures] == ["*"]
    refusal = Refusal(call.run, request_of(BASE), (Reason("no", "no"),), call.capability, call, ALLOW)
    for body in (call_envelope(call, ALLOW), refusal_envelope(refusal)):
        entry = seal_entry(Record(Kind.INTENT, call.envelope_id, LATER, body), 0, person("x").signer, dev=False)
        assert len(entry.data) <= 65_535  # C2SP tlog-tiles


def test_a_name_that_the_schema_does_not_declare_stays_out_of_the_envelope() -> None:
    call = seal(BASE.but(arguments={"text": "hello", "canary-name": 1}))
    assert [disclosure.name for disclosure in call.disclosures] == ["*"]
    assert "canary-name" not in json.dumps(call_envelope(call, ALLOW))


def test_as_many_arguments_as_fit_have_a_commitment_each() -> None:
    arguments = {f"name-{number}": number for number in range(MAX_COMMITMENTS)}
    call = seal(BASE.but(arguments=arguments, declares=tuple(arguments)))
    assert len(call.disclosures) == MAX_COMMITMENTS


CANARIES = {"text": "canary-secret-text", "amount": 987654321, "nested": {"inner": ["canary-inner"]}}


def test_no_raw_argument_value_is_in_the_envelope() -> None:
    call = seal(BASE.but(arguments=CANARIES, key="canary-key"))
    refusal = Refusal(call.run, replace(request_of(BASE), arguments=CANARIES), (Reason("no", "canary-secret-text"),))
    decided = replace(refusal, capability=call.capability, call=call, decision=ALLOW)
    for document in (call_envelope(call, ALLOW), refusal_envelope(refusal), refusal_envelope(decided)):
        written = json.dumps(document)
        for canary in ("canary-secret-text", "987654321", "canary-inner", "canary-key"):
            assert canary not in written
            assert b64encode(canary.encode()).decode().rstrip("=") not in written


def requested(name: str) -> str:
    request = ToolRequest(envelope_id(1), name, {}, None, LATER)
    entered = refusal_envelope(Refusal(run_of(BASE), request, (Reason("tool.unknown", "no"),)))
    return str(entered["call"]["requested_name"])


@given(any_text)
def test_a_name_some_client_made_up_enters_the_log_only_in_the_form_of_a_tools_name(name: str) -> None:
    said = name * 40
    assert requested(said) in (said, "[not a tool name]")
    assert requested(f"{said} {said}") == requested("") == requested("x" * 129) == "[not a tool name]"


@pytest.mark.parametrize("name", ["mail__send", "a.b/c-d", "x" * 128])
def test_a_tools_name_enters_the_log_as_it_is(name: str) -> None:
    assert requested(name) == name


def test_the_subject_is_the_principal_within_the_tenant() -> None:
    assert seal(BASE).subject == f"acme/{ALICE}"


@pytest.mark.parametrize("number", [9007199254740992.0, -1e20, 9.99e20])
def test_a_float_that_would_be_written_as_an_inexact_integer_is_refused(number: float) -> None:
    call = BASE.but(arguments={"deep": [{"text": number}]})
    refused = Sealer(CommitmentKey(KEY), bytes).seal(run_of(call), capability(call), request_of(call))
    assert isinstance(refused, tuple)
    assert [reason.code for reason in refused] == ["arguments.invalid"]


@given(any_text, sealable)
def test_the_commitment_to_a_single_argument_is_to_its_canonical_value(name: str, value: Any) -> None:
    call = seal(BASE.but(arguments={name: value}, declares=(name,)))
    (disclosure,) = call.disclosures
    encoded = disclosure.encoded
    opened = urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    assert opened.endswith(b"," + canonical(value) + b"]")
    assert orjson.loads(opened)[1] == disclosure.name == name
