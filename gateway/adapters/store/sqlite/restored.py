"""A journal that came from a backup says so, in the log, before it runs anything.

It knows nothing of the calls made after the backup was taken. No later check can tell those from new ones, so the boot
entry names what was restored, and no yes from before counts any more: it may have been used up since.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import orjson

from gateway.adapters.store.sqlite import rows
from gateway.adapters.store.sqlite.database import open_for_writing
from gateway.adapters.store.sqlite.questions import asked_body
from gateway.adapters.store.sqlite.writer import Transaction
from gateway.core.approval import ApprovalState
from gateway.core.entry import Kind, Record
from gateway.core.errors import StoreFault
from gateway.core.idempotency import State, advance
from gateway.core.ports import Clock
from gateway.core.reservation import LIVE


def mark_restored(path: Path, origin: str, about: Mapping[str, Any]) -> None:
    """Let the next boot entry of this journal have `about` as its `restored_from`. Raises `StoreFault`."""
    db = open_for_writing(path, origin)
    try:
        db.execute("INSERT OR REPLACE INTO meta VALUES ('restored', ?)", (orjson.dumps(about).decode(),))
        db.pragma("wal_checkpoint(TRUNCATE)")
    except apsw.Error as error:
        raise StoreFault(f"cannot mark {path} as restored: {error}") from error
    finally:
        db.close()


def append_boot(transaction: Transaction, record: Record, clock: Clock) -> None:
    """The boot entry of this process; after a restore, the first one tells of it, and open requests end."""
    mark = transaction.db.execute("SELECT value FROM meta WHERE key = 'restored'").get
    if mark is None:
        transaction.append(record)
        return
    boot = {**record.body["boot"], "restored_from": orjson.loads(mark)}
    transaction.append(replace(record, body={**record.body, "boot": boot}))
    for approval in rows.approval_rows(transaction.db, pending_only=False):
        if approval.state not in LIVE:
            continue
        rows.move_approval(transaction.db, approval.request.approval_id, approval.state, ApprovalState.VOID)
        body = {**asked_body(approval.request), "event": ApprovalState.VOID.value}
        transaction.append(Record(Kind.APPROVAL, clock.new_id(), clock.now(), body))
        waiting = rows.call_row(transaction.db, approval.reservation)
        if waiting is not None and waiting.approval_id == approval.request.approval_id:
            released = replace(waiting, state=advance(waiting.state, State.RELEASED), updated_at=clock.now())
            rows.put_call(transaction.db, released)
    transaction.db.execute("DELETE FROM meta WHERE key = 'restored'")
