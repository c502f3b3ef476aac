"""Settings → objects: the only place that names the adapters."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from gateway import __version__
from gateway.adapters.anchors.anchoring import Anchoring, Authority, Plan
from gateway.adapters.anchors.asking import anchor_session
from gateway.adapters.anchors.kept import read_kept
from gateway.adapters.anchors.policy import check_anchors, load_log_policy
from gateway.adapters.anchors.stamp import load_authority
from gateway.adapters.catalogue import Catalogue, Lock
from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import KeyRing, check_purpose, load_keys, load_trusted_keys, read_private_text
from gateway.adapters.keys.api_keys import ApiKeyFile
from gateway.adapters.keys.reach import check_out_of_reach
from gateway.adapters.observer import NoObserver
from gateway.adapters.policy.bundle import default_policies
from gateway.adapters.policy.deciding import Deciding
from gateway.adapters.policy.decision_log import DecisionLog
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.in_force import AtServer, InForce, PolicySource
from gateway.adapters.policy.kept import KeptPolicies
from gateway.adapters.policy.opa import OpaEngine
from gateway.adapters.policy.shadow import Shadow
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.anchors import SqliteAnchors
from gateway.adapters.store.sqlite.database import open_for_writing, open_journal_reader
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.adapters.store.sqlite.writer import Writer
from gateway.adapters.upstream.owner import Told
from gateway.adapters.upstream.upstreams import Upstreams
from gateway.adapters.vault import FileVault, VaultThread
from gateway.adapters.webhooks import Hook, Webhooks, read_secret
from gateway.admission import limits_of
from gateway.core.anchor import check_kept
from gateway.core.answer import Approver, Attestor
from gateway.core.call import Sealer
from gateway.core.catalog import Catalog
from gateway.core.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from gateway.core.entry import Kind, Record
from gateway.core.errors import ConfigError, StoreFault
from gateway.core.ports import Observer, PolicyEngine
from gateway.core.rate import RecentCalls
from gateway.core.run_memory import Runs
from gateway.core.verifier_key import SignatureType, VerifierKey
from gateway.edge.api_keys import ApiKeyDesk
from gateway.edge.changes import ChangeDesk
from gateway.edge.control import Control
from gateway.edge.doubts import DoubtDesk
from gateway.edge.elicitation import Elicitation
from gateway.edge.feed import Feed, Listing
from gateway.edge.listing import Lists
from gateway.edge.mcp import Front
from gateway.edge.parking import Parking
from gateway.edge.policies import PolicyDesk
from gateway.edge.routes import RouteTable
from gateway.key_changes import finish_cut_off
from gateway.pipeline import Gateway
from gateway.settings import Settings

SETTLE_SECONDS = 5.0
SWEEP_SECONDS = 1.0
FORGET_SECONDS = 600.0
MAX_HIDDEN_LOGGED = 50

_log = structlog.get_logger("sealgate.daemon")


class _Engine(PolicyEngine, Protocol):
    """A policy engine with its life cycle."""

    @property
    def revision(self) -> str: ...

    @property
    def ready(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Assembled:
    """A gateway that is ready to serve, and what operators may ask of it."""

    gateway: Gateway
    control: Control
    upstreams: Upstreams
    front: Front
    catalogue: Catalogue
    keys: KeyRing
    policy: _Engine
    in_doubt: int

    def unready(self) -> str | None:
        """Why it can serve no call, or None. A dead journal ends the process; a dead upstream stops its own tools only."""
        return None if self.policy.ready else "policy cannot be asked"


@asynccontextmanager
async def assemble(
    settings: Settings,
    state: StateFolder,
    *,
    dev: bool,
    dev_approvers: tuple[Approver, ...] = (),
    on_death: Callable[[StoreFault], None],
    observer: Observer | None = None,
) -> AsyncIterator[Assembled]:
    """Bring everything up in an owned state folder, and down again.

    Fails closed: without keys, a durable journal and a policy that loads, this raises a `GatewayError`.
    """
    clock = SystemClock()
    finish_cut_off(state)
    keys = load_keys(state.keys)
    check_purpose(keys, dev=dev)
    approvers = {**settings.approvers(), **{approver.keyid: approver for approver in dev_approvers}}
    if not dev:
        check_out_of_reach(approvers, (state.path, settings.folder))
    hooks = _hooks(settings)
    async with AsyncExitStack() as stack:
        elicits = settings.configuration.approvals.elicitation
        attestor = keys.entry if elicits else None
        opened = _journal(state, keys, clock, approvers, attestor, dev=dev, on_death=on_death)
        journal, anchor_store = stack.enter_context(opened)
        anchoring = await stack.enter_async_context(_anchored(settings, state, keys, anchor_store, clock))
        policy = await stack.enter_async_context(_policy(settings, state, keys, journal, clock, dev=dev))
        rules = settings.rules()  # once: they say where the roots lead now
        specs = settings.upstream_specs()
        heard = _Heard()
        names = [spec.name for spec in specs]
        lock, believed = Lock(settings.lock_path), settings.believed()
        catalogue = Catalogue(rules, lock, heard.catalog_changed, names, believed=believed)
        told = Told(catalogue.listed, catalogue.offered, heard.announced, heard.updated)
        upstreams = await stack.enter_async_context(Upstreams(specs, told))
        in_doubt = await journal.recover()
        sealer = Sealer(keys.commitment, os.urandom)
        gateway = Gateway(
            catalog=catalogue,
            sealer=sealer,
            policy=policy.deciding,
            journal=journal,
            executor=upstreams,
            clock=clock,
            observer=observer or NoObserver(),
            recent=RecentCalls(),
            runs=Runs(),
            approval_ttl_seconds=settings.configuration.approvals.ttl_seconds,
            dev=dev,
        )
        webhooks = Webhooks(hooks, journal.questions, clock)
        routes = RouteTable(catalogue, settings.bare_upstreams())
        feed = Feed(routes.current, upstreams.unsubscribe)
        heard.feed = feed
        front = Front(
            gateway,
            await stack.enter_async_context(Parking(gateway)),
            feed,
            routes.current,
            Lists(routes.current, settings.configuration.listen.page_size, settings.configuration.listen.exposure),
            Elicitation(journal.questions, clock) if elicits else None,
            let_go_seconds=settings.configuration.listen.let_go_seconds,
        )
        await upstreams.settled(SETTLE_SECONDS)
        await journal.boot(_boot(settings, keys, clock, policy, catalogue))
        control = Control(
            journal=journal,
            catalogue=catalogue,
            clock=clock,
            log_path=state.journal,
            keys=load_trusted_keys(state.keys / "public.json"),
            changes=ChangeDesk(journal.questions, catalogue, sealer, clock),
            doubts=DoubtDesk(
                gateway,
                journal.doubts,
                rules,
                settings.configuration.tenant,
                catalogue.pinned_definition,
                {spec.name: spec.limits for spec in settings.upstream_specs()},
            ),
            policies=PolicyDesk(
                settings.configuration.policy.engine,
                settings.policy_path,
                policy.in_force,
                policy.deciding.shadow,
                journal,
            ),
            api_keys=ApiKeyDesk(
                ApiKeyFile(state.api_keys), settings.configuration.tenant, journal.record, clock, limits_of(settings)
            ),
            status=lambda: {
                **_status(settings, keys, policy, catalogue, upstreams),
                "webhooks": [hook.status() for hook in webhooks.hooks],
                "anchors": None if anchoring is None else anchoring.status(),
            },
        )
        keep_seconds = settings.configuration.retention.results_days * 86_400
        watching = policy.in_force.watch()
        works = [_sweep(journal), _forget(journal, clock, keep_seconds), watching]
        if hooks:
            works.append(webhooks.run())
        async with _background(*works):
            yield Assembled(gateway, control, upstreams, front, catalogue, keys, policy.engine, in_doubt)


@contextmanager
def opened_journal(state: StateFolder, *, may_begin: bool = False) -> Iterator[SqliteJournal]:
    """The journal of an owned state folder without a daemon, for a command that adds to the log. `may_begin`: or begins it.

    Raises `GatewayError` where there is none, or where it is behind what was anchored.
    """
    if not may_begin and not state.journal.exists():
        raise StoreFault(f"there is no journal at {state.journal}", hint="sealgate up makes one.")
    finish_cut_off(state)
    keys = load_keys(state.keys)
    opened = _journal(state, keys, SystemClock(), {}, None, dev=keys.dev, on_death=lambda fault: None)
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
def _journal(
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
async def _anchored(
    settings: Settings, state: StateFolder, keys: KeyRing, store: SqliteAnchors, clock: SystemClock
) -> AsyncIterator[Anchoring | None]:
    """Hold the log against what was anchored, before anything is added to it; then keep it anchored."""
    async with _checked(settings, state, keys, store, clock) as anchoring:
        if anchoring is None:
            yield None
            return
        async with _background(anchoring.run()):
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


def _hooks(settings: Settings) -> tuple[Hook, ...]:
    paths = [(hook.url, settings.folder / hook.secret_file) for hook in settings.configuration.approvals.webhooks]
    return tuple(Hook(url, read_secret(path, read_private_text(path))) for url, path in paths)


@dataclass(frozen=True, slots=True)
class _Policy:
    """Who decides, and what belongs to it. `engine` is behind `deciding`, with nobody who looks on."""

    engine: _Engine
    deciding: Deciding
    in_force: InForce | AtServer

    def status(self) -> dict[str, Any]:
        shadow, log = self.deciding.shadow, self.deciding.log
        return {
            **self.in_force.status(),
            "shadow": None if shadow is None else shadow.status(),
            "decision_log": None if log is None else log.status(),
        }


@asynccontextmanager
async def _policy(
    settings: Settings, state: StateFolder, keys: KeyRing, journal: SqliteJournal, clock: SystemClock, *, dev: bool
) -> AsyncIterator[_Policy]:
    """The engine with the policies to start with. Raises `GatewayError` where the embedded one has none to decide with."""
    configured = settings.configuration.policy
    deadline = configured.deadline_ms / 1000

    async def record(said: Mapping[str, Any]) -> None:
        await journal.record(Record(Kind.POLICY, clock.new_id(), clock.now(), {"policy": said}))

    async with AsyncExitStack() as stack:
        engine: _Engine
        in_force: InForce | AtServer
        if configured.engine == "opa":

            async def loaded(revision: str, by: str) -> None:
                await record({"event": "loaded", "engine": "opa", "revision": revision, "by": by})

            server = OpaEngine(configured.opa_url, clock, dev=dev, deadline_seconds=deadline, changed=loaded)
            engine = opa = await stack.enter_async_context(server)
            in_force = AtServer(opa)
        else:
            source = PolicySource(settings.policy_path or default_policies(), settings.policy_key)
            told = journal.policy_told(load_trusted_keys(state.keys / "public.json").by_id())
            in_force = InForce(source, KeptPolicies(state.policies, keys.commitment), clock, record, told)
            bundle = in_force.at_start()
            engine = embedded = await stack.enter_async_context(
                EmbeddedEngine(bundle, clock, dev=dev, deadline_seconds=deadline)
            )
            await in_force.begun(embedded, bundle)
        shadow = log = None
        if settings.shadow_path is not None:
            candidate = Shadow(PolicySource(settings.shadow_path, enforced=False), clock, dev=dev, deadline_seconds=deadline)
            shadow = await stack.enter_async_context(candidate)
        if settings.decision_log is not None:
            labels = {"id": clock.new_id(), "version": __version__, "app": "sealgate"}
            log = stack.enter_context(DecisionLog(settings.decision_log, labels))
        yield _Policy(engine, Deciding(engine, shadow, log), in_force)


async def _sweep(journal: SqliteJournal) -> None:
    """Expire approval requests whose time is over."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await journal.questions.expire_due()
        except Exception as error:  # noqa: BLE001 - whatever it was, the next round may go well
            _log.error("sweep_failed", code=getattr(error, "code", type(error).__name__), cause=str(error))


async def _forget(journal: SqliteJournal, clock: SystemClock, keep_seconds: float) -> None:
    """Drop the arguments and results of calls older than they are kept."""
    while True:
        try:
            dropped = await journal.drop_before(clock.oldest_id(keep_seconds))
            if dropped:
                _log.info("values_dropped", calls=dropped)
        except Exception as error:  # noqa: BLE001 - the same
            _log.error("retention_failed", code=getattr(error, "code", type(error).__name__), cause=str(error))
        await asyncio.sleep(FORGET_SECONDS)


@asynccontextmanager
async def _background(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Works that go on until this is left. One that ends by itself is told as an error: nobody does it any more."""
    tasks = [asyncio.create_task(work, name=getattr(work, "__qualname__", None)) for work in works]
    for task in tasks:
        task.add_done_callback(_ended)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        error = task.exception()
        _log.error("background_work_ended", work=task.get_name(), cause=None if error is None else repr(error)[:300])


def _boot(settings: Settings, keys: KeyRing, clock: SystemClock, policy: _Policy, catalogue: Catalogue) -> Record:
    boot = {
        "version": __version__,
        "config_digest": settings.digest(),
        "policy_engine": settings.configuration.policy.engine,
        "policy_revision": policy.engine.revision,
        "catalog_revision": catalogue.current().revision,
        "entry_keyid": keys.entry.keyid,
        **policy.in_force.told(),
    }
    return Record(Kind.BOOT, clock.new_id(), clock.now(), {"boot": boot})


def _status(
    settings: Settings, keys: KeyRing, policy: _Policy, catalogue: Catalogue, upstreams: Upstreams
) -> dict[str, Any]:
    catalog = catalogue.current()
    return {
        "version": __version__,
        "dev": keys.dev,
        "log_origin": keys.origin,
        "policy": {"engine": settings.configuration.policy.engine, **policy.status()},
        "tools": {"callable": len(catalog.capabilities), "hidden": len(catalog.hidden)},
        "upstreams": [
            {
                "name": upstream.name,
                "state": upstream.state,
                "reason": upstream.reason,
                "protocol": upstream.protocol,
                "tools": upstream.tools,
                "restarts": upstream.restarts,
                "sandbox": upstream.sandbox,
            }
            for upstream in upstreams.status()
        ],
    }


class _Heard:
    """What upstreams tell of what changed goes to the feed, once there is one: it needs the upstreams itself."""

    def __init__(self) -> None:
        self.feed: Feed | None = None

    def catalog_changed(self, before: Catalog, now: Catalog) -> None:
        hidden = {tool.definition.capability_id: tool.why for tool in now.hidden[:MAX_HIDDEN_LOGGED]}
        counts = {"callable": len(now.capabilities), "hidden_in_all": len(now.hidden)}
        _log.info("catalogue_changed", revision=now.revision, hidden=hidden, **counts)
        if self.feed is not None:
            self.feed.catalog_changed(before, now)

    def announced(self, upstream: str, kind: str) -> None:
        if self.feed is not None:
            self.feed.changed(Listing(kind))

    def updated(self, upstream: str, uri: str) -> None:
        if self.feed is not None:
            self.feed.updated(upstream, uri)
