"""Changes of arguments: where two documents differ, and what an approver's change of a call comes to."""

import os
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.approval import ApprovalRow, ApprovalState
from gateway.core.call import SealedCall, Sealer
from gateway.core.canonical import canonical
from gateway.core.commitment import CommitmentKey
from gateway.core.fields import values_at
from gateway.core.idempotency import State
from gateway.core.modification import changed, differences
from gateway.core.offer import MOST_MODIFIED, Offer, Waits, make_offer
from gateway.core.outcome import Reason
from gateway.core.reservation import Asked, Changed, Found, Mismatch, NotApproved, Waiting, meet
from tests.core.calls import (
    ASK,
    KEY,
    LATER,
    MUCH_LATER,
    NOW,
    Call,
    ask_for,
    capability,
    envelope_id,
    request_of,
    run_of,
    seal,
)
from tests.core.test_reservation import row

names = st.sampled_from(["a", "b", "~", "a/b", "0", "*", ""])
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, "x", ""])
documents = st.recursive(
    scalars, lambda below: st.lists(below, max_size=3) | st.dictionaries(names, below, max_size=3), max_leaves=8
)
objects = st.dictionaries(names, documents, max_size=4)


@given(objects, objects)
def test_two_documents_differ_where_it_is_said_and_nowhere_else(old: dict[str, Any], new: dict[str, Any]) -> None:
    pointers = list(differences(old, new))
    assert (pointers == []) == (canonical(old) == canonical(new))
    copied: dict[str, Any] = orjson.loads(orjson.dumps(old))
    if pointers == [""]:
        copied = new
    for pointer in pointers:
        if pointer:
            (value,) = [value for _, value in values_at(new, pointer)]
            copied = changed(copied, {pointer: value})
    assert canonical(copied) == canonical(new)


SEALER = Sealer(CommitmentKey(KEY), os.urandom)
MADE = Call(arguments={"text": "hello", "a": 1}, compensates=envelope_id(7))


def waits(call: Call = MADE, *, state: ApprovalState = ApprovalState.PENDING, modified: int = 0) -> Waits:
    sealed = seal(call)
    assert sealed.idempotency is not None
    kept = ApprovalRow(ask_for(sealed), sealed.idempotency.reservation, state, ())
    return Waits(kept, sealed.shown_arguments, modified)


def offered(waiting: Waits, changes: dict[str, Any], call: Call = MADE, now: str = NOW) -> Offer | str:
    told = make_offer(waiting, changes, capability(call), SEALER, approval_id="approval-2", now=now)
    return told.code if isinstance(told, Reason) else told


@pytest.mark.parametrize("call", [MADE, MADE.but(key=None), MADE.but(compensates=None), MADE.but(run_id="r", key=None)])
def test_what_is_signed_is_the_digest_of_what_will_run(call: Call) -> None:
    told = offered(waits(call), {"/a": [2, 2.50, 1e21], "/b": {"c": None}}, call)
    assert isinstance(told, Offer)
    arguments = {"text": "hello", "a": [2, 2.5, 1e21], "b": {"c": None}}
    runs = SEALER.seal(run_of(call), capability(call), replace(request_of(call), arguments=arguments), instead_of=seal(call))
    assert isinstance(runs, SealedCall)
    assert (told.request.call_digest, told.arguments) == (runs.call_digest, runs.arguments)
    assert told.request.call_digest != seal(call).call_digest
    assert told.request == replace(
        ask_for(seal(call)), approval_id="approval-2", call_digest=runs.call_digest, modified_from="approval-1"
    )


@pytest.mark.parametrize("state", [state for state in ApprovalState if state is not ApprovalState.PENDING])
def test_only_what_waits_is_changed(state: ApprovalState) -> None:
    assert offered(waits(state=state), {"/a": 2}) == "approval.already_answered"


def test_not_too_late_not_too_often_and_not_another_tool() -> None:
    assert offered(waits(), {"/a": 2}, now=LATER) == "approval.expired"
    assert offered(waits(modified=MOST_MODIFIED), {"/a": 2}) == "approval.modified_often"
    assert isinstance(offered(waits(modified=MOST_MODIFIED - 1), {"/a": 2}), Offer)
    assert offered(waits(), {"/a": 2}, MADE.but(description="Send it, now.")) == "approval.tool_changed"
    assert offered(waits(), {"/a": 2}, MADE.but(tool="other")) == "approval.tool_changed"


@pytest.mark.parametrize("stored", [b"null", b"{}", b'{"a":1,"text":"hell0"}'])
def test_what_is_stored_must_be_what_was_made(stored: bytes) -> None:
    assert offered(replace(waits(), arguments=stored), {"/a": 2}) == "approval.arguments_redacted"


DEEP: Any = 1
for _ in range(64):
    DEEP = [DEEP]


@pytest.mark.parametrize("changes", [{"/a": DEEP}, {"/a": list(range(50_001))}, {"/text": "x" * (1 << 20)}, {"/a": 2.0**60}])
def test_what_no_client_could_send_does_not_come_about(changes: dict[str, Any]) -> None:
    assert offered(waits(), changes) == "approval.change"


# --- what the caller meets afterwards ---

CALL = seal(Call())
REQUEST = replace(ask_for(CALL), approval_id="approval-2", call_digest="hmac-sha256:00", modified_from="approval-1")


def met(state: ApprovalState, call: SealedCall = CALL, now: str = NOW) -> object:
    kept = replace(row(State.AWAITING_APPROVAL), approval_id="approval-2")
    found = Found(kept, ApprovalRow(REQUEST, kept.reservation, state, ()))
    return meet(found, Asked(call, ASK, replace(ask_for(call), approval_id="approval-3"), now, None)).answer


@pytest.mark.parametrize("state", [ApprovalState.PENDING, ApprovalState.APPROVED])
def test_who_comes_with_the_old_arguments_is_told_to_make_the_changed_call(state: ApprovalState) -> None:
    assert met(state) == Changed(REQUEST)
    assert met(state, replace(CALL, changed_in="approval-1")) == Changed(REQUEST)  # it was changed again meanwhile
    assert isinstance(met(state, seal(Call(arguments={"text": "else"}))), Mismatch)
    assert isinstance(met(state, now=MUCH_LATER), NotApproved)


def test_the_changed_call_waits_for_the_answer_to_its_own_request() -> None:
    changed_call = replace(CALL, changed_in="approval-2", call_digest=REQUEST.call_digest)
    assert met(ApprovalState.PENDING, changed_call) == Waiting(REQUEST)


@pytest.mark.parametrize(
    "state", [ApprovalState.REJECTED, ApprovalState.EXPIRED, ApprovalState.VOID, ApprovalState.MODIFIED]
)
def test_a_changed_call_that_was_not_approved_is_told_as_any_other(state: ApprovalState) -> None:
    assert isinstance(met(state), NotApproved)
