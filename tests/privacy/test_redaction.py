"""What is stored of a sealed call and of its result: secrets are gone, commitments are to the true values."""

import hashlib
import json
import os
import random
from base64 import urlsafe_b64encode
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.core.answer import Answer, SignedAnswer
from gateway.core.approval import Approved, Grant, NotGranted
from gateway.core.call import SealedCall, Sealer, ToolRequest
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.commitment import CommitmentKey, Disclosure, Kept, read_kept
from gateway.core.envelope import Refusal, call_envelope, refusal_envelope
from gateway.core.hidden import MAX_PLACES, hidden_values
from gateway.core.outcome import Reason
from gateway.core.redaction import MARK, MAX_REPEATED, Redaction, redacted_text
from gateway.core.schema import ArgumentSchema
from tests.core.calls import ALLOW, ASK, Call, ask_for, capability, envelope_id, request_of, run_of, seal

TOKEN = "ghp_" + "a1B2" * 9
SENSITIVE = {"x-sealgate-sensitive": True}
INPUT = {"type": "object", "properties": {"user": {}, "password": SENSITIVE, "more": {"properties": {"pin": SENSITIVE}}}}
OUTPUT = {"type": "object", "properties": {"name": {}, "ssn": SENSITIVE}}
SEALER = Sealer(CommitmentKey(bytes(32)), os.urandom)


def sealed(arguments: dict[str, Any], output: dict[str, Any] | None = None) -> SealedCall:
    """A call of a tool with these schemas."""
    document = {"name": "login", "inputSchema": INPUT, **({} if output is None else {"outputSchema": output})}
    told = Classification(ApprovalMode.LOCAL_WRITE, TrustLevel.UNTRUSTED, "desk", IdempotencyRule.DERIVED)
    tool = Capability(ToolDefinition.from_document("desk", document), told, ArgumentSchema(INPUT))
    call = SEALER.seal(run_of(Call()), tool, ToolRequest(envelope_id(1), "desk__login", arguments, "k", Call().requested_at))
    assert isinstance(call, SealedCall), call
    return call


def kept(disclosures: tuple[Disclosure, ...]) -> dict[str, Kept]:
    return {one.name: one for one in (read_kept(disclosure.to_keep()) for disclosure in disclosures)}


def commits_to(disclosure: Disclosure, value: Any) -> bool:
    """Whether the commitment is to this value: its disclosure says it, and its digest is the commitment."""
    digest = urlsafe_b64encode(hashlib.sha256(disclosure.encoded.encode()).digest()).decode().rstrip("=")
    return digest == disclosure.digest and read_kept(disclosure.encoded.encode()).value == value


def test_the_arguments_that_run_are_the_ones_that_came() -> None:
    arguments = {"user": f"alice {TOKEN}", "password": "hunter22", "more": {"pin": 4821, "x": 1}}
    call = sealed(arguments)
    assert orjson.loads(call.arguments) == arguments
    assert orjson.loads(call.shown_arguments) == {
        "user": "alice [redacted: github-token]",
        "password": MARK,
        "more": {"pin": MARK, "x": 1},
    }


def test_commitments_are_to_the_true_values_and_only_redacted_copies_are_kept() -> None:
    arguments = {"user": f"alice {TOKEN}", "password": "hunter22", "more": {"pin": 4821, "x": 1}}
    call = sealed(arguments)
    assert all(commits_to(disclosure, arguments[disclosure.name]) for disclosure in call.disclosures)
    stored = kept(call.disclosures)
    assert stored["user"] == Kept("user", "alice [redacted: github-token]", None, ("github-token",))
    assert stored["password"] == Kept("password", MARK, None, ("sensitive",))
    assert stored["more"] == Kept("more", {"pin": MARK, "x": 1}, None, ("sensitive",))
    for disclosure in call.disclosures:
        assert disclosure.encoded.encode() not in disclosure.to_keep()


def test_arguments_without_secrets_keep_their_disclosures() -> None:
    call = sealed({"user": "alice", "more": {"x": 1}})
    assert call.shown_arguments == call.arguments
    assert [disclosure.to_keep().decode() for disclosure in call.disclosures] == [
        disclosure.encoded for disclosure in call.disclosures
    ]


def test_one_commitment_for_all_is_redacted_as_a_whole() -> None:
    call = seal(Call(arguments={"text": "hello", TOKEN: "named by data"}), random=os.urandom)
    (disclosure,) = call.disclosures
    assert disclosure.name == "*"
    assert read_kept(disclosure.to_keep()).value == {"text": "hello", "[redacted: github-token]": "named by data"}


def test_names_that_are_redacted_to_the_same_stay_apart() -> None:
    call = seal(Call(arguments={TOKEN: 1, TOKEN[::-1].replace("_phg", "") + TOKEN: 2, "x" + TOKEN: 3}), random=os.urandom)
    assert sorted(orjson.loads(call.shown_arguments).values()) == [1, 2, 3]


def test_a_name_that_looks_like_a_numbered_one_stays_apart_too() -> None:
    mark = "[redacted: github-token]"
    names = [f"{mark} 2", *("ghp_" + f"{number}" * 36 for number in range(5)), f"{mark} 3", f"{mark} 2 2"]
    call = seal(Call(arguments={name: number for number, name in enumerate(names)}), random=os.urandom)
    assert sorted(orjson.loads(call.shown_arguments).values()) == list(range(len(names)))


def test_digests_do_not_depend_on_redaction() -> None:
    """A retry must be recognised: digest, fingerprint and key are those of the true arguments."""
    one, other = sealed({"password": "hunter22"}), sealed({"password": "hunter23"})
    assert one.shown_arguments == other.shown_arguments
    assert one.call_digest != other.call_digest
    assert one.fingerprint != other.fingerprint


def stored_result(call: SealedCall, result: dict[str, Any]) -> Kept:
    disclosure = SEALER.disclose_result(call, result)
    assert commits_to(disclosure, result)
    return read_kept(disclosure.to_keep())


def text(value: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": value}]}


def test_a_result_is_stored_without_secrets_of_known_formats() -> None:
    stored = stored_result(sealed({"user": "alice"}), text(f"your token is {TOKEN}"))
    assert stored.value == text("your token is [redacted: github-token]")
    assert stored.redacted == ("github-token",)


def test_a_result_that_repeats_sensitive_arguments_is_stored_without_them() -> None:
    call = sealed({"user": "alice", "password": 'p"w\\d\n', "more": {"pin": 4821}})
    said = {
        "content": [{"type": "text", "text": json.dumps({"p": 'p"w\\d\n', "n": 4821})}],
        "structuredContent": {"n": 4821},
    }
    stored = stored_result(call, said)
    assert "4821" not in json.dumps(stored.value)
    assert "w\\" not in json.dumps(stored.value)
    assert stored.value["structuredContent"] == {"n": MARK}
    assert stored.redacted == ("sensitive",)


def test_a_short_sensitive_value_is_taken_out_where_it_is_a_whole_value_and_nowhere_else() -> None:
    call = sealed({"user": "alice", "password": 'n"o', "more": {"pin": 42}})
    inner = {"pin": 42, "pins": [42, 420], "said": "42", "text": 'room 42, n"o', "42": 'n"o'}
    hidden = {"pin": MARK, "pins": [MARK, 420], "said": MARK, "text": 'room 42, n"o', "42": MARK}
    for written in (json.dumps(inner), json.dumps(inner, separators=(",", ":")), json.dumps(inner, indent=2)):
        stored = stored_result(call, {**text(written), "structuredContent": {"inner": inner, "n": 4.2, "ok": True}})
        assert stored.value["structuredContent"] == {"inner": hidden, "n": 4.2, "ok": True}
        assert json.loads(stored.value["content"][0]["text"]) == hidden
        assert stored.redacted == ("sensitive",)
    escaped = stored_result(call, text(json.dumps({"body": json.dumps({"said": "42"})})))
    assert json.loads(json.loads(escaped.value["content"][0]["text"])["body"]) == {"said": MARK}
    assert stored_result(call, text(" 42\n")).value == text(MARK)
    for nothing in ("there are 42 rooms at 10:42", "a42b", "", "42nd", "say no"):
        assert stored_result(call, text(nothing)).redacted == ()
    assert stored_result(sealed({"password": ""}), text("")).redacted == ()


def test_a_policys_sentence_that_quotes_a_short_sensitive_value_is_shown_without_it() -> None:
    call = sealed({"more": {"pin": 42}})
    assert call.told('{"pin": 42, "of": 420}') == f'{{"pin": "{MARK}", "of": 420}}'
    assert call.told("42 is refused") == "42 is refused"


def test_a_sensitive_value_that_stands_in_the_mark_itself_is_replaced_once() -> None:
    """Else each value would be found again in what stands for the one before, and the text would double every time."""
    parts = sorted({MARK[start:end] for start in range(len(MARK)) for end in range(start + 4, len(MARK) + 1)}, key=len)
    values = random.Random(7).sample(parts, MAX_REPEATED)
    said = "sensitive and redacted, " * 10
    call = sealed({"password": values})
    assert len(call.repeated) == MAX_REPEATED
    assert len(stored_result(call, text(said)).value["content"][0]["text"]) <= len(said) * len(MARK)
    spread = redacted_text(MARK, tuple(sorted(values, key=len, reverse=True)))
    assert len(spread) <= len(MARK) * len(MARK)


def test_a_told_result_is_hidden_where_it_may_repeat_what_is_not_there_any_more() -> None:
    plain_tool, result = capability(Call()).definition.document, text("the password is hunter22")
    marked = {"inputSchema": {"type": "object", "properties": {"password": SENSITIVE}}}
    for definition, stored in ((plain_tool, result), (marked, text(MARK)), (None, text(MARK))):
        disclosure = SEALER.disclose_told_result(definition, result).disclosure
        assert commits_to(disclosure, result)
        assert read_kept(disclosure.to_keep()).value == stored


def test_too_many_sensitive_values_hide_the_whole_result() -> None:
    call = sealed({"password": [f"secret-{number}" for number in range(MAX_REPEATED + 1)]})
    assert stored_result(call, text("nothing of it")).value == text(MARK)


def test_of_a_result_with_a_marked_schema_only_the_structured_content_is_kept() -> None:
    person = {"name": "Ann", "ssn": "078-05-1120"}
    said = {
        "content": [{"type": "text", "text": "Ann, 078 05 1120"}],
        "structuredContent": person,
        "_meta": {"x": "078051120"},
    }
    stored = stored_result(sealed({}, OUTPUT), said)
    assert stored.value == {
        **text(json.dumps({"name": "Ann", "ssn": MARK}, separators=(",", ":"))),
        "structuredContent": {"name": "Ann", "ssn": MARK},
    }
    assert stored_result(sealed({}, OUTPUT), {**text("no ssn 078"), "isError": True}).value == {
        **text(MARK),
        "isError": True,
    }


def test_what_a_client_says_in_clear_enters_the_log_without_secrets() -> None:
    call = seal(Call(), random=os.urandom)
    call = replace(call, run=replace(call.run, tracestate=f"a={TOKEN}"))
    entered = call_envelope(call, ALLOW)
    assert entered["tracestate"] == "a=[redacted: github-token]"
    assert TOKEN not in json.dumps(entered)


def test_no_run_has_an_id_that_holds_a_secret() -> None:
    """It stands in entries about the run's calls and in those about its approvals, as it is: they must be the same."""
    with pytest.raises(ValueError, match="secret"):
        replace(run_of(Call()), run_id=f"run {TOKEN}")


def test_the_name_of_an_unknown_tool_enters_the_log_without_secrets() -> None:
    request = request_of(Call())
    asked = ToolRequest(request.envelope_id, f"box__{TOKEN}", {}, None, request.requested_at)
    entered = refusal_envelope(Refusal(run_of(Call()), asked, ()))
    assert entered["call"]["requested_name"] == "box__[redacted: github-token]"


def test_policys_sentences_are_shown_to_approvers_without_secrets_and_sensitive_values() -> None:
    call = sealed({"password": "hunter22"})
    spoken = replace(ASK, reasons=(Reason("odd", f"The password hunter22 and {TOKEN} look odd."),))
    (reason,) = ask_for(call, spoken).reasons
    assert reason.message == f"The password {MARK} and [redacted: github-token] look odd."


def test_what_marks_hide_is_told_by_place_length_and_a_digest_bound_to_the_call() -> None:
    arguments = {"user": "alice", "password": "hunter22", "more": {"pin": 4821}}
    call, again, other = sealed(arguments), sealed(arguments), sealed({**arguments, "user": "bob"})
    assert [(one.pointer, one.characters) for one in call.hidden] == [("/password", 8), ("/more/pin", 4)]
    assert call.hidden == again.hidden
    assert len({one.digest for one in (*call.hidden, *other.hidden)}) == 4
    assert call.secrets == ()


def test_many_hidden_values_are_told_as_one() -> None:
    marked = {"type": "object", "properties": {"all": {"items": SENSITIVE}}}
    redaction = Redaction.of_definition({"inputSchema": marked})
    places = redaction.hidden_places({"all": ["abc"] * (MAX_PLACES + 1)})
    assert places[-1] == (f"/all/{MAX_PLACES}", "abc")
    (told,) = hidden_values(places, CommitmentKey(bytes(32)), "hmac-sha256:00")
    assert (told.pointer, told.characters) == ("", 3 * (MAX_PLACES + 1))


def test_what_hides_by_its_form_is_told_by_its_kind_and_no_grant_can_be_made_for_it() -> None:
    call = sealed({"user": f"alice {TOKEN}", "password": "hunter22"})
    assert call.secrets == ("github-token",)
    request = ask_for(call)
    yes = SignedAnswer(request.approval_id, Answer.APPROVE, "user:bob", "k", "", {})
    with pytest.raises(NotGranted):
        Grant(call, ASK, Approved(request, (yes,)))
    plain_call = sealed({"user": "alice", "password": "hunter22"})
    assert Grant(plain_call, ASK, Approved(ask_for(plain_call), (yes,))).approved is not None
