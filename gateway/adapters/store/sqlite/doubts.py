"""Calls in doubt: which there are, and the one verdict that ends each."""

import apsw

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.compensations import end_undoing
from gateway.adapters.store.sqlite.evidence import put_told_result, seal_told_result, stored_values
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.commitment import Kept, Missing
from gateway.core.entry import Kind, Record, SealedEntry
from gateway.core.idempotency import CallRow, resolved
from gateway.core.outcome import Reason, Receipt
from gateway.core.ports import Clock, Vault
from gateway.core.resolution import Resolution, doubt


class Doubts:
    """See the module. `reader` is used on the event loop."""

    def __init__(self, writer: Writer, reader: apsw.Connection, vault: Vault, clock: Clock, *, origin: str) -> None:
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._clock = clock
        self._origin = origin

    def rows(self) -> list[CallRow]:
        """What is in doubt, oldest first."""
        return rows.doubtful_rows(self._reader)

    def row(self, envelope_id: str) -> CallRow | Reason:
        """The doubt of this call; the Reason where it is not in doubt."""
        return doubt(rows.call_of(self._reader, envelope_id))

    async def arguments(self, envelope_id: str) -> tuple[Kept, ...] | Missing:
        """What is kept of the call's arguments. Raises `KeyFault`."""
        return (await stored_values(self._vault, self._reader, envelope_id)).arguments()

    async def resolve(self, resolution: Resolution) -> Receipt | Reason:
        """Record a verdict; the Reason where it does not count: there is no such doubt, or another verdict came first."""
        row = self.row(resolution.envelope_id)
        if isinstance(row, Reason):
            return row
        record = Record(Kind.RESOLUTION, self._clock.new_id(), self._clock.now(), resolution.body())
        result = resolution.result
        sealed = None
        if result is not None:
            key = await self._vault.sealing_key(row.subject)
            sealed = seal_told_result(key, row.envelope_id, result.disclosure)

        def work(transaction: Transaction) -> SealedEntry | Reason:
            now = doubt(rows.call_of(transaction.db, resolution.envelope_id))
            if isinstance(now, Reason):
                return now
            rows.put_call(transaction.db, resolved(now, resolution.verdict, resolution.method, self._clock.now()))
            if sealed is not None:
                put_told_result(transaction.db, now.envelope_id, now.subject, sealed)
            entry = transaction.append(record)
            end_undoing(transaction, now.envelope_id, self._clock, done=resolution.undid)
            return entry

        done = await self._writer.submit(work)
        return done if isinstance(done, Reason) else Receipt.of(record, done, self._origin)
