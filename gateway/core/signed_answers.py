"""Were the answers that a log tells of given by approvers? For an auditor who has their public keys from them.

Each answer must be signed by one of these keys, over the request as its entry repeats it, and say what the entry says: which
answer, by whom and by what route. How far a yes reaches:

* a yes for a whole run is told of only where that one, and each yes before it, was signed for the run
* any other answer may be signed for the run where the request offered that: by itself it holds for this call

Whether this approver's answer counts, and by this route, `requests.py` looks at, with or without anybody's keys. What a
client answered to an elicitation no person signed, so there is nothing to check it by: it is counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from gateway.core.answer import Answer, Approver, open_answer
from gateway.core.canonical import digest
from gateway.core.dsse import NotVerified
from gateway.core.entry import Entry, Kind, part
from gateway.core.obligations import ApproveFor, Route
from gateway.core.requests import ANSWERS, Step, offers_run, step_in

_ANSWERS: Mapping[Step, Answer] = {
    Step.ANSWERED: Answer.APPROVE,
    Step.APPROVED: Answer.APPROVE,
    Step.APPROVED_FOR_RUN: Answer.APPROVE,
    Step.REJECTED: Answer.REJECT,
    Step.MODIFIED: Answer.MODIFY,
}


class SignedAnswers:
    """Checks one entry after the other. `signed`: answers that one of these approvers gave; `elicited`: a client's word."""

    def __init__(self, approvers: Iterable[Approver]) -> None:
        self._approvers = {approver.keyid: approver for approver in approvers}
        self._for_one_call: set[str] = set()  # requests that wait, with a yes that is for no run
        self.signed = 0
        self.elicited = 0

    def problems(self, entry: Entry) -> Iterator[str]:
        """What is wrong with the answer in an entry; nothing where it tells of none."""
        found = step_in(entry) if entry.kind is Kind.APPROVAL else None
        if found is None:
            return
        approval_id, step = found
        if step in ANSWERS:
            reach = None
            if entry.predicate.get("route") == Route.ELICITATION:
                self.elicited += 1
            else:
                told = self._signed(entry.predicate, _ANSWERS[step])
                if isinstance(told, str):
                    yield told
                    return
                reach = told.get("approve_for", ApproveFor.ONCE)
                if not _may_reach(reach, step, entry.predicate):
                    yield NOT_SIGNED
                    return
                self.signed += 1
            if reach != ApproveFor.RUN:
                self._for_one_call.add(approval_id)
            if step is Step.APPROVED_FOR_RUN and approval_id in self._for_one_call:
                yield "a yes for a whole run that not all of its approvers signed"
        if step is not Step.ANSWERED:
            self._for_one_call.discard(approval_id)

    def _signed(self, predicate: Mapping[str, Any], answer: Answer) -> Mapping[str, Any] | str:
        """What an approver signed, if it is what the entry says; else what is wrong."""
        try:
            keys = {keyid: approver.key for keyid, approver in self._approvers.items()}
            verified = open_answer(part(predicate, "signed_answer"), keys)
            payload = orjson.loads(verified.payload)
        except (NotVerified, ValueError) as error:
            return f"an answer that none of the given approvers signed: {error}"
        approver = self._approvers[verified.keyid]
        if not isinstance(payload, dict) or _told(payload) != _expected(predicate, answer, approver):
            return NOT_SIGNED
        return payload


NOT_SIGNED = "an answer that is not the one that its approver signed"


def _may_reach(signed: Any, step: Step, predicate: Mapping[str, Any]) -> bool:
    """Whether an answer that was signed for so much can be what the entry tells of."""
    if step is Step.APPROVED_FOR_RUN:
        return bool(signed == predicate.get("approve_for") == ApproveFor.RUN)
    if "approve_for" in predicate:
        return False
    if step is Step.MODIFIED:
        return bool(signed == ApproveFor.ONCE)
    return bool(signed == ApproveFor.ONCE or (signed == ApproveFor.RUN and offers_run(part(predicate, "approval"))))


def _told(payload: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an approver signed (`answer_payload`), but for the comment, which is nowhere else, and how far a yes reaches."""
    return (
        payload.get("answer"),
        payload.get("approver"),
        payload.get("approval_id"),
        payload.get("call_digest"),
        payload.get("request_digest"),
        payload.get("route", Route.CLI),
    )


def _expected(predicate: Mapping[str, Any], answer: Answer, approver: Approver) -> tuple[Any, ...]:
    asked = part(predicate, "approval")
    named = (predicate.get("approver"), predicate.get("keyid")) == (approver.principal, approver.keyid)
    return (
        answer.value,
        approver.principal if named else None,
        asked.get("approval_id"),
        asked.get("call_digest"),
        digest(asked),
        predicate.get("route"),
    )
