"""Approval requests: filed by the journal, answered by approvers, expired by time. Every change has its entry."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import apsw
import orjson
import structlog

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.evidence import (
    SealedQuestion,
    is_sealed_alike,
    put_question,
    seal_question,
    stored_values,
)
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.answer import PAYLOAD_TYPE, Answer, Approver, Attestor, SignedAnswer, answer_payload, named_request
from gateway.core.approval import NOT_OFFERED, ApprovalRequest, ApprovalRow, ApprovalState, Approved, check_answer
from gateway.core.call import SealedCall
from gateway.core.commitment import Missing
from gateway.core.dsse import envelop
from gateway.core.entry import Kind, Record
from gateway.core.errors import ApprovalSpent, GatewayError
from gateway.core.idempotency import CallRow, State, advance
from gateway.core.obligations import ApproveFor, Route
from gateway.core.offer import MOST_MODIFIED, Offer, Waits
from gateway.core.offers import Offers
from gateway.core.outcome import Reason
from gateway.core.ports import Clock, Vault
from gateway.core.reservation import LIVE

MAX_RUNS = 10_000
UNKNOWN = Reason("approval.unknown", "There is no such approval request.")

_log = structlog.get_logger("sealgate.journal")


class Questions:
    """See the module. `reader` is used on the event loop.

    `approvers` are by key id. `attestor` signs what clients answered to elicitations; None: nothing is elicited.
    """

    def __init__(
        self,
        writer: Writer,
        reader: apsw.Connection,
        vault: Vault,
        clock: Clock,
        approvers: Mapping[str, Approver],
        attestor: Attestor | None,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._clock = clock
        self._approvers = approvers
        self._attestor = attestor
        self._for_runs: dict[tuple[str, ...], str] = {}
        self._offers = Offers()

    # --- for approvers and the daemon ---

    def approvers(self) -> list[dict[str, str]]:
        """Whose answers count, and by which keys."""
        return [{"principal": one.principal, "keyid": one.keyid} for one in self._approvers.values()]

    def pending(self) -> list[str]:
        """Ids of requests that wait for an answer, oldest first."""
        return rows.pending_approvals(self._reader)

    async def rows(self, *, pending_only: bool, quoted: bool = True) -> list[ApprovalRow]:
        """Approval requests, oldest first. `quoted`: with policy's sentences and what is hidden, which tell of arguments."""
        found = rows.approval_rows(self._reader, pending_only=pending_only)
        return [await self._told(row) for row in found] if quoted else found

    async def row(self, approval_id: str) -> tuple[ApprovalRow, bytes] | None:
        """One request with the JSON bytes of the arguments it is about; `null` where they are not kept any more."""
        row = rows.approval_row(self._reader, approval_id)
        if row is None:
            return None
        stored = await stored_values(self._vault, self._reader, row.request.approval_id)
        pending = stored.pending()
        told = replace(row, request=stored.with_messages(row.request), hidden=stored.hidden())
        return told, b"null" if isinstance(pending, Missing) else pending

    async def waits(self, approval_id: str) -> Waits | Reason:
        """What is kept of a request that may be changed."""
        found = await self.row(approval_id)
        if found is None:
            return UNKNOWN
        return Waits(*found, rows.modified_before(self._reader, found[0].request, MOST_MODIFIED))

    def keep_offer(self, offer: Offer, asker: str) -> None:
        """Let a request be answered with `modify` and this offer, which this one asked for."""
        self._offers.keep(offer, asker)

    def forget_offers(self) -> None:
        """They hold arguments, and somebody's values are erased."""
        self._offers.clear()

    async def answer(self, approval_id: str, envelope: Mapping[str, Any], route: Route = Route.CLI) -> SignedAnswer | Reason:
        """Check a signed answer that came by `route` and record it; the Reason where it does not count."""
        row = rows.approval_row(self._reader, approval_id)
        if row is None:
            return UNKNOWN
        now = self._clock.now()
        offer = self._offers.find(named_request(envelope) or "")
        signed = self._checked(row, envelope, route, now, offer)
        if isinstance(signed, Reason):
            if now >= row.request.expires_at:  # for good, also if the clock is set back
                await self._writer.submit(lambda transaction: self._expire(transaction, approval_id))
            return signed
        if signed.answer is not Answer.MODIFY or offer is None:
            return await self._writer.submit(lambda transaction: self._keep(transaction, approval_id, envelope, route))
        call = rows.call_row(self._reader, row.reservation)
        if call is None:
            return UNKNOWN
        sealing = await self._vault.sealing_key(call.subject)
        sealed = seal_question(sealing, offer.arguments, offer.request)
        work = partial(self._modify, offer=offer, envelope=envelope, route=route, sealed=sealed)
        told = await self._writer.submit(work)
        self._offers.forget(offer.request.approval_id)
        return told

    async def attest(self, approval_id: str, answer: Answer) -> SignedAnswer | Reason:
        """Record what the principal's client answered to an elicitation, signed by the gateway as what it was told."""
        row = rows.approval_row(self._reader, approval_id)
        if row is None or self._attestor is None:
            return UNKNOWN
        document, principal = row.request.document(), row.request.principal_chain[0]
        payload = answer_payload(document, answer, principal, "", Route.ELICITATION)
        envelope, _ = envelop(PAYLOAD_TYPE, payload, self._attestor)
        return await self.answer(approval_id, orjson.loads(envelope), Route.ELICITATION)

    async def revoke(self, approval_id: str, by: str) -> Reason | None:
        """End a request before its time, as `by` wants: no call runs on it any more. Or why that cannot be."""
        return await self._writer.submit(lambda transaction: self._revoke(transaction, approval_id, by))

    async def expire_due(self) -> int:
        """Expire pending requests whose time is over, each with its entry; how many.

        Raises:
            GatewayError: the first that could not be expired; the others were.
        """
        due = rows.due_approvals(self._reader, self._clock.now())
        failed: GatewayError | None = None
        for approval_id in due:
            try:
                await self._writer.submit(partial(self._expire, approval_id=approval_id))
            except GatewayError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return len(due)

    # --- for the journal, inside its transactions ---

    def signed(self, approval: ApprovalRow) -> tuple[SignedAnswer, ...]:
        """The yeses of an approved request, each checked again; none where one does not count any more.

        That the journal says so is not enough: signatures are what counts, and keys may have been taken from approvers.
        """
        now, checked = self._clock.now(), list[SignedAnswer]()
        asked = replace(approval, state=ApprovalState.PENDING)
        for kept in approval.answers:
            signed = self._checked(replace(asked, answers=tuple(checked)), kept.envelope, kept.route, now)
            if isinstance(signed, Reason) or signed.answer is not Answer.APPROVE:
                if not isinstance(signed, Reason) or signed.code != "approval.expired":
                    _log.error("approval_not_signed", approval_id=approval.request.approval_id)
                return ()
            checked.append(signed)
        if len(checked) < approval.request.needed:
            _log.error("approval_not_signed", approval_id=approval.request.approval_id)
            return ()
        return tuple(checked)

    def reaching(self, db: apsw.Connection, call: SealedCall) -> Approved | None:
        """An answered request whose yes may hold for the call's run, its signatures checked again. A restart forgets it."""
        run = call.run
        approval_id = self._for_runs.get(_run_of(run.tenant_id, run.principal_chain, run.run_id, call.capability.id))
        approval = None if approval_id is None else rows.approval_row(db, approval_id)
        if approval is None or approval.state not in (ApprovalState.APPROVED, ApprovalState.CONSUMED):
            return None
        answers = self.signed(approval)
        if not answers or any(one.reach is not ApproveFor.RUN for one in answers):
            return None
        return Approved(approval.request, answers)

    def spend(self, transaction: Transaction, approved: Approved, at: str) -> str | None:
        """Use a yes up, if it is for one call; the id of its request then. `at`: when the entry will say that it was used.

        Raises `ApprovalSpent`.
        """
        approval_id = approved.request.approval_id
        if max(at, self._clock.now()) >= approved.request.expires_at:
            raise ApprovalSpent("this approval expired before the call could begin")
        if approved.instead_of is not None:
            approval = rows.approval_row(transaction.db, approval_id)
            if approval is None or approval.state not in (ApprovalState.APPROVED, ApprovalState.CONSUMED):
                raise ApprovalSpent("this approval ended before the call could begin")
            return None
        if not rows.move_approval(transaction.db, approval_id, ApprovalState.APPROVED, ApprovalState.CONSUMED):
            raise ApprovalSpent("this approval was consumed by another call")
        return approval_id

    def file(self, transaction: Transaction, request: ApprovalRequest, row: CallRow, sealed: SealedQuestion) -> None:
        """A new request that `row` waits for; `sealed` is what it is about."""
        rows.put_approval(transaction.db, request, row.reservation)
        put_question(transaction.db, request.approval_id, row.subject, sealed)
        body = {**asked_body(request), "event": "requested"}
        transaction.append(Record(Kind.APPROVAL, request.approval_id, self._clock.now(), body))

    def end(self, transaction: Transaction, approval: ApprovalRow, then: ApprovalState, by: str | None = None) -> bool:
        """Expire or void a request, `by` somebody who took it back; False if it ended meanwhile."""
        if not rows.move_approval(transaction.db, approval.request.approval_id, approval.state, then):
            return False
        body = {**asked_body(approval.request), "event": then.value, **({} if by is None else {"by": by})}
        transaction.append(Record(Kind.APPROVAL, self._clock.new_id(), self._clock.now(), body))
        return True

    def _checked(
        self, row: ApprovalRow, envelope: Mapping[str, Any], route: Route, now: str, offer: Offer | None = None
    ) -> SignedAnswer | Reason:
        attestors = {} if self._attestor is None else {self._attestor.keyid: self._attestor.public()}
        asked = (row.request, row.state, envelope, self._approvers, now)
        offered = None if offer is None else offer.request
        return check_answer(*asked, route=route, earlier=row.answers, attestors=attestors, offered=offered)

    def _modify(
        self,
        transaction: Transaction,
        offer: Offer,
        envelope: Mapping[str, Any],
        route: Route,
        sealed: SealedQuestion,
    ) -> SignedAnswer | Reason:
        """Check the answer again, now that nobody else answers; end the request, and ask the other one in its place."""
        approval_id = offer.asked.approval_id
        row = rows.approval_row(transaction.db, approval_id)
        if row is None:
            return UNKNOWN
        now = self._clock.now()
        signed = self._checked(row, envelope, route, now, offer)
        if isinstance(signed, Reason):
            return signed
        if not is_sealed_alike(transaction.db, approval_id, sealed.arguments):  # what is erased is not kept anew
            return NOT_OFFERED
        waiting = rows.call_row(transaction.db, row.reservation)
        if waiting is None or (waiting.state, waiting.approval_id) != (State.AWAITING_APPROVAL, approval_id):
            return UNKNOWN
        rows.move_approval(transaction.db, approval_id, ApprovalState.PENDING, ApprovalState.MODIFIED)
        rows.put_answers(transaction.db, approval_id, (*row.answers, signed))
        then = {"approval_id": offer.request.approval_id, "call_digest": offer.request.call_digest}
        body = {**_answered_body(row.request, signed), "event": ApprovalState.MODIFIED.value, "modified_into": then}
        transaction.append(Record(Kind.APPROVAL, self._clock.new_id(), now, body))
        other = replace(waiting, approval_id=offer.request.approval_id, updated_at=self._clock.now())
        rows.put_call(transaction.db, other)
        self.file(transaction, offer.request, other, sealed)
        return signed

    def _keep(
        self, transaction: Transaction, approval_id: str, envelope: Mapping[str, Any], route: Route
    ) -> SignedAnswer | Reason:
        """Check it again, now that nobody else answers, and record it."""
        row = rows.approval_row(transaction.db, approval_id)
        if row is None:
            return UNKNOWN
        now = self._clock.now()
        signed = self._checked(row, envelope, route, now)
        if isinstance(signed, Reason):
            return signed
        answers = (*row.answers, signed)
        missing = row.request.needed - len(answers)
        body = _answered_body(row.request, signed)
        if signed.answer is Answer.REJECT:
            body["event"] = ApprovalState.REJECTED.value
            rows.move_approval(transaction.db, approval_id, ApprovalState.PENDING, ApprovalState.REJECTED)
        elif missing == 0:
            body["event"] = ApprovalState.APPROVED.value
            rows.move_approval(transaction.db, approval_id, ApprovalState.PENDING, ApprovalState.APPROVED)
            if all(one.reach is ApproveFor.RUN for one in answers):
                body["approve_for"] = ApproveFor.RUN.value
                self._note_reach(row.request)
        else:
            body["missing"] = missing
        rows.put_answers(transaction.db, approval_id, answers)
        transaction.append(Record(Kind.APPROVAL, self._clock.new_id(), now, body))
        return signed

    async def _told(self, row: ApprovalRow) -> ApprovalRow:
        stored = await stored_values(self._vault, self._reader, row.request.approval_id)
        return replace(row, request=stored.with_messages(row.request), hidden=stored.hidden())

    def _note_reach(self, request: ApprovalRequest) -> None:
        """Remember a yes for a whole run. Only where to look: whether it counts is checked at each use."""
        if len(self._for_runs) >= MAX_RUNS:
            del self._for_runs[next(iter(self._for_runs))]
        run = _run_of(request.tenant_id, request.principal_chain, request.run_id, request.capability_id)
        self._for_runs[run] = request.approval_id

    def _revoke(self, transaction: Transaction, approval_id: str, by: str) -> Reason | None:
        approval = rows.approval_row(transaction.db, approval_id)
        if approval is None:
            return UNKNOWN
        for_run = bool(approval.answers) and all(one.reach is ApproveFor.RUN for one in approval.answers)
        if approval.state not in LIVE and not (for_run and approval.state is ApprovalState.CONSUMED):
            return Reason("approval.ended", f"This request is {approval.state}: there is nothing to take back.")
        self.end(transaction, approval, ApprovalState.VOID, by)
        call = rows.call_row(transaction.db, approval.reservation)
        if call is not None and call.state is State.AWAITING_APPROVAL and call.approval_id == approval_id:
            free = advance(call.state, State.RELEASED)
            rows.put_call(transaction.db, replace(call, state=free, updated_at=self._clock.now()))
        return None

    def _expire(self, transaction: Transaction, approval_id: str) -> None:
        approval = rows.approval_row(transaction.db, approval_id)
        if approval is not None and approval.state is ApprovalState.PENDING:
            self.end(transaction, approval, ApprovalState.EXPIRED)


def _answered_body(request: ApprovalRequest, signed: SignedAnswer) -> dict[str, Any]:
    return {
        **asked_body(request),
        "event": "answered",
        "approver": signed.approver,
        "keyid": signed.keyid,
        "route": signed.route.value,
        "signed_answer": signed.envelope,
    }


def _run_of(tenant: str, chain: Sequence[str], run_id: str | None, capability_id: str) -> tuple[str, ...]:
    return (tenant, run_id or "", capability_id, *chain)


def asked_body(request: ApprovalRequest) -> dict[str, Any]:
    """An approval request as it stands in an entry: reasons by code."""
    document = request.document()
    document["reasons"] = [reason.code for reason in request.reasons]
    return {"approval": document}
