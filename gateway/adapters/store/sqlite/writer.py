"""The writer: one thread that owns the only writing connection and commits what is waiting in one transaction.

* Natural batching: whatever is queued, at most 256 items, no timer. A result is handed out after its COMMIT.
* The queue is bounded; a full one refuses the call before any effect.
* An item that breaks a rule fails alone: the batch is rolled back and its items are done again one by one.
* Any other database error, such as a full disk or a failed fsync, ends the writer for good: nothing is retried, every
  later item is refused, and the process must restart and recover from disk.
* The log's tiles are stored in the transaction of the entries they are made of.
* A checkpoint is signed after the commit it covers: when the writer is idle, and at least every second while it is busy.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw
import structlog

from gateway.adapters.store.sqlite.policies import mark_told
from gateway.adapters.store.sqlite.tiles import put_tile, stored_edge
from gateway.core.checkpoint import Checkpoint, LogSigner, sign_checkpoint
from gateway.core.dsse import Signer
from gateway.core.entry import Record, SealedEntry, seal_entry
from gateway.core.errors import GatewayError, Overloaded, StoreFault
from gateway.core.merkle import Frontier
from gateway.core.policy_told import policy_told
from gateway.core.tiles import TileEdge

MAX_QUEUE = 4096
MAX_BATCH = 256
CHECKPOINT_SECONDS = 1.0
IDLE_SECONDS = 0.05

T = TypeVar("T")
_log = structlog.get_logger("sealgate.journal")

_ITEM_FAULTS = (GatewayError, apsw.ConstraintError, RuntimeError, ValueError, KeyError, TypeError)
"""What fails one item. Every other error may have left the database in doubt and ends the writer."""


class Transaction:
    """What a unit of work may do: run SQL and append entries, all of it committed together or not at all."""

    def __init__(self, db: apsw.Connection, frontier: Frontier, edge: TileEdge, signer: Signer, *, dev: bool) -> None:
        self.db = db
        self.frontier = frontier
        self.edge = edge
        self._signer = signer
        self._dev = dev

    def append(self, record: Record, co_signers: Sequence[Signer] = ()) -> SealedEntry:
        """Sign `record` for the next place in the log and add it. `co_signers` sign beside the entry key."""
        sealed = seal_entry(record, self.frontier.size, self._signer, dev=self._dev, co_signers=co_signers)
        self.db.execute("INSERT INTO entries VALUES (?, ?, ?)", (sealed.index, sealed.data, sealed.leaf))
        self.frontier.append(sealed.leaf)
        for tile in self.edge.append(sealed.leaf):
            put_tile(self.db, tile)
        if policy_told(record.kind, record.body) is not None:
            mark_told(self.db, sealed.index)
        return sealed


@dataclass(frozen=True, slots=True)
class _Item:
    work: Callable[[Transaction], Any]
    done: "asyncio.Future[Any]"


_Settled = tuple[_Item, Any, BaseException | None]


class Writer:
    """See the module. `submit` is called on one event loop; `on_death` is called once, from the writer's thread."""

    def __init__(
        self,
        db: apsw.Connection,
        *,
        origin: str,
        entry_signer: Signer,
        log_signer: LogSigner,
        log_co_signers: Sequence[LogSigner] = (),
        dev: bool,
        on_death: Callable[[StoreFault], None],
        max_queue: int = MAX_QUEUE,
    ) -> None:
        self._db = db
        self._origin = origin
        self._entry_signer = entry_signer
        self._log_signers = (log_signer, *log_co_signers)
        self._dev = dev
        self._on_death = on_death
        self._max_queue = max_queue
        self._queue: queue.Queue[_Item | None] = queue.Queue()
        self._dead: StoreFault | None = None
        self._closing = False
        try:
            self._frontier = _stored_frontier(db)
            self._edge = stored_edge(db, self._frontier)
            self._checkpointed = _last_checkpoint(db)
        except apsw.Error as error:
            raise StoreFault(f"the log cannot be read: {error}", hint="Restore it from a backup.") from error
        if self._checkpointed > self._frontier.size:  # going on would sign checkpoints that contradict this one
            raise StoreFault(
                f"the log has {self._frontier.size} entries, and a checkpoint of {self._checkpointed}: it was cut",
                hint="sealgate log verify names what is missing. Restore the newest copy.",
            )
        self._checkpoint_due = 0.0
        self._thread = threading.Thread(target=self._run, name="sealgate-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Callable[[Transaction], T], *, must: bool = False) -> T:
        """Run `work` inside a transaction and wait until it is committed. `work` may run twice, so it has no side effects.

        `must`: it records what has happened already, so a full queue does not refuse it. There is one such for each call
        that was begun, which bounds them.

        Raises:
            Overloaded: the queue is full; nothing was done.
            StoreFault: the writer is dead; whether the work was committed shows after the restart.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._check_alive()
        if self._closing:
            raise StoreFault("the journal is closed")
        if not must and self._queue.qsize() >= self._max_queue:
            raise Overloaded("the journal's queue is full", hint="Try again shortly.")
        self._queue.put_nowait(_Item(work, done))
        try:
            self._check_alive()
        except StoreFault:  # it died between the check and the put: perhaps nobody will answer
            done.cancel()
            raise
        return await done

    def close(self) -> None:
        """Commit what is queued, sign the last checkpoint, close the file."""
        self._closing = True
        if self._dead is None:
            self._queue.put(None)
        self._thread.join(timeout=30)
        self._db.close()

    def _check_alive(self) -> None:
        if self._dead is not None:
            raise self._dead

    def _run(self) -> None:
        try:
            while self._turn():
                pass
            self._checkpoint()
        except Exception as error:  # noqa: BLE001 whatever it is, durability can no longer be promised
            self._die(error)

    def _turn(self) -> bool:
        """Commit one batch, or a checkpoint when idle; False once the close was seen."""
        unsigned = self._checkpointed != self._frontier.size
        try:
            items = [self._queue.get(timeout=IDLE_SECONDS if unsigned else None)]
        except queue.Empty:
            self._checkpoint()
            return True
        while len(items) < MAX_BATCH:
            try:
                items.append(self._queue.get_nowait())
            except queue.Empty:
                break
        batch = [item for item in items if item is not None]
        if batch:
            self._commit(batch)
            if time.monotonic() >= self._checkpoint_due:
                self._checkpoint()
        return None not in items

    def _commit(self, batch: list[_Item]) -> None:
        try:
            results = self._transact([item.work for item in batch])
        except _ITEM_FAULTS as error:
            if len(batch) == 1:
                _settle([(batch[0], None, error)])
                return
            for place, item in enumerate(batch):
                try:
                    self._commit([item])
                except BaseException as fatal:
                    fault = _fault(fatal)
                    _settle([(left, None, fault) for left in batch[place + 1 :]])
                    raise
            return
        except BaseException as error:
            fault = _fault(error)
            _settle([(item, None, fault) for item in batch])
            raise
        _settle([(item, result, None) for item, result in zip(batch, results, strict=True)])

    def _transact(self, works: list[Callable[[Transaction], T]]) -> list[T]:
        frontier, edge = self._frontier.copy(), self._edge.copy()
        transaction = Transaction(self._db, frontier, edge, self._entry_signer, dev=self._dev)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            results = [work(transaction) for work in works]
            if frontier.size != self._frontier.size:
                self._db.execute(
                    "INSERT INTO head VALUES (1, ?, ?, ?) ON CONFLICT (one) DO UPDATE"
                    " SET size = excluded.size, frontier = excluded.frontier, root = excluded.root",
                    (frontier.size, frontier.to_bytes(), frontier.root()),
                )
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._frontier, self._edge = frontier, edge
        return results

    def _checkpoint(self) -> None:
        """Sign what is committed by now; never anything else, or two checkpoints could contradict each other."""
        self._checkpoint_due = time.monotonic() + CHECKPOINT_SECONDS
        if self._checkpointed == self._frontier.size:
            return
        checkpoint = Checkpoint(self._origin, self._frontier.size, self._frontier.root())
        note = sign_checkpoint(checkpoint, *self._log_signers)
        self._db.execute("INSERT OR IGNORE INTO checkpoints VALUES (?, ?)", (checkpoint.size, note))
        self._checkpointed = checkpoint.size

    def _die(self, error: Exception) -> None:
        self._dead = _fault(error)
        _log.critical("journal_failed", cause=str(error))
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is not None:
                _settle([(item, None, self._dead)])
        self._on_death(self._dead)


def _settle(settled: list[_Settled]) -> None:
    """Tell the callers, all of a batch in one turn of their loop. One who went away is passed over: its work is done."""
    if not settled:
        return
    with contextlib.suppress(RuntimeError):  # the loop was closed: nobody listens any more
        settled[0][0].done.get_loop().call_soon_threadsafe(_deliver, settled)


def _deliver(settled: list[_Settled]) -> None:
    for item, result, error in settled:
        if item.done.done():
            continue
        if error is None:
            item.done.set_result(result)
        else:
            item.done.set_exception(error)


def _fault(error: BaseException) -> StoreFault:
    return StoreFault(
        f"the journal cannot be written: {error}", hint="Free the disk or mend it, then start again: it recovers by itself."
    )


def _stored_frontier(db: apsw.Connection) -> Frontier:
    # The types of a damaged row are not counted on: SQLite keeps any type in any column.
    try:
        row: tuple[Any, Any, Any] | None = db.execute("SELECT size, frontier, root FROM head").get
        size, subtrees, root = row or (0, b"", Frontier().root())
        if not isinstance(size, int) or not isinstance(subtrees, bytes):
            raise ValueError("it is no number and bytes")
        frontier = Frontier.from_bytes(size, subtrees)
    except ValueError as error:
        raise StoreFault(f"the log's stored head is damaged: {error}", hint="sealgate log verify names what is.") from error
    count = db.execute("SELECT coalesce(max(idx) + 1, 0) FROM entries").get
    if count != size or frontier.root() != root:
        raise StoreFault("the log and its stored head disagree", hint="sealgate log verify names the first difference.")
    return frontier


def _last_checkpoint(db: apsw.Connection) -> int:
    size: int = db.execute("SELECT coalesce(max(size), 0) FROM checkpoints").get
    return size
