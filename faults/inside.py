"""A gateway inside this process: the real pipeline, policies, journal, writer and vault; the world stands for upstreams."""

import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import apsw

from faults.world import FixedCatalog
from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import KeyRing, load_keys, make_keys
from gateway.adapters.policy.bundle import default_policies, load_bundle
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.store.sqlite.database import open_for_writing, open_journal_reader
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.adapters.store.sqlite.writer import MAX_QUEUE, Writer
from gateway.adapters.vault import FileVault, VaultThread
from gateway.core.answer import Approver, SignedAnswer
from gateway.core.call import Sealer, ToolRequest
from gateway.core.errors import StoreFault
from gateway.core.outcome import Outcome
from gateway.core.ports import Clock, Executor, PolicyEngine
from gateway.core.rate import RecentCalls
from gateway.core.run_context import Principal, PrincipalKind, RunContext
from gateway.core.run_memory import Runs
from gateway.core.verify import Report, StoredEntry, verify_log
from gateway.pipeline import Gateway
from tests.core.calls import Person, person

ORIGIN = "faults.example/log"
PATIENT_SECONDS = 10.0
"""A policy that is asked on a busy machine may take its time: how fast it is, is not what is tested here."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What stays the same over all restarts: keys, policies, the person who approves."""

    keys: KeyRing
    policy: PolicyEngine
    bob: Person
    clock: Clock

    @property
    def approvers(self) -> Mapping[str, Approver]:
        return {self.bob.signer.keyid: self.bob.approver}


@asynccontextmanager
async def deployment(folder: Path, clock: Clock | None = None) -> AsyncIterator[Deployment]:
    """New keys in `folder` and the shipped policies in their helper process."""
    clock = clock or SystemClock()
    make_keys(folder, origin=ORIGIN, dev=False)
    async with EmbeddedEngine(load_bundle(default_policies()), clock, dev=False, deadline_seconds=PATIENT_SECONDS) as engine:
        yield Deployment(load_keys(folder), engine, person("user:bob"), clock)


@dataclass(frozen=True, slots=True)
class Options:
    """What a part changes about the gateway. `synchronous`, `wal_pages`: SQLite's pragmas of the writing connection."""

    synchronous: str = "full"
    wal_pages: int = 1000
    max_queue: int = MAX_QUEUE
    wait_seconds: float = 10.0
    approval_seconds: float = 600.0
    journal: type[SqliteJournal] = SqliteJournal


class Steps:
    """An Observer: how many calls are inside each step now."""

    def __init__(self) -> None:
        self.inside: Counter[str] = Counter()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.inside[name] += 1
        try:
            yield
        finally:
            self.inside[name] -= 1


class InsideGateway:
    """Opens the journal in `folder` as the daemon does. `deaths`: what the writer told of its end. Raises `StoreFault`."""

    def __init__(self, folder: Path, made: Deployment, world: Executor, options: Options = Options()) -> None:
        self._made = made
        self.path = folder / "journal.db"
        self.deaths: list[StoreFault] = []
        self.steps = Steps()
        db = open_for_writing(self.path, ORIGIN)
        try:
            db.pragma("synchronous", options.synchronous)
            db.pragma("wal_autocheckpoint", options.wal_pages)
        except apsw.Error as error:
            raise StoreFault(f"the campaign's own pragmas failed: {error}") from error
        keys, clock = made.keys, made.clock
        self.writer = Writer(
            db,
            origin=ORIGIN,
            entry_signer=keys.entry,
            log_signer=keys.log,
            dev=False,
            on_death=self.deaths.append,
            max_queue=options.max_queue,
        )
        try:
            self._vault = FileVault(folder / "vault.db", keys.vault_key)
            self._vault_thread = VaultThread(self._vault)
            self.journal = options.journal(
                self.writer,
                open_journal_reader(self.path),
                self._vault_thread,
                clock,
                approvers=made.approvers,
                origin=ORIGIN,
                wait_seconds=options.wait_seconds,
            )
        except BaseException:
            _close(self.writer)
            raise
        self._gateway = Gateway(
            catalog=FixedCatalog(),
            sealer=Sealer(keys.commitment, os.urandom),
            policy=made.policy,
            journal=self.journal,
            executor=world,
            clock=clock,
            observer=self.steps,
            recent=RecentCalls(),
            runs=Runs(),
            approval_ttl_seconds=options.approval_seconds,
            dev=False,
        )

    async def call(self, tool: str, arguments: dict[str, Any], key: str | None, *, who: str = "alice") -> Outcome:
        """One call by `who`. Raises `GatewayError`."""
        run = RunContext(
            "acme",
            Principal(PrincipalKind.USER, who),
            (Principal(PrincipalKind.AGENT, "assistant"),),
            frozenset({"agent"}),
            "0" * 32,
        )
        clock = self._made.clock
        return await self._gateway.call(run, ToolRequest(clock.new_id(), tool, arguments, key, clock.now()))

    async def approve(self, approval_id: str) -> bool:
        """Bob's yes; whether it counted. Raises `GatewayError`."""
        row = await self.journal.questions.row(approval_id)
        if row is None:
            return False
        answered = await self.journal.questions.answer(approval_id, self._made.bob.sign(row[0].request))
        return isinstance(answered, SignedAnswer)

    def close(self) -> None:
        """Commit what waits, sign the last checkpoint, close the files."""
        _close(self.journal)
        self._vault_thread.close()
        _close(self._vault)


class _Closable(Protocol):
    def close(self) -> None: ...


def _close(part: _Closable) -> None:
    """SQLite passes over an error of the disk while it closes; where the disk is written in Python, apsw does not."""
    with contextlib.suppress(apsw.Error):
        part.close()


@dataclass(frozen=True, slots=True)
class ReadLog:
    """A log as an auditor finds it: its rows, its newest checkpoint, and what `verify_log` says."""

    entries: list[StoredEntry]
    newest: str | None
    report: Report


def read_log(path: Path, keys: KeyRing, kept: list[str]) -> ReadLog:
    """Read and verify the whole log in `path`; `kept` are checkpoints seen before. Raises `GatewayError`."""
    log = SqliteLog(path)
    try:
        notes = list(log.checkpoints())
        entries = list(log.entries())
        report = verify_log(entries, notes, keys.trusted(), head=log.head(), kept=kept, snapshot=True)
        return ReadLog(entries, notes[-1][1] if notes else None, report)
    finally:
        log.close()
