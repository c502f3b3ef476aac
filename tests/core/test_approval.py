"""Approvals: an answer counts only as signed, for this request, once, in time and by the right person; and no Grant
comes from anything else."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.answer import Answer, SignedAnswer, answer_payload
from gateway.core.approval import ApprovalRequest, ApprovalState, Approved, Grant, NotGranted, check_answer
from gateway.core.call import Compensated
from gateway.core.capability import ApprovalMode
from gateway.core.decision import Effect
from gateway.core.obligations import ApproveFor, Route
from gateway.core.outcome import Reason
from tests.core.calls import (
    ALICE,
    ALLOW,
    ASK,
    ASSISTANT,
    DENY,
    LATER,
    MUCH_LATER,
    NOW,
    Call,
    Person,
    ask_for,
    decide,
    envelope_id,
    person,
    seal,
    signed_answer,
)

CALL = seal(Call())
REQUEST = ask_for(CALL)
BOB, CAROL = person("user:bob"), person("user:carol")
INSTEAD = replace(REQUEST, approval_id="approval-2", call_digest="hmac-sha256:00", modified_from=REQUEST.approval_id)


def check(
    envelope: dict[str, Any],
    *,
    request: ApprovalRequest = REQUEST,
    state: ApprovalState = ApprovalState.PENDING,
    people: tuple[Person, ...] = (BOB, CAROL),
    now: str = NOW,
    offered: ApprovalRequest | None = INSTEAD,
) -> SignedAnswer | Reason:
    known = {one.signer.keyid: one.approver for one in people}
    return check_answer(request, state, envelope, known, now, offered=offered)


def answered(answer: Answer, comment: str) -> dict[str, Any]:
    """Bob's answer to the request; where it is to change the call, into the one that the gateway offered."""
    return BOB.sign(REQUEST, answer, comment, into=INSTEAD if answer is Answer.MODIFY else None)


def refused(envelope: dict[str, Any], **how: Any) -> str:
    """The code under which an answer does not count."""
    reason = check(envelope, **how)
    assert isinstance(reason, Reason), reason
    return reason.code


@pytest.mark.parametrize("answer", list(Answer))
def test_a_registered_approvers_answer_counts(answer: Answer) -> None:
    envelope = answered(answer, "looks fine")
    into = "approval-2" if answer is Answer.MODIFY else None
    signed = SignedAnswer("approval-1", answer, "user:bob", BOB.signer.keyid, "looks fine", envelope, modified_into=into)
    assert check(envelope) == signed


def test_a_change_is_only_into_what_the_gateway_offered_for_this_request() -> None:
    envelope = answered(Answer.MODIFY, "")
    assert refused(envelope, offered=None) == "approval.not_offered"
    assert refused(envelope, offered=replace(INSTEAD, modified_from="approval-3")) == "approval.not_offered"
    others = (
        replace(INSTEAD, call_digest="hmac-sha256:11"),
        replace(INSTEAD, expires_at="2999"),
        replace(INSTEAD, approval_id="approval-3"),
    )
    for other in others:
        assert refused(envelope, offered=other) == "approval.other_request"
    assert refused(BOB.sign(REQUEST, Answer.MODIFY)) == "approval.other_request"
    for answer in (Answer.APPROVE, Answer.REJECT):
        assert refused(BOB.sign(REQUEST, answer, into=INSTEAD)) == "approval.other_request"


def test_the_client_changes_no_call() -> None:
    gateway = person("service:gateway").signer
    attestors = {gateway.keyid: Ed25519PublicKey.from_public_bytes(gateway.public_key)}
    document, into = REQUEST.document(), INSTEAD.document()
    payload = answer_payload(document, Answer.MODIFY, str(ALICE), "", Route.ELICITATION, into=into)
    envelope, route = signed_answer(gateway, payload), Route.ELICITATION
    told = check_answer(REQUEST, ApprovalState.PENDING, envelope, {}, NOW, route=route, attestors=attestors, offered=INSTEAD)
    assert isinstance(told, Reason)
    assert told.code == "approval.route"


def test_a_yes_to_a_changed_call_reaches_no_other_and_is_reached_by_none() -> None:
    for_run = replace(REQUEST, approve_for=ApproveFor.RUN, run_id="run-1")
    changed = replace(for_run, modified_from="approval-0")
    assert for_run.reaches(CALL, for_run)
    assert not changed.reaches(CALL, for_run)
    assert not for_run.reaches(CALL, changed)


@pytest.mark.parametrize(("answer", "counts"), [(Answer.APPROVE, True), (Answer.REJECT, False)])
def test_only_a_yes_is_for_a_whole_run(answer: Answer, counts: bool) -> None:
    for_run = replace(REQUEST, approve_for=ApproveFor.RUN, run_id="run-1")
    payload = answer_payload(for_run.document(), answer, "user:bob", "", reach=ApproveFor.RUN)
    told = check(signed_answer(BOB.signer, payload), request=for_run)
    assert told.reach is ApproveFor.RUN if isinstance(told, SignedAnswer) else told.code == "approval.reach"
    assert isinstance(told, SignedAnswer) is counts


def test_the_request_survives_storage() -> None:
    stored = orjson.loads(orjson.dumps(REQUEST.document()))
    assert ApprovalRequest.from_document(stored) == REQUEST
    assert REQUEST.call_digest == CALL.call_digest
    assert REQUEST.expires_at == LATER


def test_an_answer_by_an_unknown_key_does_not_count() -> None:
    assert refused(person("user:bob").sign(REQUEST)) == "approval.signature"
    assert refused(BOB.sign(REQUEST), people=(CAROL,)) == "approval.signature"


def test_an_answer_that_was_changed_after_signing_does_not_count() -> None:
    envelope = BOB.sign(REQUEST, Answer.REJECT)
    forged = {**envelope, "payload": BOB.sign(REQUEST, Answer.APPROVE)["payload"]}
    assert refused(forged) == "approval.signature"


def test_an_answer_in_the_name_of_another_does_not_count() -> None:
    payload = answer_payload(REQUEST.document(), Answer.APPROVE, "user:carol", "")
    assert refused(signed_answer(BOB.signer, payload)) == "approval.other_request"


CHANGED: list[dict[str, Any]] = [
    {"approval_id": "approval-2"},
    {"call_digest": seal(Call(arguments={"text": "hello!"})).call_digest},
    {"capability_id": "mail__other"},
    {"definition_digest": "sha256:0"},
    {"mode": "read_only"},
    {"tenant_id": "other"},
    {"principal_chain": (str(ALICE),)},
    {"policy_revision": "policy-2"},
    {"required_approver": "user:bob"},
    {"reasons": ()},
    {"requested_at": LATER},
    {"expires_at": MUCH_LATER},
    {"advisory": True},
    {"envelope_id": "other"},
]


@pytest.mark.parametrize("changed", CHANGED)
def test_an_answer_to_another_request_does_not_count(changed: dict[str, Any]) -> None:
    assert refused(BOB.sign(replace(REQUEST, **changed))) == "approval.other_request"


@pytest.mark.parametrize("state", [state for state in ApprovalState if state is not ApprovalState.PENDING])
def test_a_second_answer_does_not_count(state: ApprovalState) -> None:
    assert refused(BOB.sign(REQUEST), state=state) == "approval.already_answered"


@pytest.mark.parametrize(("now", "code"), [(LATER, "approval.expired"), (MUCH_LATER, "approval.expired")])
def test_an_answer_that_comes_too_late_does_not_count(now: str, code: str) -> None:
    assert refused(BOB.sign(REQUEST), now=now) == code
    assert isinstance(check(BOB.sign(REQUEST), now="2026-11-22T10:09:59.999Z"), SignedAnswer)


def test_nobody_approves_a_call_they_act_in() -> None:
    alone = ask_for(seal(Call(actors=())))
    two = ask_for(seal(Call(actors=(ASSISTANT, replace(ASSISTANT, id="helper")))))
    acting = person(str(ASSISTANT))
    alice = person(str(ALICE))
    assert refused(acting.sign(REQUEST), people=(acting,)) == "approval.self"
    assert refused(acting.sign(two), request=two, people=(acting,)) == "approval.self"
    assert refused(alice.sign(alone), request=alone, people=(alice,)) == "approval.self"
    assert isinstance(check(alice.sign(REQUEST), people=(alice,)), SignedAnswer)


def test_only_the_approver_that_policy_names_counts() -> None:
    request = ask_for(CALL, decide(Effect.ASK, obligations={"approver": "user:carol"}))
    assert refused(BOB.sign(request), request=request) == "approval.wrong_approver"
    assert isinstance(check(CAROL.sign(request), request=request), SignedAnswer)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"{}",
        b"[]",
        b'"approve"',
        orjson.dumps({"answer": "maybe", "comment": ""}),
        orjson.dumps({"answer": ["approve"], "comment": ""}),
        orjson.dumps({"answer": "approve"}),
    ],
)
def test_a_signed_text_that_is_no_answer_does_not_count(payload: bytes) -> None:
    assert refused(signed_answer(BOB.signer, payload)) == "approval.malformed"


@pytest.mark.parametrize(
    "envelope",
    [{}, {"payload": "", "payloadType": "", "signatures": []}, {"signatures": [{"keyid": 1, "sig": "AA=="}]}],
)
def test_what_is_no_envelope_does_not_count(envelope: dict[str, Any]) -> None:
    assert refused(envelope) == "approval.signature"


def spoiled(envelope: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer with what nobody signed beside it."""
    (signature,) = envelope["signatures"]
    return [
        {**envelope, "note": "approved by the board"},
        {**envelope, "signatures": [{**signature, "name": "user:carol"}]},
        {**envelope, "signatures": [signature, {"keyid": "other", "sig": "AA=="}]},
        {**envelope, "signatures": [{**signature, "sig": signature["sig"][:-3] + "x=="}]},
        {**envelope, "signatures": {"0": signature}},
        {**envelope, "payload": envelope["payload"] + "A" * 20_000},
        {**envelope, "sshsig": ""},
    ]


@pytest.mark.parametrize("number", range(7))
def test_what_is_kept_as_an_approvers_word_holds_nothing_they_did_not_sign(number: int) -> None:
    assert refused(spoiled(BOB.sign(REQUEST))[number]) == "approval.signature"


COMMENTS = [
    "x" * 501,
    "two\nlines",
    "\x1b[2J",
    "a\u202eb",
    "a\u200bb",
    "a\u2800b",
    "a\u3164b",
    "a\ufe0fb",
    "a\u2028b",
    "a\x7f",
]


@pytest.mark.parametrize("comment", COMMENTS)
@pytest.mark.parametrize("answer", list(Answer))
def test_a_comment_is_one_short_line_that_can_be_seen(comment: str, answer: Answer) -> None:
    assert refused(answered(answer, comment)) == "approval.comment"
    assert isinstance(check(answered(answer, "gepr\u00fcft \u2014 \u78ba\u8a8d " + "x" * 400)), SignedAnswer)


# --- grants ---


def approved(request: ApprovalRequest = REQUEST, answer: Answer = Answer.APPROVE) -> Approved:
    signed = check(BOB.sign(request, answer), request=request)
    assert isinstance(signed, SignedAnswer)
    return Approved(request, (signed,))


def test_an_allowed_call_and_an_approved_call_are_granted() -> None:
    assert Grant(CALL, ALLOW).approved is None
    assert Grant(CALL, ASK, approved()).approved == approved()


def test_an_approval_grants_the_retry_of_its_call() -> None:
    retry = seal(Call(envelope=2))
    assert Grant(retry, ASK, approved()).call is retry


@pytest.mark.parametrize(
    ("decision", "given"),
    [
        (DENY, None),
        (DENY, approved()),
        (ASK, None),
        (ASK, approved(ask_for(seal(Call(arguments={"text": "hello!"}))))),
        (ASK, approved(ask_for(seal(Call(key="key-2"))))),
        (ASK, approved(ask_for(seal(Call(tool="other"))))),
        (ASK, approved(ask_for(CALL, decide(Effect.ASK, revision="policy-0")))),
        (decide(Effect.ASK, revision="policy-2"), approved()),
        (decide(Effect.ASK, because=("because", "flow.unknown_origin")), approved()),
        (decide(Effect.ASK, because=("another",)), approved()),
        (ALLOW, approved()),
    ],
)
def test_nothing_else_is_granted(decision: Any, given: Approved | None) -> None:
    with pytest.raises(NotGranted):
        Grant(CALL, decision, given)


def test_a_grant_cannot_be_changed_into_another() -> None:
    grant = Grant(CALL, ASK, approved())
    with pytest.raises(NotGranted):
        replace(grant, decision=DENY)
    with pytest.raises(NotGranted):
        replace(grant, call=seal(Call(arguments={"text": "else"})))
    with pytest.raises(AttributeError):
        grant.call = CALL  # type: ignore[misc]


def test_a_request_about_a_call_that_undoes_another_names_it_and_an_answer_is_bound_to_that() -> None:
    request = ask_for(seal(Call(compensates=envelope_id(7))))
    undone = {"envelope_id": envelope_id(7), "capability_id": "mail__send", "call_digest": "hmac-sha256:00"}
    assert request.document()["compensates"] == undone
    assert ApprovalRequest.from_document(orjson.loads(orjson.dumps(request.document()))) == request
    assert isinstance(check(BOB.sign(request), request=request), SignedAnswer)
    for other in (Compensated(envelope_id(8)), Compensated(envelope_id(7), "mail__read", "hmac-sha256:00"), None):
        assert refused(BOB.sign(replace(request, compensates=other)), request=request) == "approval.other_request"


def test_any_other_request_has_no_such_member() -> None:
    assert "compensates" not in REQUEST.document()
    assert ApprovalRequest.from_document(REQUEST.document()) == REQUEST


# --- tiers, routes, quorum ---


def of_mode(mode: ApprovalMode, **obligations: Any) -> ApprovalRequest:
    """A request about a call of that mode, under these obligations."""
    return ask_for(seal(Call(mode=mode)), decide(Effect.ASK, obligations=obligations))


GATEWAY = person("service:gateway")


def elicited(
    request: ApprovalRequest, *, by: Person = GATEWAY, approver: str | None = None, **how: Any
) -> SignedAnswer | Reason:
    """What becomes of a yes that the principal's client gave, as the gateway attests it."""
    said = approver or request.principal_chain[0]
    payload = answer_payload(request.document(), Answer.APPROVE, said, "", Route.ELICITATION)
    attestors = {GATEWAY.signer.keyid: GATEWAY.signer.public()}
    known = {BOB.signer.keyid: BOB.approver}
    envelope = signed_answer(by.signer, payload)
    return check_answer(
        request, ApprovalState.PENDING, envelope, known, NOW, route=Route.ELICITATION, attestors=attestors, **how
    )


def code(told: SignedAnswer | Reason) -> str:
    return told.code if isinstance(told, Reason) else "counts"


@pytest.mark.parametrize("mode", list(ApprovalMode))
def test_an_elicited_yes_counts_up_to_network_only(mode: ApprovalMode) -> None:
    own_key = mode in (ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE)
    told = elicited(of_mode(mode))
    assert code(told) == ("approval.route" if own_key else "counts")
    if isinstance(told, SignedAnswer):
        assert (told.approver, told.route, told.keyid) == (str(ALICE), Route.ELICITATION, GATEWAY.signer.keyid)


def test_an_elicited_yes_is_the_principals_and_the_gateways_word_for_it() -> None:
    request = of_mode(ApprovalMode.NETWORK)
    assert code(elicited(request, by=BOB)) == "approval.signature"
    assert code(elicited(request, approver="user:bob")) == "approval.other_request"
    alone = ask_for(seal(Call(mode=ApprovalMode.NETWORK, actors=())))
    assert code(elicited(alone)) == "approval.self"  # with no actor the principal acts


def test_the_gateways_key_approves_by_no_other_route() -> None:
    request = of_mode(ApprovalMode.NETWORK)
    payload = answer_payload(request.document(), Answer.APPROVE, str(ALICE), "", Route.ELICITATION)
    assert refused(signed_answer(GATEWAY.signer, payload), request=request) == "approval.signature"
    assert refused(signed_answer(BOB.signer, payload), request=request) == "approval.route"


def test_an_answer_counts_by_the_route_it_was_signed_for() -> None:
    payload = answer_payload(REQUEST.document(), Answer.APPROVE, "user:bob", "", Route.WEBHOOK)
    envelope = signed_answer(BOB.signer, payload)
    known = {BOB.signer.keyid: BOB.approver}
    assert refused(envelope) == "approval.route"
    told = check_answer(REQUEST, ApprovalState.PENDING, envelope, known, NOW, route=Route.WEBHOOK)
    assert isinstance(told, SignedAnswer)
    assert told.route is Route.WEBHOOK
    assert code(check_answer(REQUEST, ApprovalState.PENDING, BOB.sign(REQUEST), known, NOW, route=Route.WEBHOOK)) == (
        "approval.route"
    )


def test_a_route_that_policy_does_not_name_is_none() -> None:
    request = of_mode(ApprovalMode.NETWORK, routes=["webhook"])
    assert request.document()["routes"] == ["webhook"]
    assert refused(BOB.sign(request), request=request) == "approval.route"
    assert code(elicited(request)) == "approval.route"
    with_cli = of_mode(ApprovalMode.NETWORK, routes=["cli", "webhook"])
    assert isinstance(check(BOB.sign(with_cli), request=with_cli), SignedAnswer)


@pytest.mark.parametrize(
    "wanted", [{"approver": str(ALICE)}, {"quorum": {"count": 1}}, {"quorum": {"count": 1, "of": [str(ALICE)]}}]
)
def test_where_policy_wants_people_a_clients_word_counts_only_if_policy_says_so(wanted: dict[str, Any]) -> None:
    assert code(elicited(of_mode(ApprovalMode.NETWORK, **wanted))) == "approval.route"
    assert code(elicited(of_mode(ApprovalMode.NETWORK, **wanted, routes=["cli"]))) == "approval.route"
    assert code(elicited(of_mode(ApprovalMode.NETWORK, **wanted, routes=["elicitation"]))) == "counts"
    assert code(elicited(of_mode(ApprovalMode.DESTRUCTIVE, **wanted, routes=["cli", "elicitation"]))) == "approval.route"


def test_of_a_destructive_call_the_principal_is_no_approver_of_a_delegated_one_it_is() -> None:
    alice = person(str(ALICE))
    destructive, delegated = of_mode(ApprovalMode.DESTRUCTIVE), of_mode(ApprovalMode.DELEGATED)
    assert refused(alice.sign(destructive), request=destructive, people=(alice,)) == "approval.self"
    assert isinstance(check(BOB.sign(destructive), request=destructive), SignedAnswer)
    assert isinstance(check(alice.sign(delegated), request=delegated, people=(alice,)), SignedAnswer)


def checked(request: ApprovalRequest, *people: Person) -> list[SignedAnswer | Reason]:
    """What becomes of the yeses of these people, one after the other."""
    known = {one.signer.keyid: one.approver for one in people}
    told: list[SignedAnswer | Reason] = []
    for one in people:
        earlier = tuple(answer for answer in told if isinstance(answer, SignedAnswer))
        told.append(check_answer(request, ApprovalState.PENDING, one.sign(request), known, NOW, earlier=earlier))
    return told


def test_a_quorum_is_of_different_people_with_different_keys() -> None:
    request = of_mode(ApprovalMode.DESTRUCTIVE, quorum={"count": 2})
    assert request.needed == 2
    again = replace(BOB, principal="user:bobby")  # the same key under another name
    other_key = person("user:bob")
    assert [*map(code, checked(request, BOB, CAROL))] == ["counts", "counts"]
    assert [*map(code, checked(request, BOB, BOB))] == ["counts", "approval.already_answered"]
    assert [*map(code, checked(request, BOB, other_key))] == ["counts", "approval.already_answered"]
    signed = check(BOB.sign(request), request=request)
    assert isinstance(signed, SignedAnswer)
    renamed = replace(signed, approver="user:bobby")
    known = {again.signer.keyid: again.approver}
    told = check_answer(request, ApprovalState.PENDING, again.sign(request), known, NOW, earlier=(signed,))
    assert code(told) == "approval.already_answered"
    for answers in ((), (signed,), (signed, signed), (signed, renamed)):
        with pytest.raises(NotGranted):
            Approved(request, answers)


def test_only_the_circle_that_policy_names_makes_a_quorum() -> None:
    request = of_mode(ApprovalMode.DESTRUCTIVE, quorum={"count": 2, "of": ["user:bob", "user:dora"]})
    dora = person("user:dora")
    assert [*map(code, checked(request, CAROL, BOB, dora))] == ["approval.wrong_approver", "counts", "counts"]


UNANSWERABLE: list[tuple[ApprovalMode, dict[str, Any], str]] = [
    (ApprovalMode.DESTRUCTIVE, {"routes": ["elicitation"]}, "approval.no_route"),
    (ApprovalMode.NETWORK, {"approver": "user:bob", "quorum": {"count": 2}}, "approval.no_approver"),
    (ApprovalMode.NETWORK, {"approver": "user:bob", "quorum": {"count": 1, "of": ["user:carol"]}}, "approval.no_approver"),
    (ApprovalMode.NETWORK, {"quorum": {"count": 2, "of": ["user:bob", str(ASSISTANT)]}}, "approval.no_approver"),
    (ApprovalMode.NETWORK, {"approver": str(ASSISTANT)}, "approval.no_approver"),
    (ApprovalMode.DESTRUCTIVE, {"approver": str(ALICE)}, "approval.no_approver"),
]


@pytest.mark.parametrize(("mode", "obligations", "why"), UNANSWERABLE)
def test_what_nobody_could_approve_is_known_beforehand(mode: ApprovalMode, obligations: dict[str, Any], why: str) -> None:
    reason = of_mode(mode, **obligations).unanswerable()
    assert reason is not None
    assert reason.code == why


def test_what_somebody_could_approve_is_asked() -> None:
    for mode, obligations in (
        (ApprovalMode.NETWORK, {"routes": ["elicitation"]}),
        (ApprovalMode.DELEGATED, {"approver": str(ALICE), "routes": ["cli"]}),
        (ApprovalMode.DESTRUCTIVE, {"quorum": {"count": 2, "of": ["user:bob", "user:carol"]}}),
        (ApprovalMode.DESTRUCTIVE, {}),
    ):
        assert of_mode(mode, **obligations).unanswerable() is None


def test_other_obligations_are_another_question() -> None:
    call = seal(Call())
    plain = decide(Effect.ASK)
    for obligations in ({"quorum": {"count": 2}}, {"routes": ["cli"]}):
        more = decide(Effect.ASK, obligations=obligations)
        assert ask_for(call, more).is_for(call, more)
        assert not ask_for(call, more).is_for(call, plain)
        assert not ask_for(call, plain).is_for(call, more)


def test_a_request_holds_for_the_doubts_it_named_and_for_fewer() -> None:
    both = decide(Effect.ASK, because=("because", "flow.unknown_origin"))
    assert ask_for(CALL, both).is_for(CALL, both)
    assert ask_for(CALL, both).is_for(CALL, ASK)
    assert not ask_for(CALL, ASK).is_for(CALL, both)


def test_what_policy_wants_of_approvers_survives_storage_and_is_signed() -> None:
    request = of_mode(ApprovalMode.DESTRUCTIVE, quorum={"count": 2, "of": ["user:bob", "user:carol"]}, routes=["cli"])
    assert ApprovalRequest.from_document(orjson.loads(orjson.dumps(request.document()))) == request
    for other in (replace(request, quorum=None), replace(request, routes=frozenset())):
        assert refused(BOB.sign(other), request=request) == "approval.other_request"
