"""The Journal port on SQLite: idempotency, approvals, evidence and log, each step in one transaction.

`reserved` lives in memory only: the process owns the state folder, and a reservation that never started has had no
effect. From `awaiting_approval` and `started` on, everything is on disk before the pipeline goes on. What is found
`started` when the file is opened was lost by an earlier process: in doubt.

What a call meets is decided by `core.reservation.meet`; here it is read and written. Beside this stand the keys that running
calls hold (`claims.py`), the requests that people answer (`questions.py`), calls in doubt (`doubts.py`) and calls that undo
others (`compensations.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import apsw
import orjson
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.claims import Claims
from gateway.adapters.store.sqlite.compensations import begin_undoing, end_undoing
from gateway.adapters.store.sqlite.decisions import (
    SealedInput,
    drop_inputs_before,
    newest_inputs,
    seal_input,
    stored_input,
)
from gateway.adapters.store.sqlite.doubts import Doubts
from gateway.adapters.store.sqlite.erasure import Erasures
from gateway.adapters.store.sqlite.evidence import (
    KeptValues,
    SealedQuestion,
    drop_evidence_before,
    evidence_row,
    put_arguments,
    put_result,
    seal_arguments,
    seal_question,
    seal_result,
    stored_values,
)
from gateway.adapters.store.sqlite.flows import count_effect, flow_row, put_intent, taint
from gateway.adapters.store.sqlite.policies import last_told
from gateway.adapters.store.sqlite.questions import Questions
from gateway.adapters.store.sqlite.restored import append_boot
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.answer import Approver, Attestor, SignedAnswer
from gateway.core.approval import ApprovalRequest, ApprovalState, Grant
from gateway.core.call import Compensated, IdempotencyKey, SealedCall
from gateway.core.capability import TrustLevel
from gateway.core.commitment import Missing
from gateway.core.decision import PolicyDecision
from gateway.core.entry import Kind, Record, SealedEntry
from gateway.core.envelope import (
    Answered,
    Ending,
    Refusal,
    Replay,
    Status,
    Unknown,
    call_envelope,
    refusal_envelope,
    replay_fields,
    result_fields,
)
from gateway.core.errors import FlowChanged, GatewayError, KeyFault, Overloaded, StoreFault
from gateway.core.evidence import EvidenceRef
from gateway.core.flow import Flow
from gateway.core.idempotency import (
    RESTARTED,
    CallRow,
    State,
    claimed,
    end_state,
    ended,
    is_forgotten,
    key_of,
    lost,
    tombstone,
    undid,
)
from gateway.core.outcome import Reason, Receipt
from gateway.core.policy_told import PolicyTold
from gateway.core.ports import Clock, Vault
from gateway.core.reservation import (
    Asked,
    Change,
    Changed,
    Done,
    Found,
    Gone,
    Held,
    Instead,
    NotApproved,
    Prior,
    Reservation,
    Resumed,
    Verdict,
    Waiting,
    compensated,
    gone,
    meet,
)
from gateway.core.resolution import resolver_of

DERIVED_NOTE = (
    "This is the stored result of the same call made shortly before; it was not run again. To run it again, send"
    ' _meta["dev.sealgate/idempotency-key"] with a key of your own.'
)
CHANGE_GONE = Reason(
    "approval.change_gone",
    "A person changed this call, and the changed arguments are kept no more. Ask anew after that expired.",
)
DROP_AT_ONCE = 256
KEY_SECONDS = 2.0
"""How long a refusal waits for the key that what policy saw is sealed with."""

_log = structlog.get_logger("sealgate.journal")


class SqliteJournal:
    """Implements `core.ports.Journal`, and what the daemon needs. One per state folder.

    Args:
        writer: owns the writing connection
        reader: a read-only connection, used on the event loop for point look-ups
        approvers: who may approve, by key id
        attestor: signs what clients answered to elicitations; None: nothing is elicited
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
        attestor: Attestor | None = None,
        origin: str,
        wait_seconds: float = 10.0,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._clock = clock
        self._origin = origin
        self._claims = Claims(reader, clock, wait_seconds)
        self.questions = Questions(writer, reader, vault, clock, approvers, attestor)
        self.doubts = Doubts(writer, reader, vault, clock, origin=origin)
        self.erasures = Erasures(writer, reader, vault, self.questions, clock)

    # --- the port ---

    def compensated(self, call: SealedCall) -> Compensated | None:
        if call.compensates is None:
            return None
        return compensated(call, rows.call_of(self._reader, call.compensates))

    def flow(self, call: SealedCall) -> Flow:
        return flow_row(self._reader, call, self._clock)

    async def register_intent(self, call: SealedCall) -> Reason | None:
        if call.intent is None or flow_row(self._reader, call, self._clock).intent == call.intent:
            return None
        intent = call.intent

        def work(transaction: Transaction) -> Reason | None:
            refusal = flow_row(transaction.db, call, self._clock).why_not(intent)
            if refusal is None:
                put_intent(transaction.db, call, self._clock.now())
            return refusal

        return await self._writer.submit(work)

    async def reserve(self, call: SealedCall, decision: PolicyDecision, ask: ApprovalRequest | None) -> Reservation:
        key = call.idempotency
        if key is None:
            return Held()
        reservation: Reservation | None = None
        try:
            reservation = await self._claims.take(call, key)
            if reservation is None:
                reservation = await self._meet(call, key, decision, ask)
        finally:
            if not isinstance(reservation, Held | Resumed):
                self.release(call)
        return reservation

    async def begin(self, grant: Grant, decided_on: Flow | None = None) -> None:
        call = grant.call
        key = await self._vault.sealing_key(call.subject)  # of a read as well: what could not be kept does not run
        if not grant.needs_intent:
            return
        record = Record(Kind.INTENT, call.envelope_id, self._clock.now(), self._granted(grant))
        arguments, seen = seal_arguments(key, call), seal_input(key, call, grant.decision)

        def work(transaction: Transaction) -> int:
            if decided_on is not None and not decided_on.is_as_strict_as(flow_row(transaction.db, call, self._clock)):
                raise FlowChanged("the run became stricter after this call was decided")
            approved, at = grant.approved, record.recorded_at
            approval_id = None if approved is None else self.questions.spend(transaction, approved, at)
            row = self._take(transaction, call, State.STARTED, approval_id)
            put_arguments(transaction.db, call.envelope_id, call.subject, arguments)
            if seen is not None:
                seen.put(transaction.db)
            if call.capability.mode.has_effect:
                count_effect(transaction.db, call, self._clock.now())
            transaction.append(record)
            if call.compensates is not None:
                begin_undoing(transaction, call, self._clock)
            return row.fence

        fence = await self._writer.submit(work)
        claim = self._claims.of(call)
        if claim is not None:
            claim.fence, claim.sealing = fence, key

    async def finish(self, grant: Grant, ending: Ending, duration_ms: int) -> Receipt:
        call = grant.call
        kind = Kind.IN_DOUBT if isinstance(ending, Unknown) else Kind.OUTCOME
        body = {**self._granted(grant), **result_fields(call, ending, duration_ms)}
        record = Record(kind, call.envelope_id, self._clock.now(), body)
        claim = self._claims.of(call)
        fence = None if claim is None else claim.fence
        arguments = result = seen = None
        if isinstance(ending, Answered) or not grant.needs_intent:
            # What was begun is sealed under its own key, with no wait in which its end could be lost.
            key = claim.sealing if claim is not None else None
            if key is None:
                key = await self._vault.sealing_key(call.subject)
            if not grant.needs_intent:
                arguments, seen = seal_arguments(key, call), seal_input(key, call, grant.decision)
            result = seal_result(key, call, ending) if isinstance(ending, Answered) else None

        def work(transaction: Transaction) -> SealedEntry:
            if grant.needs_intent:
                row = rows.call_row(transaction.db, key_of(call).reservation)
                rows.put_call(transaction.db, ended(row, call, fence, ending, self._clock.now()))
            elif call.idempotency is not None:
                self._take(transaction, call, end_state(call, ending))
            if arguments is not None:
                put_arguments(transaction.db, call.envelope_id, call.subject, arguments)
            if seen is not None:
                seen.put(transaction.db)
            if result is not None:
                put_result(transaction.db, call.envelope_id, result)
            if isinstance(ending, Answered):
                self._is_read(transaction, call, ending.evidence)
            entry = transaction.append(record)
            is_error = isinstance(ending, Answered) and ending.is_error
            done = undid(end_state(call, ending), is_error=is_error)
            if call.compensates is not None and done is not None:
                end_undoing(transaction, call.envelope_id, self._clock, done=done)
            return entry

        return Receipt.of(record, await self._writer.submit(work, must=True), self._origin)

    async def refuse(self, refusal: Refusal) -> Receipt:
        record = Record(Kind.DENIED, refusal.request.envelope_id, self._clock.now(), refusal_envelope(refusal))
        call, decision = refusal.call, refusal.decision
        if call is None or decision is None or not decision.input:  # policy was not asked, or tells not what it saw
            return await self.record(record)
        try:
            async with asyncio.timeout(KEY_SECONDS):
                key = await self._vault.sealing_key(call.subject)
        except (StoreFault, KeyFault, Overloaded, TimeoutError) as error:  # no reason to leave the refusal untold
            _log.error("policy_input_not_kept", envelope_id=call.envelope_id, cause=str(error) or type(error).__name__)
            return await self.record(_without_input(record))
        return await self._record_decided(record, call, seal_input(key, call, decision))

    async def replay(self, replay: Replay) -> Receipt:
        body = {**call_envelope(replay.call, replay.decision), **replay_fields(replay)}
        record = Record(Kind.OUTCOME, replay.call.envelope_id, self._clock.now(), body)
        seen = seal_input(await self._vault.sealing_key(replay.call.subject), replay.call, replay.decision)
        return await self._record_decided(record, replay.call, seen, read=replay.evidence)

    def release(self, call: SealedCall) -> None:
        self._claims.release(call)

    # --- beside the port ---

    async def record(self, record: Record) -> Receipt:
        """Append one entry that changes nothing else: boot, pin, policy, denied."""
        entry = await self._writer.submit(lambda transaction: transaction.append(record))
        return Receipt.of(record, entry, self._origin)

    async def _record_decided(
        self, record: Record, call: SealedCall, seen: SealedInput | None, *, read: EvidenceRef | None = None
    ) -> Receipt:
        """The only entry of a call that did not run, with what policy saw of it. `read`: the stored result it is given."""

        def work(transaction: Transaction) -> SealedEntry:
            if seen is not None:
                seen.put(transaction.db)
            if read is not None:
                self._is_read(transaction, call, read)
            return transaction.append(record)

        return Receipt.of(record, await self._writer.submit(work), self._origin)

    async def boot(self, record: Record) -> None:
        """The boot entry of this process. After a restore it says so, and questions of before end (`restored.py`)."""
        await self._writer.submit(lambda transaction: append_boot(transaction, record, self._clock))

    async def recover(self) -> int:
        """Declare in doubt whatever an earlier process started and did not finish; how many. Run before the first call.

        Erasures that it began are finished, too.
        """
        await self.erasures.complete_due()

        def work(transaction: Transaction) -> int:
            found = rows.started_rows(transaction.db)
            for row in found:
                rows.put_call(transaction.db, lost(row, self._clock.now()))
                transaction.append(Record(Kind.IN_DOUBT, row.envelope_id, self._clock.now(), _lost(row)))
            return len(found)

        return await self._writer.submit(work, must=True)

    async def drop_before(self, oldest_id: str) -> int:
        """Forget the arguments and results of calls older than this id (a UUIDv7 tells its time); how many.

        The calls' rows stay: a call whose result is gone does not run again. Nothing is taken from pending requests, nor
        of a changed call that was approved and can yet be made.
        """
        dropped = 0
        drop_evidence = partial(drop_evidence_before, now=self._clock.now())
        for drop, counts in ((drop_evidence, True), (drop_inputs_before, False)):
            found = DROP_AT_ONCE
            while found == DROP_AT_ONCE:
                found = await self._writer.submit(partial(_dropped, drop=drop, oldest_id=oldest_id))
                dropped += found if counts else 0
        return dropped

    def policy_told(self, keys: Mapping[str, Ed25519PublicKey]) -> PolicyTold | None:
        """What the log said last of the policies that decide. Raises `StoreFault`."""
        return last_told(self._reader, keys)

    async def policy_input(self, envelope_id: str) -> dict[str, Any] | Missing:
        """What policy saw of a call, secrets redacted. Raises `KeyFault`."""
        return await stored_input(self._vault, self._reader, envelope_id)

    async def policy_inputs(self, most: int) -> AsyncIterator[dict[str, Any]]:
        """What policy saw of the last calls, the newest first, at most so many. Raises `KeyFault`."""
        for envelope_id in newest_inputs(self._reader, most):
            found = await self.policy_input(envelope_id)
            if not isinstance(found, Missing):
                yield found

    async def values(self, envelope_id: str) -> KeptValues | None:
        """What is kept of a call's arguments and result, for an auditor; None where nothing is.

        Raises `KeyFault`; `GatewayError` where the id is an approval request's.
        """
        if rows.approval_row(self._reader, envelope_id) is not None:
            raise GatewayError(
                f"{envelope_id} is no call: it is an approval request",
                hint=f"sealgate approvals show {envelope_id}",
                code="log.no_values",
            )
        return (await stored_values(self._vault, self._reader, envelope_id)).all()

    def close(self) -> None:
        """Close reader and writer; the writer commits what it still has."""
        self._reader.close()
        self._writer.close()

    # --- inside: what a call meets ---

    async def _meet(
        self, call: SealedCall, key: IdempotencyKey, decision: PolicyDecision, ask: ApprovalRequest | None
    ) -> Reservation:
        """What the call meets under its key, with the key claimed. What it changes is durable before it is told."""
        asked = Asked(call, decision, ask, self._clock.now(), self._window_began(key))
        verdict = meet(self._found(self._reader, call, key), asked)
        if verdict.change is not None:
            question = None if ask is None else await self._sealed_question(call, ask)

            def work(transaction: Transaction) -> Verdict:
                found = self._found(transaction.db, call, key)
                verdict = meet(found, asked)  # again: now nobody else changes what is found
                if verdict.change is not None:
                    self._apply(transaction, found, verdict.change, question)
                return verdict

            with anyio.CancelScope(shield=True):  # a caller that leaves now must not leave half a question behind
                verdict = await self._writer.submit(work)
        match verdict.answer:
            case Done(row):
                return await self._with_result(row, call, key)
            case Changed(request):
                return await self._instead(request)
            case Waiting(request):
                stored = await stored_values(self._vault, self._reader, request.approval_id)
                return Waiting(stored.with_messages(request))
            case answer:
                return answer

    async def _sealed_question(self, call: SealedCall, ask: ApprovalRequest) -> SealedQuestion:
        return seal_question(await self._vault.sealing_key(call.subject), call.shown_arguments, ask, call.hidden)

    async def _instead(self, request: ApprovalRequest) -> Instead | NotApproved:
        """The changed call that waits; where its arguments are kept no more, nobody can make it."""
        pending = (await stored_values(self._vault, self._reader, request.approval_id)).pending()
        if isinstance(pending, Missing):
            return NotApproved(CHANGE_GONE)
        return Instead(request.approval_id, orjson.loads(pending))

    def _found(self, db: apsw.Connection, call: SealedCall, key: IdempotencyKey) -> Found:
        row = rows.call_row(db, key.reservation)
        approval = target = None
        signed: tuple[SignedAnswer, ...] = ()
        if row is not None and row.state is State.AWAITING_APPROVAL:
            approval = rows.approval_row(db, row.approval_id or "")
            if approval is None:
                raise StoreFault(f"the approval request {row.approval_id} is not in the journal")
            if approval.state is ApprovalState.APPROVED:
                signed = self.questions.signed(approval)
        if call.compensates is not None:
            target = rows.call_of(db, call.compensates)
        return Found(row, approval, signed, target, self.questions.reaching(db, call))

    def _apply(self, transaction: Transaction, found: Found, change: Change, question: SealedQuestion | None) -> None:
        if change.ends is not None and found.approval is not None:
            self.questions.end(transaction, found.approval, change.ends)
        self._put(transaction, found.row, change.row)
        if change.files is not None and question is not None:
            self.questions.file(transaction, change.files, change.row, question)

    async def _with_result(self, row: CallRow, call: SealedCall, key: IdempotencyKey) -> Prior | Gone:
        stored = await stored_values(self._vault, self._reader, row.envelope_id)
        kept = stored.result()
        resolver = resolver_of(row)
        if isinstance(kept, Missing):
            unknown = resolver and kept is Missing.NOT_KEPT and evidence_row(self._reader, row.envelope_id) is not None
            return gone(row, None if unknown else kept)
        note = DERIVED_NOTE if key.window_seconds else None
        ran = stored.whole_arguments() if row.call_digest != call.call_digest else None
        return Prior(row.envelope_id, kept.value, note, stored.has_trusted_result(), resolver, kept.redacted, ran)

    # --- inside: rows ---

    def _take(self, transaction: Transaction, call: SealedCall, then: State, approval_id: str | None = None) -> CallRow:
        """Bring the key's row to `then` for `call`; the state machine decides whether that may be."""
        key = key_of(call)
        found = rows.call_row(transaction.db, key.reservation)
        forgotten = found is not None and is_forgotten(found, self._window_began(key))
        row = claimed(found, call, then, self._clock.now(), forgotten=forgotten, approval_id=approval_id)
        self._put(transaction, found, row)
        return row

    def _is_read(self, transaction: Transaction, call: SealedCall, evidence: EvidenceRef) -> None:
        """The call's run has this result from now on: whatever of it is begun later was decided on that."""
        if evidence.trust_level is not TrustLevel.TRUSTED:
            taint(transaction.db, call, self._clock)

    def _put(self, transaction: Transaction, found: CallRow | None, row: CallRow) -> None:
        """Replace what was found. What was done once is not overwritten by another call: it keeps a row of its own."""
        done = found is not None and found.state in (State.COMPLETED, State.COMPENSATED)
        if found is not None and done and found.envelope_id != row.envelope_id:
            rows.put_call(transaction.db, tombstone(found))
        rows.put_call(transaction.db, row)

    def _window_began(self, key: IdempotencyKey) -> str | None:
        return None if key.window_seconds is None else self._clock.later(-key.window_seconds)

    def _granted(self, grant: Grant) -> dict[str, Any]:
        return call_envelope(grant.call, grant.decision, grant.approved)


def _without_input(record: Record) -> Record:
    """The record of a refusal that says that nobody can look up what policy saw."""
    return replace(record, body={**record.body, "policy": {**record.body["policy"], "input_kept": False}})


def _lost(row: CallRow) -> dict[str, Any]:
    return {
        "envelope_id": row.envelope_id,
        "capability": {"capability_id": row.capability_id},
        "call": {"call_digest": row.call_digest},
        "result": {"status": Status.IN_DOUBT.value, "reason": RESTARTED},
    }


def _dropped(transaction: Transaction, *, drop: Callable[[apsw.Connection, str, int], int], oldest_id: str) -> int:
    return drop(transaction.db, oldest_id, DROP_AT_ONCE)
