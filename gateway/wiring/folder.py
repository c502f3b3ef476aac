"""An owned state folder: its journal, held against what was anchored, for a daemon and for commands without one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager

from gateway.adapters.anchors.anchoring import Anchoring, Authority, Plan
from gateway.adapters.anchors.asking import anchor_session
from gateway.adapters.anchors.kept import read_kept
from gateway.adapters.anchors.policy import check_anchors, load_log_policy
from gateway.adapters.anchors.stamp import load_authority
from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import KeyRing, load_keys, load_trusted_keys
from gateway.adapters.keys.api_keys import ApiKeyFile
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.anchors import SqliteAnchors
from gateway.adapters.store.sqlite.database import open_for_writing, open_journal_reader
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.adapters.store.sqlite.writer import Writer
from gateway.adapters.vault import FileVault, VaultThread
from gateway.core.anchor import check_kept
from gateway.core.answer import Approver, Attestor
from gateway.core.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from gateway.core.errors import ConfigError, StoreFault
from gateway.core.verifier_key import SignatureType, VerifierKey
from gateway.edge.api_keys import ApiKeyDesk
from gateway.key_changes import finish_cut_off
from gateway.settings import Settings
from gateway.wiring.background import background


@contextmanager
def opened_journal(state: StateFolder, *, may_begin: bool = False) -> Iterator[SqliteJournal]:
    """The journal of an owned state folder without a daemon, for a command that adds to the log. `may_begin`: or begins it.

    Raises `GatewayError` where there is none, or where it is behind what was anchored.
    """
    if not may_begin and not state.journal.exists():
        raise StoreFault(f"there is no journal at {state.journal}", hint="sealgate up makes one.")
    finish_cut_off(state)
    keys = load_keys(state.keys)
    opened = journal_of(state, keys, SystemClock(), {}, None, dev=keys.dev, on_death=lambda fault: None)
    with opened as (journal, anchor_store):
        note = read_kept(state.anchored)
        if note is not None:
            trusted = load_trusted_keys(state.keys / "public.json")
            check_kept(note, str(state.anchored), trusted, anchor_store.size(), anchor_store.root_at)
        yield journal


@contextmanager
def api_keys_without_daemon(state: StateFolder) -> Iterator[ApiKeyDesk]:
    """The API keys of an owned state folder without a daemon, for a command that changes them.

    Raises `GatewayError` where the change cannot be recorded: there are no keys to sign with, for example.
    """
    with opened_journal(state, may_begin=True) as journal:
        yield ApiKeyDesk(ApiKeyFile(state.api_keys), "", journal.record, SystemClock())


def hold_against_anchors(settings: Settings, state: StateFolder) -> None:
    """Hold the log of an owned state folder against all that was anchored, as a start does, for a command that adds to it.

    The witnesses are asked, and cosign the log as it is. Raises `GatewayError` where a start would: add nothing then.
    """
    finish_cut_off(state)
    keys = load_keys(state.keys)
    writer = _writer(state, keys, dev=keys.dev, on_death=lambda fault: None)
    try:
        reader = open_journal_reader(state.journal)
        try:
            asyncio.run(_held(settings, state, keys, SqliteAnchors(writer, reader)))
        finally:
            reader.close()
    finally:
        writer.close()


async def _held(settings: Settings, state: StateFolder, keys: KeyRing, store: SqliteAnchors) -> None:
    async with _checked(settings, state, keys, store, SystemClock()):
        pass


def _writer(state: StateFolder, keys: KeyRing, *, dev: bool, on_death: Callable[[StoreFault], None]) -> Writer:
    db = open_for_writing(state.journal, keys.origin)
    return Writer(db, origin=keys.origin, entry_signer=keys.entry, log_signer=keys.log, dev=dev, on_death=on_death)


@contextmanager
def journal_of(
    state: StateFolder,
    keys: KeyRing,
    clock: SystemClock,
    approvers: Mapping[str, Approver],
    attestor: Attestor | None,
    *,
    dev: bool,
    on_death: Callable[[StoreFault], None],
) -> Iterator[tuple[SqliteJournal, SqliteAnchors]]:
    """The journal, closed when left. Nothing writes to the folder any more then: another process may own it."""
    with ExitStack() as stack:
        vault = FileVault(state.vault, keys.vault_key)
        stack.callback(vault.close)
        thread = VaultThread(vault)
        stack.callback(thread.close)
        writer = _writer(state, keys, dev=dev, on_death=on_death)
        reader = open_journal_reader(state.journal)
        journal = SqliteJournal(writer, reader, thread, clock, approvers=approvers, attestor=attestor, origin=keys.origin)
        stack.callback(journal.close)
        yield journal, SqliteAnchors(writer, reader)


@asynccontextmanager
async def anchored(
    settings: Settings, state: StateFolder, keys: KeyRing, store: SqliteAnchors, clock: SystemClock
) -> AsyncIterator[Anchoring | None]:
    """Hold the log against what was anchored, before anything is added to it; then keep it anchored."""
    async with _checked(settings, state, keys, store, clock) as anchoring:
        if anchoring is None:
            yield None
            return
        async with background(anchoring.run()):
            yield anchoring


@asynccontextmanager
async def _checked(
    settings: Settings, state: StateFolder, keys: KeyRing, store: SqliteAnchors, clock: SystemClock
) -> AsyncIterator[Anchoring | None]:
    """The log was held against what was anchored. None: nobody is configured to anchor it.

    The file in the state folder counts even where no anchors are configured any more.
    """
    plan = _anchor_plan(settings, state, keys)
    trusted = load_trusted_keys(state.keys / "public.json")
    size = store.size()
    for path in (state.anchored,) if plan is None else plan.kept:
        note = read_kept(path)
        if note is not None:
            check_kept(note, str(path), trusted, size, store.root_at)
    if plan is None:
        yield None
        return
    note = store.newest_checkpoint()
    if note is None or read_checkpoint(note).checkpoint.size != size:  # the writer has not come to it yet, or log is empty
        note = sign_checkpoint(Checkpoint(keys.origin, size, store.root_at(size)), keys.log)
    async with anchor_session() as session:
        anchoring = Anchoring(plan, store, clock, session)
        await anchoring.check(note)
        yield anchoring


def _anchor_plan(settings: Settings, state: StateFolder, keys: KeyRing) -> Plan | None:
    anchors = settings.configuration.log.anchors
    if anchors is None:
        return None
    path = settings.folder / anchors.policy
    policy = load_log_policy(path)
    check_anchors(policy, path, VerifierKey(keys.origin, SignatureType.ED25519, keys.log.public_key))
    kept = [state.anchored]
    if anchors.keep is not None:
        kept.append(settings.folder / anchors.keep)
        if not kept[-1].parent.is_dir():
            raise ConfigError(f"{kept[-1].parent}, the folder of log.anchors.keep, is not there", hint="Mount or make it.")
    authority = None
    if anchors.timestamp is not None:
        authority = Authority(anchors.timestamp.url, load_authority(settings.folder / anchors.timestamp.ca))
    return Plan(policy, tuple(kept), anchors.every_seconds, anchors.at_boot == "require", authority)
