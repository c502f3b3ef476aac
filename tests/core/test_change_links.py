"""What a log says of changed calls must hang together: verification names what cannot have come about."""

from base64 import b64encode
from typing import Any

import orjson
import pytest

from gateway.core.canonical import digest
from gateway.core.change_links import MOST_ENDED, Changes
from gateway.core.entry import Entry, Kind
from tests.core.calls import MUCH_LATER, envelope_id
from tests.core.test_requests import ANSWERED_BY, ASKED
from tests.core.test_requests import begun as begin
from tests.core.test_verify import Said, outcome, verify

A, B, C, D, E = "approval-a", "approval-b", "approval-c", "approval-d", "approval-e"
DIGESTS = {one: one.replace("approval", "digest") for one in (A, B, C, D, E)}


def said(event: str, of: str, *, came_of: str | None = None, **more: Any) -> Said:
    answered = {"approver": "user:bob", "keyid": "key-bob", "route": "cli"} if event in ANSWERED_BY else {}
    return Kind.APPROVAL, 9, {"event": event, "approval": asked(of, came_of), **answered, **more}


def asked(of: str, came_of: str | None = None, **changed: Any) -> dict[str, Any]:
    came = {} if of == A else {"modified_from": came_of or {B: A, C: B, D: C}[of]}
    once = {name: value for name, value in ASKED.items() if name not in ("approve_for", "run_id")}
    return {**once, "approval_id": of, "call_digest": DIGESTS[of], **came, **changed}


def modified(of: str, into: str, **signed: Any) -> Said:
    """The entry of an answer that changes a call. `signed` is what was signed otherwise than it says."""
    told = {"approval_id": into, "call_digest": DIGESTS[into]}
    named = {**told, "request_digest": digest(asked(into, of))}
    payload = {"answer": "modify", "approval_id": of, "call_digest": DIGESTS[of], "modified_into": named, **signed}
    answer = {"payload": b64encode(orjson.dumps(payload)).decode()}
    return said("modified", of, modified_into=told, signed_answer=answer)


def begun(approval_id: str, call_digest: str | None = None) -> Said:
    return begin(approval_id=approval_id, call_digest=call_digest or DIGESTS[approval_id], run_id=None)


CHANGED = [said("requested", A), modified(A, B), said("requested", B, came_of=A)]


@pytest.mark.parametrize(
    "entries",
    [
        [*CHANGED, said("approved", B), begun(B), outcome(1, begun(B)[2])],
        [*CHANGED, said("rejected", B)],
        [*CHANGED, modified(B, C), said("requested", C, came_of=B), said("approved", C), begun(C)],
        [*CHANGED, said("void", B), said("requested", C, came_of=B), said("approved", C), begun(C)],
    ],
)
def test_what_the_gateway_writes_of_changed_calls_is_in_order(entries: list[Said]) -> None:
    assert verify(*entries) == []


ANOTHER = {"approval_id": C, "call_digest": DIGESTS[C]}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([said("requested", B, came_of=A)], "entry 0: a request about a changed call that no signed answer names"),
        ([said("requested", A), said("rejected", A), said("requested", B, came_of=A)], "entry 2: a request about a changed"),
        ([*CHANGED[:2], said("requested", C, came_of=A)], "entry 2: a request about a changed call"),
        ([*CHANGED[:2], said("requested", B, came_of=C)], "entry 2: a request about a changed call"),
        ([*CHANGED, said("requested", C, came_of=A)], "entry 3: a request about a changed call"),
        ([said("requested", A), modified(A, B, modified_into=ANOTHER)], "entry 1: a change that is not the one"),
        ([said("requested", A), modified(A, B, call_digest="other")], "entry 1: a change that is not the one"),
        ([said("requested", A), modified(A, B, approval_id=C)], "entry 1: a change that is not the one"),
        ([said("requested", A), modified(A, B, answer="approve")], "entry 1: a change that is not the one"),
        ([said("requested", A), said("modified", A, modified_into=ANOTHER)], "entry 1: a change that is not the one"),
        ([*CHANGED, said("approved", A), begun(A)], "entry 3: an approval request that was modified is approved"),
        ([*CHANGED, modified(A, C)], "entry 3: an approval request that was modified is modified"),
        ([*CHANGED, said("approved", B), begun(B, DIGESTS[A])], "entry 4: an intent with the approval of another call"),
        ([*CHANGED, begun(B)], "entry 3: an intent without an approval"),
        ([*CHANGED, begun(A)], "entry 3: an intent without an approval"),
    ],
)
def test_what_no_approver_can_have_changed_is_named(entries: list[Said], problem: str) -> None:
    assert any(found.startswith(problem) for found in verify(*entries)), verify(*entries)


def test_a_digest_that_was_swapped_after_it_was_signed_is_named() -> None:
    kind, call, body = said("requested", B, came_of=A)
    swapped = {**body, "approval": {**body["approval"], "call_digest": DIGESTS[C]}}
    assert verify(*CHANGED[:2], (kind, call, swapped)) == [
        "entry 2: a request about a changed call that no signed answer names"
    ]


@pytest.mark.parametrize(
    "other",
    [
        {"tenant_id": "other"},
        {"principal_chain": ["user:alice", "agent:b"]},
        {"capability_id": "bank__drop"},
        {"mode": "read_only"},
        {"expires_at": MUCH_LATER},
        {"policy_revision": "policy-2"},
        {"quorum": {"count": 1, "of": ["user:mallory"]}},
        {"approve_for": "run", "run_id": "r-1"},
        {"modified_from": None},
    ],
)
def test_the_request_that_an_answer_names_is_asked_as_it_was_signed(other: dict[str, Any]) -> None:
    kind, call, body = said("requested", B)
    asked_so: Said = (kind, call, {**body, "approval": asked(B, A, **other)})
    (problem,) = verify(*CHANGED[:2], asked_so)
    assert problem == "entry 2: a request about a changed call that no signed answer names"


@pytest.mark.parametrize("signed", [{}, {"approval_id": B, "call_digest": DIGESTS[B]}, [], "b", None])
def test_an_answer_that_names_no_whole_request_changes_nothing(signed: Any) -> None:
    first, *_ = verify(CHANGED[0], modified(A, B, modified_into=signed), CHANGED[2])
    assert first.startswith("entry 1: ")


@pytest.mark.parametrize("before", [[], [said("approved", B)]])
def test_none_is_asked_in_place_of_a_request_that_has_not_ended(before: list[Said]) -> None:
    waits = [*CHANGED, *before]
    problem = f"entry {len(waits)}: a request about a changed call in place of one that has not ended"
    assert verify(*waits, said("requested", C, came_of=B)) == [problem]
    assert verify(*waits, said("void", B), said("requested", C, came_of=B)) == []


def test_one_request_at_a_time_is_asked_in_place_of_one_that_ended() -> None:
    asked_anew = [*CHANGED, said("void", B), said("requested", C, came_of=B)]
    again = said("requested", D, came_of=B)
    assert verify(*asked_anew, again) == [
        "entry 5: a request about a changed call in place of one that has not ended",
    ]
    assert verify(*asked_anew, said("rejected", C), again) == []
    assert verify(*CHANGED, modified(B, C), said("requested", C, came_of=B), again) == [
        "entry 5: a request about a changed call in place of one that has not ended",
    ]


def test_a_request_is_known_however_the_clock_was_set_while_it_waited() -> None:
    """A day ahead, and another call is changed in that time; back; and the first changed call is asked anew."""

    def at(day: int, said: Said) -> Said:
        kind, call, body = said
        return kind, call, {**body, "recorded_at": f"2026-11-{day}T10:00:00.000Z"}

    late = {"expires_at": "2026-11-23T10:15:00.000Z"}
    kind, call, answer = modified(C, D)
    first = {name: value for name, value in asked(C, **late).items() if name != "modified_from"}
    named = {**answer["modified_into"], "request_digest": digest(asked(D, **late))}
    payload = {"answer": "modify", "approval_id": C, "call_digest": DIGESTS[C], "modified_into": named}
    signed = {"payload": b64encode(orjson.dumps(payload)).decode()}
    other: list[Said] = [
        (kind, call, {"event": "requested", "approval": first}),
        (kind, call, {**answer, "approval": first, "signed_answer": signed}),
        (kind, call, {"event": "requested", "approval": asked(D, **late)}),
    ]
    back = [said("void", B), said("requested", E, came_of=B)]
    assert verify(*(at(22, one) for one in CHANGED), *(at(23, one) for one in other), *(at(22, one) for one in back)) == []


def test_what_ended_is_not_remembered_for_ever_and_what_waits_is() -> None:
    changes = Changes()

    def problems(*all_said: Said) -> list[str]:
        entries = (Entry(0, kind, envelope_id(call), body, ("key",)) for kind, call, body in all_said)
        return [problem for entry in entries for problem in changes.problems(entry)]

    assert problems(*CHANGED) == []
    assert problems(modified(A, C), said("requested", C, came_of=A), said("void", C)) == []
    came_of = C
    for number in range(MOST_ENDED):
        asked_anew = {"approval_id": f"other-{number}", "modified_from": came_of}
        came_of = f"other-{number}"
        for event in ("requested", "void"):
            assert problems((Kind.APPROVAL, 9, {"event": event, "approval": asked_anew})) == []
    assert problems(said("void", B), said("requested", D, came_of=B)) == []
    assert problems(said("requested", E, came_of=C)) == ["a request about a changed call that no signed answer names"]
