"""A journal in a folder, opened as the daemon opens it, and what can be seen of it from outside."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gateway.adapters.keys import KeyRing, load_keys, make_keys
from gateway.adapters.store.sqlite.database import open_for_reading, open_for_writing
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.adapters.store.sqlite.writer import MAX_QUEUE, Writer
from gateway.adapters.vault import FileVault, VaultThread
from gateway.core.answer import Approver
from gateway.core.approval import ApprovalRequest, Approved, Grant
from gateway.core.call import SealedCall, Sealer
from gateway.core.commitment import CommitmentKey
from gateway.core.decision import PolicyDecision
from gateway.core.entry import Entry, open_entry
from gateway.core.envelope import Answered, Ending
from gateway.core.errors import StoreFault
from gateway.core.evidence import EvidenceRef
from gateway.core.outcome import Receipt
from gateway.core.reservation import Held, Prior, Reservation, Resumed
from gateway.core.verify import Report, verify_log
from tests.core.calls import ALLOW, KEY, Call, seal
from tests.store.clock import SetClock

ORIGIN = "test.example/log"


class World(Protocol):
    """What the contract needs of a store. Implementations: `SqliteWorld`."""

    journal: SqliteJournal
    clock: SetClock
    approvers: dict[str, Approver]

    def reopen(self) -> None:
        """Close the journal and open it anew, as a new process would."""

    def entries(self) -> list[Entry]:
        """The log, each entry's signature checked."""

    def verify(self) -> Report:
        """What an auditor finds."""


@dataclass
class SqliteWorld:
    """`SqliteJournal` in `folder`. `deaths` are what the writer told of its end."""

    folder: Path
    wait_seconds: float = 10.0
    max_queue: int = MAX_QUEUE
    clock: SetClock = field(default_factory=SetClock)
    deaths: list[StoreFault] = field(default_factory=list)
    journal: SqliteJournal = field(init=False)
    approvers: dict[str, Approver] = field(default_factory=dict)
    writer: Writer = field(init=False)
    vault: FileVault = field(init=False)
    vault_thread: VaultThread = field(init=False)

    def __post_init__(self) -> None:
        if not self.keys_folder.exists():
            make_keys(self.keys_folder, origin=ORIGIN, dev=False)
        self.open()

    @property
    def keys_folder(self) -> Path:
        return self.folder / "keys"

    @property
    def path(self) -> Path:
        return self.folder / "journal.db"

    @property
    def keys(self) -> KeyRing:
        return load_keys(self.keys_folder)

    def open(self) -> None:
        keys = self.keys
        self.writer = Writer(
            open_for_writing(self.path, ORIGIN),
            origin=ORIGIN,
            entry_signer=keys.entry,
            log_signer=keys.log,
            dev=False,
            on_death=self.deaths.append,
            max_queue=self.max_queue,
        )
        self.vault = FileVault(self.folder / "vault.db", keys.vault_key)
        self.vault_thread = VaultThread(self.vault)
        self.journal = SqliteJournal(
            self.writer,
            open_for_reading(self.path),
            self.vault_thread,
            self.clock,
            approvers=self.approvers,
            attestor=keys.entry,
            origin=ORIGIN,
            wait_seconds=self.wait_seconds,
        )

    def close(self) -> None:
        self.journal.close()
        self.vault_thread.close()
        self.vault.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def entries(self) -> list[Entry]:
        log = SqliteLog(self.path)
        try:
            return [open_entry(stored.entry, self.keys.trusted().by_id()) for stored in log.entries()]
        finally:
            log.close()

    def verify(self, kept: list[str] | None = None) -> Report:
        return verify_file(self.path, self.keys, kept or [])

    def checkpoints(self) -> list[tuple[int, str]]:
        log = SqliteLog(self.path)
        try:
            return list(log.checkpoints())
        finally:
            log.close()

    def head(self) -> tuple[int, bytes]:
        log = SqliteLog(self.path)
        try:
            return log.head()
        finally:
            log.close()

    async def checkpointed(self) -> str:
        """Wait until the whole log is covered by a checkpoint; the note."""
        await until(lambda: self.checkpoints() and self.checkpoints()[-1][0] == self.head()[0])
        return self.checkpoints()[-1][1]


def verify_file(path: Path, keys: KeyRing, kept: list[str]) -> Report:
    """What `verify_log` finds in a journal file."""
    log = SqliteLog(path)
    try:
        return verify_log(log.entries(), log.checkpoints(), keys.trusted(), head=log.head(), kept=kept, snapshot=True)
    finally:
        log.close()


async def until(condition: Callable[[], Any], *, seconds: float = 30.0) -> None:
    """Wait for `condition` on the event loop; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.005)


def answered(call: SealedCall, document: dict[str, Any]) -> Answered:
    """The ending of a call that the upstream answered with `document`."""
    capability = call.capability
    disclosure = Sealer(CommitmentKey(KEY), os.urandom).disclose_result(call, document)
    evidence = EvidenceRef(
        f"tool:{capability.id}:{call.envelope_id}",
        capability.classification.trust_level,
        capability.classification.owner,
        disclosure.digest,
    )
    return Answered(document, document.get("isError") is True, "2026-07-28", disclosure, evidence)


def text(value: str, *, is_error: bool = False) -> dict[str, Any]:
    """A tool result document."""
    return {"content": [{"type": "text", "text": value}], **({"isError": True} if is_error else {})}


async def run(
    world: World,
    call: Call | SealedCall,
    ending: Callable[[SealedCall], Ending] | None = None,
    *,
    decision: PolicyDecision = ALLOW,
    ask: ApprovalRequest | None = None,
    effect: Callable[[], None] = lambda: None,
) -> Reservation | Receipt:
    """One call against the journal as the pipeline makes it; its receipt where it ran, else what it met."""
    sealed = seal(call, random=os.urandom) if isinstance(call, Call) else call
    met = await world.journal.reserve(sealed, decision, ask)
    approved: Approved | None = None
    match met:
        case Held():
            pass
        case Resumed(approved):
            pass
        case _:
            return met
    try:
        grant = Grant(sealed, decision, approved)
        await world.journal.begin(grant)
        effect()
        await asyncio.sleep(0)
        return await world.journal.finish(grant, ending(sealed) if ending else answered(sealed, text("done")), 5)
    finally:
        world.journal.release(sealed)


def result_of(met: Reservation | Receipt) -> dict[str, Any]:
    """The stored result that a duplicate met."""
    assert isinstance(met, Prior), met
    return met.result
