"""What a log says of changed calls must hang together: verification names what cannot have come about."""

from base64 import b64encode
from typing import Any

import orjson
import pytest

from gateway.core.entry import Kind
from tests.core.calls import LATER
from tests.core.test_verify import Said, intent, outcome, verify

A, B, C = "approval-a", "approval-b", "approval-c"
DIGESTS = {A: "digest-a", B: "digest-b", C: "digest-c"}


def said(event: str, of: str, *, came_of: str | None = None, **more: Any) -> Said:
    asked = {"approval_id": of, "call_digest": DIGESTS[of], "expires_at": LATER}
    if of != A:
        asked["modified_from"] = came_of or {B: A, C: B}[of]
    return Kind.APPROVAL, 9, {"event": event, "approval": asked, **more}


def modified(of: str, into: str, **signed: Any) -> Said:
    """The entry of an answer that changes a call. `signed` is what was signed otherwise than it says."""
    told = {"approval_id": into, "call_digest": DIGESTS[into]}
    payload = {"answer": "modify", "approval_id": of, "call_digest": DIGESTS[of], "modified_into": told, **signed}
    answer = {"payload": b64encode(orjson.dumps(payload)).decode()}
    return said("modified", of, modified_into=told, signed_answer=answer)


def begun(approval_id: str, digest: str | None = None) -> Said:
    asked = {"policy": {"effect": "ask"}, "approval": {"approval_id": approval_id, "expires_at": LATER}}
    return intent(1, {**asked, "call": {"call_digest": digest or DIGESTS[approval_id]}})


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
