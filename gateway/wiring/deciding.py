"""Who decides: the engine, what looks on, and where policies come from."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from gateway import __version__
from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import KeyRing, load_trusted_keys
from gateway.adapters.policy.bundle import default_policies
from gateway.adapters.policy.deciding import Deciding
from gateway.adapters.policy.decision_log import DecisionLog
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.in_force import AtServer, InForce, PolicySource
from gateway.adapters.policy.kept import KeptPolicies
from gateway.adapters.policy.opa import OpaEngine
from gateway.adapters.policy.shadow import Shadow
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.core.entry import Kind, Record
from gateway.core.ports import PolicyEngine
from gateway.settings import Settings


class Engine(PolicyEngine, Protocol):
    """A policy engine with its life cycle."""

    @property
    def revision(self) -> str: ...

    @property
    def ready(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Policy:
    """Who decides, and what belongs to it. `engine` is behind `deciding`, with nobody who looks on."""

    engine: Engine
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
async def policy_of(
    settings: Settings, state: StateFolder, keys: KeyRing, journal: SqliteJournal, clock: SystemClock, *, dev: bool
) -> AsyncIterator[Policy]:
    """The engine with the policies to start with. Raises `GatewayError` where the embedded one has none to decide with."""
    configured = settings.configuration.policy
    deadline = configured.deadline_ms / 1000

    async def record(said: Mapping[str, Any]) -> None:
        await journal.record(Record(Kind.POLICY, clock.new_id(), clock.now(), {"policy": said}))

    async with AsyncExitStack() as stack:
        engine: Engine
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
        yield Policy(engine, Deciding(engine, shadow, log), in_force)
