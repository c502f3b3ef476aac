"""A whole gateway of settings and a state folder."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from gateway import __version__
from gateway.adapters.catalogue import Catalogue, Lock
from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import KeyRing, check_purpose, load_keys, load_trusted_keys, read_private_text
from gateway.adapters.keys.api_keys import ApiKeyFile
from gateway.adapters.keys.reach import check_out_of_reach
from gateway.adapters.observer import NoObserver
from gateway.adapters.state import StateFolder
from gateway.adapters.upstream.owner import Told
from gateway.adapters.upstream.upstreams import Upstreams
from gateway.adapters.webhooks import Hook, Webhooks, read_secret
from gateway.admission import limits_of
from gateway.core.answer import Approver
from gateway.core.call import Sealer
from gateway.core.catalog import Catalog
from gateway.core.entry import Kind, Record
from gateway.core.errors import StoreFault
from gateway.core.ports import Observer
from gateway.core.rate import RecentCalls
from gateway.core.run_memory import Runs
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
from gateway.wiring.background import background, forget, sweep
from gateway.wiring.deciding import Engine, Policy, policy_of
from gateway.wiring.folder import anchored, journal_of

SETTLE_SECONDS = 5.0
MAX_HIDDEN_LOGGED = 50
_log = structlog.get_logger("sealgate.daemon")


@dataclass(frozen=True, slots=True)
class Assembled:
    """A gateway that is ready to serve, and what operators may ask of it."""

    gateway: Gateway
    control: Control
    upstreams: Upstreams
    front: Front
    catalogue: Catalogue
    keys: KeyRing
    policy: Engine
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
        opened = journal_of(state, keys, clock, approvers, attestor, dev=dev, on_death=on_death)
        journal, anchor_store = stack.enter_context(opened)
        anchoring = await stack.enter_async_context(anchored(settings, state, keys, anchor_store, clock))
        policy = await stack.enter_async_context(policy_of(settings, state, keys, journal, clock, dev=dev))
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
        works = [sweep(journal), forget(journal, clock, keep_seconds), watching]
        if hooks:
            works.append(webhooks.run())
        async with background(*works):
            yield Assembled(gateway, control, upstreams, front, catalogue, keys, policy.engine, in_doubt)


def _hooks(settings: Settings) -> tuple[Hook, ...]:
    paths = [(hook.url, settings.folder / hook.secret_file) for hook in settings.configuration.approvals.webhooks]
    return tuple(Hook(url, read_secret(path, read_private_text(path))) for url, path in paths)


def _boot(settings: Settings, keys: KeyRing, clock: SystemClock, policy: Policy, catalogue: Catalogue) -> Record:
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


def _status(settings: Settings, keys: KeyRing, policy: Policy, catalogue: Catalogue, upstreams: Upstreams) -> dict[str, Any]:
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
