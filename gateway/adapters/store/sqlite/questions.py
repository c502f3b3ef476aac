"""Approval requests: filed by the journal, answered by approvers, expired by time. Every change has its entry."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import apsw
import structlog

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.evidence import SealedQuestion, put_question, stored_values
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.approval import (
    Answer,
    ApprovalRequest,
    ApprovalRow,
    ApprovalState,
    Approver,
    SignedAnswer,
    check_answer,
)
from gateway.core.commitment import Missing
from gateway.core.entry import Kind, Record
from gateway.core.errors import GatewayError
from gateway.core.idempotency import CallRow
from gateway.core.outcome import Reason
from gateway.core.ports import Clock, Vault

_log = structlog.get_logger("sealgate.journal")


class Questions:
    """See the module. `approvers` are by key id; `reader` is used on the event loop."""

    def __init__(
        self,
        writer: Writer,
        reader: apsw.Connection,
        vault: Vault,
        clock: Clock,
        approvers: Mapping[str, Approver],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._clock = clock
        self._approvers = approvers

    # --- for approvers and the daemon ---

    async def rows(self, *, pending_only: bool) -> list[ApprovalRow]:
        """Approval requests, oldest first."""
        found = rows.approval_rows(self._reader, pending_only=pending_only)
        return [await self._told(row) for row in found]

    async def row(self, approval_id: str) -> tuple[ApprovalRow, bytes] | None:
        """One request with the JSON bytes of the arguments it is about; `null` where they are not kept any more."""
        row = rows.approval_row(self._reader, approval_id)
        if row is None:
            return None
        stored = await stored_values(self._vault, self._reader, row.request.approval_id)
        pending = stored.pending()
        told = replace(row, request=stored.with_messages(row.request))
        return told, b"null" if isinstance(pending, Missing) else pending

    async def answer(self, approval_id: str, envelope: dict[str, Any]) -> SignedAnswer | Reason:
        """Check an approver's signed answer and record it; the Reason where it does not count."""
        row = rows.approval_row(self._reader, approval_id)
        if row is None:
            return Reason("approval.unknown", "There is no such approval request.")
        now = self._clock.now()
        signed = check_answer(row.request, row.state, envelope, self._approvers, now)
        if isinstance(signed, Reason):
            if now >= row.request.expires_at:  # for good, also if the clock is set back
                await self._writer.submit(lambda transaction: self._expire(transaction, approval_id))
            return signed
        then = ApprovalState.APPROVED if signed.answer is Answer.APPROVE else ApprovalState.REJECTED
        body = {
            **asked_body(row.request),
            "event": then.value,
            "approver": signed.approver,
            "keyid": signed.keyid,
            "signed_answer": signed.envelope,
        }
        record = Record(Kind.APPROVAL, self._clock.new_id(), self._clock.now(), body)

        def work(transaction: Transaction) -> bool:
            if not rows.move_approval(transaction.db, approval_id, ApprovalState.PENDING, then):
                return False
            rows.put_answer(transaction.db, signed)
            transaction.append(record)
            return True

        if await self._writer.submit(work):
            return signed
        return Reason("approval.already_answered", "This request was answered a moment ago; an answer counts once.")

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

    def signed(self, approval: ApprovalRow) -> SignedAnswer | None:
        """The yes of an approved request, its signature checked again: that the journal says so is not enough."""
        envelope = approval.answer.envelope if approval.answer is not None else {}
        signed = check_answer(approval.request, ApprovalState.PENDING, envelope, self._approvers, self._clock.now())
        if isinstance(signed, SignedAnswer) and signed.answer is Answer.APPROVE:
            return signed
        if not isinstance(signed, Reason) or signed.code != "approval.expired":
            _log.error("approval_not_signed", approval_id=approval.request.approval_id)
        return None

    def file(self, transaction: Transaction, request: ApprovalRequest, row: CallRow, sealed: SealedQuestion) -> None:
        """A new request that `row` waits for; `sealed` is what it is about."""
        rows.put_approval(transaction.db, request, row.reservation)
        put_question(transaction.db, request.approval_id, row.subject, sealed)
        body = {**asked_body(request), "event": "requested"}
        transaction.append(Record(Kind.APPROVAL, request.approval_id, self._clock.now(), body))

    def end(self, transaction: Transaction, approval: ApprovalRow, then: ApprovalState) -> bool:
        """Expire or void a request; False if it ended meanwhile."""
        if not rows.move_approval(transaction.db, approval.request.approval_id, approval.state, then):
            return False
        body = {**asked_body(approval.request), "event": then.value}
        transaction.append(Record(Kind.APPROVAL, self._clock.new_id(), self._clock.now(), body))
        return True

    async def _told(self, row: ApprovalRow) -> ApprovalRow:
        stored = await stored_values(self._vault, self._reader, row.request.approval_id)
        return replace(row, request=stored.with_messages(row.request))

    def _expire(self, transaction: Transaction, approval_id: str) -> None:
        approval = rows.approval_row(transaction.db, approval_id)
        if approval is not None and approval.state is ApprovalState.PENDING:
            self.end(transaction, approval, ApprovalState.EXPIRED)


def asked_body(request: ApprovalRequest) -> dict[str, Any]:
    """An approval request as it stands in an entry: reasons by code."""
    document = request.document()
    document["reasons"] = [reason.code for reason in request.reasons]
    return {"approval": document}
