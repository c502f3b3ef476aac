"""Calls that undo others: both rows and the `compensation` entry move in the transaction of the undoing call's own entry."""

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.writer import Transaction
from gateway.core.call import SealedCall
from gateway.core.entry import Kind, Record
from gateway.core.idempotency import IllegalTransition, undoing, undone
from gateway.core.ports import Clock
from gateway.core.reservation import not_compensable


def begin_undoing(transaction: Transaction, call: SealedCall, clock: Clock) -> None:
    """`call` begins to undo the call it names. That it may was decided before: if not, it is a bug, and nothing begins."""
    target = rows.call_of(transaction.db, call.compensates or "")
    refusal = not_compensable(call, target)
    if target is None or refusal is not None:
        raise IllegalTransition(f"{call.envelope_id} may not undo {call.compensates}: {refusal and refusal.code}")
    rows.put_call(transaction.db, undoing(target, call.envelope_id))
    _tell(transaction, target.envelope_id, call.envelope_id, "started", clock)


def end_undoing(transaction: Transaction, envelope_id: str, clock: Clock, *, done: bool) -> None:
    """The call of `envelope_id` ended; where it undoes another, that one is undone, or as it was before."""
    target = rows.undone_by(transaction.db, envelope_id)
    if target is None:
        return
    rows.put_call(transaction.db, undone(target, done=done))
    _tell(transaction, target.envelope_id, envelope_id, "completed" if done else "failed", clock)


def _tell(transaction: Transaction, of: str, by: str, event: str, clock: Clock) -> None:
    link = {"of": of, "by": by, "event": event}
    transaction.append(Record(Kind.COMPENSATION, clock.new_id(), clock.now(), {"compensation": link}))
