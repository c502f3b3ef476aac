"""Were the answers that a log tells of given by approvers? For an auditor who has their public keys from them.

Each answer must be signed by one of these keys, over the request as its entry repeats it, and say what the entry says: which
answer, by whom, by what route and how far. What a client answered to an elicitation no person signed, so there is nothing to
check it by: it is counted.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from gateway.core.answer import Answer, Approver, open_answer
from gateway.core.canonical import digest
from gateway.core.dsse import NotVerified
from gateway.core.entry import Entry, Kind, part
from gateway.core.obligations import ApproveFor, Route
from gateway.core.requests import ANSWERS, Step, step_in

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
        self.signed = 0
        self.elicited = 0

    def problems(self, entry: Entry) -> Iterator[str]:
        """What is wrong with the answer in an entry; nothing where it tells of none."""
        found = step_in(entry) if entry.kind is Kind.APPROVAL else None
        if found is None or found[1] not in ANSWERS:
            return
        if entry.predicate.get("route") == Route.ELICITATION:
            self.elicited += 1
            return
        said = part(entry.predicate, "signed_answer")
        try:
            verified = open_answer(said, {keyid: approver.key for keyid, approver in self._approvers.items()})
            payload = orjson.loads(verified.payload)
        except (NotVerified, ValueError) as error:
            yield f"an answer that none of the given approvers signed: {error}"
            return
        approver = self._approvers[verified.keyid]
        if not isinstance(payload, dict) or _told(payload) != _expected(entry.predicate, _ANSWERS[found[1]], approver):
            yield "an answer that is not the one that its approver signed"
            return
        self.signed += 1


def _told(payload: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an approver signed (`answer_payload`), but for the comment, which is nowhere else."""
    return (
        payload.get("answer"),
        payload.get("approver"),
        payload.get("approval_id"),
        payload.get("call_digest"),
        payload.get("request_digest"),
        payload.get("route", Route.CLI),
        payload.get("approve_for", ApproveFor.ONCE),
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
        predicate.get("approve_for", ApproveFor.ONCE),
    )
