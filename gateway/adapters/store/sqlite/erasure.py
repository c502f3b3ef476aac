"""Erasure: a subject's stored values are made unreadable for ever, and the log says so.

1. An `erasure` entry and a note that it is due, in one transaction: nothing is destroyed without its entry.
2. The subject's keys are destroyed in the vault. From here on nobody can read the values, whatever is left of them. Offered
   changes of calls, which are in memory, are forgotten.
3. The values are emptied row by row, and pending requests end as void: nobody can look at what they ask any more.
4. The note is removed. Where 2 to 4 were cut off, the next start does them again before the first call.

The calls' rows stay, so what was done is not done again. What is sealed between 1 and 2 is lost with the rest.
"""

import asyncio
from dataclasses import dataclass, replace
from functools import partial

import apsw
import orjson

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.questions import Questions
from gateway.adapters.store.sqlite.writer import Transaction, Writer
from gateway.core.approval import ApprovalState
from gateway.core.entry import Kind, Record
from gateway.core.errors import GatewayError
from gateway.core.idempotency import State, advance
from gateway.core.ports import Clock, Vault

ROWS_AT_ONCE = 1000
REQUESTS_AT_ONCE = 64
_DUE = "erasure of "


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased: the keys destroyed, how many rows of values were emptied and requests voided, and its entry."""

    subject: str
    keys: tuple[int, ...]
    rows: int
    requests: int
    index: int | None


class Erasures:
    """See the module. One erasure at a time."""

    def __init__(self, writer: Writer, reader: apsw.Connection, vault: Vault, questions: Questions, clock: Clock) -> None:
        self._writer = writer
        self._reader = reader
        self._vault = vault
        self._questions = questions
        self._clock = clock
        self._one = asyncio.Lock()

    async def erase(self, subject: str, *, reason: str, by: str) -> Erasure:
        """Erase what is stored of `subject`, `tenant/principal`.

        Raises:
            GatewayError: nothing was ever stored of it, or nothing since it was erased.
        """
        async with self._one:
            if not await self._vault.knows(subject):
                raise GatewayError(
                    f"nothing was ever stored of {subject!r}",
                    hint="A subject is tenant/principal, such as default/user:alice; sealgate log show tells both.",
                    code="erasure.unknown_subject",
                )
            keys = await self._vault.numbers(subject)
            if not keys:
                raise GatewayError(f"{subject} was erased, and nothing was stored of it since", code="erasure.done")
            told = {"subject": subject, "keys": keys, "reason": reason, "by": by}
            record = Record(Kind.ERASURE, self._clock.new_id(), self._clock.now(), {"erasure": told})

            def begin(transaction: Transaction) -> int:
                entry = transaction.append(record)
                transaction.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_DUE + subject, orjson.dumps(keys)))
                return entry.index

            index = await self._writer.submit(begin)
            return await self._complete(subject, keys, index)

    async def complete_due(self) -> list[Erasure]:
        """Finish what an earlier process began. Run before the first call."""
        query = "SELECT substr(key, ?), CAST(value AS TEXT) FROM meta WHERE substr(key, 1, ?) = ?"
        due = self._reader.execute(query, (len(_DUE) + 1, len(_DUE), _DUE)).fetchall()
        async with self._one:
            return [await self._complete(str(subject), orjson.loads(str(keys)), None) for subject, keys in due]

    async def _complete(self, subject: str, keys: list[int], index: int | None) -> Erasure:
        await self._vault.destroy(subject, keys)
        self._questions.forget_offers()
        emptied = await self._emptied(VALUES, subject, keys)
        await self._emptied(INPUTS, subject, keys)
        voided = 0
        while count := await self._writer.submit(partial(self._void, subject=subject)):
            voided += count
        await self._writer.submit(partial(_done, subject=subject))
        return Erasure(subject, tuple(keys), emptied, voided, index)

    async def _emptied(self, what: "_Table", subject: str, keys: list[int]) -> int:
        """Empty what those keys sealed, some rows at once; how many."""
        emptied = 0
        last: str | None = ""
        while last is not None:
            count, last = await self._writer.submit(partial(_empty, what=what, subject=subject, keys=keys, after=last))
            emptied += count
        return emptied

    def _void(self, transaction: Transaction, subject: str) -> int:
        """End requests whose arguments were erased, some at once; how many."""
        query = (
            "SELECT a.approval_id FROM approvals AS a JOIN evidence AS e ON e.envelope_id = a.approval_id"
            " WHERE a.state = 'pending' AND e.subject = ? AND e.arguments = x'' LIMIT ?"
        )
        found = transaction.db.execute(query, (subject, REQUESTS_AT_ONCE)).fetchall()
        for (approval_id,) in found:
            approval = rows.approval_row(transaction.db, str(approval_id))
            if approval is None:
                continue
            self._questions.end(transaction, approval, ApprovalState.VOID)
            call = rows.call_row(transaction.db, approval.reservation)
            if call is not None and call.state is State.AWAITING_APPROVAL and call.approval_id == approval_id:
                free = advance(call.state, State.RELEASED)
                rows.put_call(transaction.db, replace(call, state=free, updated_at=self._clock.now()))
        return len(found)


@dataclass(frozen=True, slots=True)
class _Table:
    """Where a subject's sealed values are. `next_rows` takes an id and a number, `empty` an id, an id, a subject, a key."""

    next_rows: str
    empty: str


VALUES = _Table(
    "SELECT max(envelope_id) FROM (SELECT envelope_id FROM evidence WHERE envelope_id > ? ORDER BY envelope_id LIMIT ?)",
    "UPDATE evidence SET arguments = x'', result = NULL WHERE envelope_id > ? AND envelope_id <= ? AND subject = ?"
    " AND substr(CAST(arguments AS BLOB), 1, 4) = ?",
)
INPUTS = _Table(
    "SELECT max(envelope_id) FROM (SELECT envelope_id FROM decisions WHERE envelope_id > ? ORDER BY envelope_id LIMIT ?)",
    "UPDATE decisions SET input = x'' WHERE envelope_id > ? AND envelope_id <= ? AND subject = ?"
    " AND substr(CAST(input AS BLOB), 1, 4) = ?",
)


def _empty(transaction: Transaction, what: _Table, subject: str, keys: list[int], after: str) -> tuple[int, str | None]:
    """Empty what those keys sealed among the next rows; how many, and the last row looked at, if there was one."""
    db = transaction.db
    last: str | None = db.execute(what.next_rows, (after, ROWS_AT_ONCE)).get
    if last is None:
        return 0, None
    count = 0
    for key in keys:
        db.execute(what.empty, (after, last, subject, key.to_bytes(4)))
        count += db.changes()
    return count, last


def _done(transaction: Transaction, subject: str) -> None:
    transaction.db.execute("DELETE FROM meta WHERE key = ?", (_DUE + subject,))
