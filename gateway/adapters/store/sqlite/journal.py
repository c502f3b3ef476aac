"""The Journal port on SQLite: idempotency, approvals, evidence and log, each step in one transaction.

`reserved` lives in memory only: the process owns the state folder, and a reservation that never started has had no
effect. From `awaiting_approval` and `started` on, everything is on disk before the pipeline goes on. What is found
`started` when the file is opened was lost by an earlier process: in doubt.
"""

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import anyio
import apsw
import orjson
import structlog

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.rows import ApprovalRow, CallRow
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.approval import (
    Answer,
    ApprovalRequest,
    ApprovalState,
    Approved,
    Approver,
    Grant,
    SignedAnswer,
    check_answer,
)
from gateway.core.call import IdempotencyKey, SealedCall
from gateway.core.decision import PolicyDecision
from gateway.core.entry import Kind, Record, SealedEntry
from gateway.core.envelope import (
    Answered,
    Ending,
    NotDone,
    Refusal,
    Replay,
    Status,
    Unknown,
    call_envelope,
    refusal_envelope,
    result_fields,
)
from gateway.core.errors import ApprovalSpent, GatewayError, StoreFault
from gateway.core.idempotency import (
    Held,
    Lost,
    Mismatch,
    NotApproved,
    Prior,
    Reservation,
    Resumed,
    Running,
    State,
    Waiting,
    advance,
)
from gateway.core.outcome import Reason, Receipt
from gateway.core.ports import Clock, Vault

_log = structlog.get_logger("sealgate.journal")

DERIVED_NOTE = (
    "This is the stored result of the same call made shortly before; it was not run again. To run it again, send"
    ' _meta["dev.sealgate/idempotency-key"] with a key of your own.'
)


@dataclass(slots=True)
class _Claim:
    """A key held by a call of this process that has not ended. Owned by the event loop."""

    envelope_id: str
    fingerprint: str
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class SqliteJournal:
    """Implements `core.ports.Journal`, and what approvers and the daemon need. One per state folder.

    Args:
        writer: owns the writing connection
        reader: a read-only connection, used on the event loop for point look-ups
        approvers: who may approve, by key id
        owner: this boot's id, kept with what it starts
        wait_seconds: how long a duplicate waits for the running call before it is told to come back
    """

    def __init__(
        self,
        writer: Writer,
        reader: apsw.Connection,
        vault: Vault,
        clock: Clock,
        *,
        approvers: Mapping[str, Approver],
        origin: str,
        owner: str,
        wait_seconds: float = 10.0,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._clock = clock
        self._approvers = approvers
        self._origin = origin
        self._owner = owner
        self._wait_seconds = wait_seconds
        self._claims: dict[str, _Claim] = {}

    # --- the port ---

    async def reserve(self, call: SealedCall, decision: PolicyDecision, ask: ApprovalRequest | None) -> Reservation:
        key = call.idempotency
        if key is None:
            return Held()
        deadline = self._clock.monotonic() + self._wait_seconds
        while (claim := self._claims.get(key.reservation)) is not None:
            if claim.fingerprint != call.fingerprint:
                return Mismatch()
            try:
                async with asyncio.timeout(max(0.0, deadline - self._clock.monotonic())):
                    await claim.ended.wait()
            except TimeoutError:
                return Running()
        # No await between the look above and the claim below: at most one call holds a key.
        self._claims[key.reservation] = _Claim(call.envelope_id, call.fingerprint)
        reservation: Reservation | None = None
        try:
            reservation = await self._meet(call, key, decision, ask)
        finally:
            if not isinstance(reservation, Held | Resumed):
                self.release(call)
        return reservation

    async def begin(self, grant: Grant) -> None:
        call = grant.call
        if not grant.needs_intent:
            return
        record = Record(Kind.INTENT, call.envelope_id, self._clock.now(), self._granted(grant))
        arguments = self._seal_arguments(call)

        def work(transaction: Transaction) -> None:
            if grant.approved is not None:
                spent = not rows.move_approval(
                    transaction.db,
                    grant.approved.request.approval_id,
                    ApprovalState.APPROVED,
                    ApprovalState.CONSUMED,
                )
                if spent:
                    raise ApprovalSpent("this approval was consumed by another call")
            self._move(transaction, call, State.STARTED, approved=grant.approved)
            rows.put_arguments(transaction.db, call.envelope_id, call.subject, arguments)
            transaction.append(record)

        await self._writer.submit(work)

    async def finish(self, grant: Grant, ending: Ending, duration_ms: int) -> Receipt:
        call = grant.call
        kind = Kind.IN_DOUBT if isinstance(ending, Unknown) else Kind.OUTCOME
        body = {**self._granted(grant), **result_fields(ending, duration_ms)}
        record = Record(kind, call.envelope_id, self._clock.now(), body)
        arguments = None if grant.needs_intent else self._seal_arguments(call)
        result = None
        if isinstance(ending, Answered):
            result = self._vault.seal(call.subject, ending.disclosure.encoded.encode(), _context(call.envelope_id, "result"))
        state = _end_state(call, ending)

        def work(transaction: Transaction) -> SealedEntry:
            if call.idempotency is not None:
                self._move(transaction, call, state)
            if arguments is not None:
                rows.put_arguments(transaction.db, call.envelope_id, call.subject, arguments)
            if result is not None:
                rows.put_result(transaction.db, call.envelope_id, result)
            return transaction.append(record)

        return self._receipt(await self._writer.submit(work, must=True), record)

    async def refuse(self, refusal: Refusal) -> Receipt:
        record = Record(Kind.DENIED, refusal.request.envelope_id, self._clock.now(), refusal_envelope(refusal))
        return await self.record(record)

    async def replay(self, replay: Replay) -> Receipt:
        body = {
            **call_envelope(replay.call, replay.decision),
            "result": {"status": Status.REPLAYED.value, "replay_of": replay.of},
        }
        return await self.record(Record(Kind.OUTCOME, replay.call.envelope_id, self._clock.now(), body))

    def release(self, call: SealedCall) -> None:
        if call.idempotency is None:
            return
        claim = self._claims.get(call.idempotency.reservation)
        if claim is not None and claim.envelope_id == call.envelope_id:
            del self._claims[call.idempotency.reservation]
            claim.ended.set()

    # --- beside the port ---

    async def record(self, record: Record) -> Receipt:
        """Append one entry that changes nothing else: boot, pin, denied."""
        return self._receipt(await self._writer.submit(lambda transaction: transaction.append(record)), record)

    async def recover(self) -> int:
        """Declare in doubt whatever an earlier process started and did not finish; how many. Run before the first call."""

        def work(transaction: Transaction) -> int:
            lost = rows.started_rows(transaction.db)
            for row in lost:
                rows.put_call(
                    transaction.db, replace(row, state=advance(row.state, State.IN_DOUBT), updated_at=self._clock.now())
                )
                transaction.append(Record(Kind.IN_DOUBT, row.envelope_id, self._clock.now(), _lost(row)))
            return len(lost)

        return await self._writer.submit(work, must=True)

    async def answer(self, approval_id: str, envelope: dict[str, Any]) -> SignedAnswer | Reason:
        """Check an approver's signed answer and record it; the Reason where it does not count."""
        row = rows.approval_row(self._reader, approval_id)
        if row is None:
            return Reason("approval.unknown", "There is no such approval request.")
        signed = check_answer(row.request, row.state, envelope, self._approvers, self._clock.now())
        if isinstance(signed, Reason):
            return signed
        then = ApprovalState.APPROVED if signed.answer is Answer.APPROVE else ApprovalState.REJECTED
        body = {
            **_asked(row.request),
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
        """Expire pending requests whose time is over, each with its entry; how many."""
        due = rows.due_approvals(self._reader, self._clock.now())
        for approval_id in due:
            approval = rows.approval_row(self._reader, approval_id)
            if approval is not None:
                await self._end_approval(approval, ApprovalState.EXPIRED)
        return len(due)

    def approvals(self, *, pending_only: bool) -> list[ApprovalRow]:
        """Approval requests, oldest first."""
        return rows.approval_rows(self._reader, pending_only=pending_only)

    def approval(self, approval_id: str) -> tuple[ApprovalRow, bytes] | None:
        """One request with the JSON bytes of the arguments it is about."""
        row = rows.approval_row(self._reader, approval_id)
        if row is None:
            return None
        kept = rows.evidence(self._reader, row.request.approval_id)
        if kept is None:
            return row, b"null"
        subject, sealed, _ = kept
        return row, self._vault.open(subject, sealed, _context(row.request.approval_id, "pending"))

    def close(self) -> None:
        """Close reader and writer; the writer commits what it still has."""
        self._reader.close()
        self._writer.close()

    # --- inside ---

    async def _meet(
        self, call: SealedCall, key: IdempotencyKey, decision: PolicyDecision, ask: ApprovalRequest | None
    ) -> Reservation:
        """What the call meets under its key, with the key claimed."""
        row = rows.call_row(self._reader, key.reservation)
        if row is not None and self._forgotten(row, key):
            row = None
        if row is not None and row.fingerprint != call.fingerprint and row.state not in (State.FAILED, State.RELEASED):
            return Mismatch()
        if row is not None:
            match row.state:
                case State.COMPLETED:
                    return self._prior(row, key)
                case State.STARTED | State.IN_DOUBT:
                    return Lost(row.envelope_id)
                case State.AWAITING_APPROVAL if (met := await self._meet_approval(call, row, decision, ask)) is not None:
                    return met
                case _:
                    pass
        return Held() if ask is None else await self._ask(call, key, ask)

    def _forgotten(self, row: CallRow, key: IdempotencyKey) -> bool:
        """A derived key stands for the same call for a while only."""
        if row.state is not State.COMPLETED or key.window_seconds is None:
            return False
        return row.updated_at < self._clock.later(-key.window_seconds)

    def _prior(self, row: CallRow, key: IdempotencyKey) -> Prior:
        kept = rows.evidence(self._reader, row.envelope_id)
        if kept is None or kept[2] is None:
            raise GatewayError(f"no result is stored for {row.envelope_id}", code="store.result_missing")
        disclosure = self._vault.open(kept[0], kept[2], _context(row.envelope_id, "result"))
        return Prior(row.envelope_id, _disclosed_value(disclosure), DERIVED_NOTE if key.window_seconds else None)

    async def _meet_approval(
        self, call: SealedCall, row: CallRow, decision: PolicyDecision, ask: ApprovalRequest | None
    ) -> Reservation | None:
        """What becomes of the request this call waits for; None where it no longer matters and the key is free."""
        approval = rows.approval_row(self._reader, row.approval_id or "")
        if approval is None:
            raise StoreFault(f"the approval request {row.approval_id} is not in the journal")
        request, live = approval.request, approval.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
        if live and self._clock.now() >= request.expires_at:
            if await self._end_approval(approval, ApprovalState.EXPIRED, release=call):
                return NotApproved(_expired(request))
            return await self._meet_approval(call, row, decision, ask)  # answered at this very moment: look again
        if live and (ask is None or not request.is_for(call, decision)):  # something else is asked now, or nothing
            if await self._end_approval(approval, ApprovalState.VOID, release=call):
                return None
            return await self._meet_approval(call, row, decision, ask)
        match approval.state:
            case ApprovalState.PENDING:
                return Waiting(request)
            case ApprovalState.APPROVED:
                signed = self._signed(approval)
                if signed is not None:
                    return Resumed(Approved(request, signed))
                await self._end_approval(approval, ApprovalState.VOID, release=call)  # nothing ends it meanwhile
                return None
            case ApprovalState.REJECTED:
                reason = Reason("approval.rejected", "A person rejected this call.")
            case _:
                reason = _expired(request)
        await self._writer.submit(lambda transaction: self._move(transaction, call, State.RELEASED))
        return NotApproved(reason)

    def _signed(self, approval: ApprovalRow) -> SignedAnswer | None:
        """The yes of an approved request, its signature checked again: that the journal says so is not enough."""
        envelope = approval.answer.envelope if approval.answer is not None else {}
        signed = check_answer(approval.request, ApprovalState.PENDING, envelope, self._approvers, self._clock.now())
        if isinstance(signed, SignedAnswer) and signed.answer is Answer.APPROVE:
            return signed
        _log.error("approval_not_signed", approval_id=approval.request.approval_id)
        return None

    async def _ask(self, call: SealedCall, key: IdempotencyKey, ask: ApprovalRequest) -> Waiting:
        """File the request: durable before the caller hears of it."""
        record = Record(Kind.APPROVAL, ask.approval_id, self._clock.now(), {**_asked(ask), "event": "requested"})
        pending = self._vault.seal(call.subject, call.arguments, _context(ask.approval_id, "pending"))

        def work(transaction: Transaction) -> None:
            self._move(transaction, call, State.AWAITING_APPROVAL, approval_id=ask.approval_id)
            rows.put_approval(transaction.db, ask, key.reservation)
            rows.put_arguments(transaction.db, ask.approval_id, call.subject, pending)
            transaction.append(record)

        with anyio.CancelScope(shield=True):  # a caller that leaves now must not leave half a question behind
            await self._writer.submit(work)
        return Waiting(ask)

    async def _end_approval(self, approval: ApprovalRow, then: ApprovalState, *, release: SealedCall | None = None) -> bool:
        """Expire or void a request and free the key of the call that asks for that; False if it ended meanwhile."""
        body = {**_asked(approval.request), "event": then.value}
        record = Record(Kind.APPROVAL, self._clock.new_id(), self._clock.now(), body)

        def work(transaction: Transaction) -> bool:
            if not rows.move_approval(transaction.db, approval.request.approval_id, approval.state, then):
                return False
            transaction.append(record)
            if release is not None:
                self._move(transaction, release, State.RELEASED)
            return True

        return await self._writer.submit(work)

    def _move(
        self,
        transaction: Transaction,
        call: SealedCall,
        then: State,
        *,
        approval_id: str | None = None,
        approved: Approved | None = None,
    ) -> None:
        """Bring the call's row to `then`, or make it; the state machine decides whether that may be."""
        key = call.idempotency
        if key is None:
            raise RuntimeError(f"{call.capability.id} has no key to keep a state under")
        row = rows.call_row(transaction.db, key.reservation)
        now = State.RESERVED
        fence = 1
        if row is not None:
            ended = row.state in (State.FAILED, State.RELEASED) or self._forgotten(row, key)
            now = State.RESERVED if ended else row.state
            fence = row.fence + 1 if ended else row.fence
        rows.put_call(
            transaction.db,
            CallRow(
                key.reservation,
                advance(now, then),
                call.envelope_id,
                call.fingerprint,
                call.call_digest,
                call.capability.id,
                call.subject,
                approval_id or (approved.request.approval_id if approved else None),
                self._owner,
                fence,
                self._clock.now(),
            ),
        )

    def _granted(self, grant: Grant) -> dict[str, Any]:
        return call_envelope(grant.call, grant.decision, grant.approved)

    def _seal_arguments(self, call: SealedCall) -> bytes:
        disclosures = orjson.dumps([disclosure.encoded for disclosure in call.disclosures])
        return self._vault.seal(call.subject, disclosures, _context(call.envelope_id, "arguments"))

    def _receipt(self, sealed: SealedEntry, record: Record) -> Receipt:
        return Receipt(
            envelope_id=record.id,
            kind=record.kind.value,
            log_origin=self._origin,
            leaf_index=sealed.index,
            leaf_hash=sealed.leaf.hex(),
            keyid=sealed.keyid,
            signature=sealed.signature,
        )


def _end_state(call: SealedCall, ending: Ending) -> State:
    match ending:
        case Answered(is_error=True) if call.idempotency is not None and call.idempotency.derived:
            return State.FAILED  # the tool said it failed: the same call again is meant to run (docs/decisions/0005)
        case Answered():
            return State.COMPLETED
        case NotDone():
            return State.FAILED
        case Unknown():
            return State.IN_DOUBT


def _asked(request: ApprovalRequest) -> dict[str, Any]:
    """An approval request as it stands in an entry: reasons by code."""
    document = request.document()
    document["reasons"] = [reason.code for reason in request.reasons]
    return {"approval": document}


def _lost(row: CallRow) -> dict[str, Any]:
    return {
        "envelope_id": row.envelope_id,
        "capability": {"capability_id": row.capability_id},
        "call": {"call_digest": row.call_digest},
        "result": {"status": Status.IN_DOUBT.value, "reason": "gateway.restarted"},
    }


def _expired(request: ApprovalRequest) -> Reason:
    return Reason("approval.expired", f"Nobody answered before {request.expires_at}. Make the call again to ask anew.")


def _context(envelope_id: str, what: str) -> bytes:
    return f"{envelope_id}:{what}".encode()


def _disclosed_value(encoded: bytes) -> dict[str, Any]:
    document = orjson.loads(urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4)))
    value = document[2]
    if not isinstance(value, dict):
        raise TypeError("a stored result is an object")
    return value
