"""Who decides: the embedded engine is started and decides all that policies must be able to; an OPA is asked once."""

import asyncio
import shlex
from collections.abc import Iterator

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.bundle import PolicyBundle, default_policies
from gateway.adapters.policy.embedded import start_checked
from gateway.adapters.policy.in_force import PolicySource
from gateway.adapters.policy.opa import OpaEngine
from gateway.adapters.policy.smoke import smoke_call
from gateway.core.circumstances import Circumstances
from gateway.core.errors import ConfigError
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.settings import Settings

PATIENCE_SECONDS = 5.0


def look(deployment: Deployment) -> Iterator[Finding]:
    """The policies that gateway.yaml names now, then those that a running gateway has."""
    settings = deployment.outline
    if settings is None:
        return
    if settings.configuration.policy.engine == "opa":
        yield asyncio.run(_opa(settings))
    else:
        yield _embedded(settings)
    policy = (deployment.status or {}).get("policy", {})
    if policy.get("refused") is not None:
        yield fail(
            "engine",
            f"the running gateway refused the policies it has now, and decides by older ones: {policy['refused']}",
            deployment.command("policy", "reload", state=True),
        )
    for name, what in (
        ("rolled_back", "the policies in force were rolled back"),
        ("decision_log", "decisions are not logged"),
    ):
        told = policy.get(name)
        troubled = told and (name == "rolled_back" or told.get("failed") or told.get("dropped"))
        if troubled:
            yield warn("engine", what, deployment.command("status", state=True))


def _embedded(settings: Settings) -> Finding:
    path = settings.policy_path or default_policies()
    try:
        bundle = PolicySource(path, settings.policy_key).load(running=False)
        asyncio.run(_started(bundle, settings))
    except ConfigError as error:
        return fail("engine", error.message, f"sealgate policy check {shlex.quote(str(path))}, once you corrected it")
    return ok("engine", f"the policies of {path} load and decide")


async def _started(bundle: PolicyBundle, settings: Settings) -> None:
    process = await start_checked(bundle, settings.configuration.policy.deadline_ms / 1000)
    await process.stop()


async def _opa(settings: Settings) -> Finding:
    url = settings.configuration.policy.opa_url
    place = url.partition("://")[2].rstrip("/")
    folder = settings.policy_path or default_policies()
    bundle = "" if folder.is_dir() else "--bundle "
    start = f"opa run --server --addr {place} {bundle}{shlex.quote(str(folder))}"
    async with OpaEngine(url, SystemClock(), dev=False, deadline_seconds=PATIENCE_SECONDS) as engine:
        if not engine.ready:
            return fail("engine", f"no OPA answers at {url}, so every call is denied", start)
        decision = await engine.decide(smoke_call(), Circumstances())
        if any(reason.code == "policy.error" for reason in decision.reasons):
            return fail("engine", f"the OPA at {url} cannot decide: it has none of our policies, or broken ones", start)
        return ok("engine", f"the OPA at {url} decides, with policies {engine.revision[:20]}")
