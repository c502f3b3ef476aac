"""gateway.yaml: whether it is right, and whether something in it can never work."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from gateway.adapters.catalogue import Lock
from gateway.core.capability import SEPARATOR
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.settings import Settings

_UNSET = re.compile(r"the environment variable ([A-Za-z_][A-Za-z0-9_]*) is not set")


def look(deployment: Deployment) -> Iterator[Finding]:
    """Every mistake in it; servers without a rule; delegations that are over; tools that wait for approval."""
    if deployment.mistake is not None:
        yield from _mistakes(deployment, deployment.mistake.message)
        return
    settings = deployment.settings
    if settings is None:
        return
    yield ok("configuration", f"{deployment.config} is valid")
    for warning in settings.warnings:
        yield warn("configuration", warning, "Remove it, or leave it: it has no effect.")
    yield from _without_rules(settings)
    yield from _delegations(settings)
    Lock(settings.lock_path)  # raises where it cannot be read
    hidden = [
        tool["id"] for tool in (deployment.tools or {}).get("tools", []) if tool.get("hidden") in ("unpinned", "drifted")
    ]
    if hidden:
        yield warn(
            "configuration",
            f"{len(hidden)} tools wait for somebody to look at their definitions: {', '.join(hidden[:5])}",
            deployment.command("tools", "approve", "--all", state=True),
        )


def _mistakes(deployment: Deployment, message: str) -> Iterator[Finding]:
    if not deployment.config.exists():
        yield fail("configuration", f"there is no {deployment.config}", "sealgate import claude-code, or name it: --config")
        return
    validate = f"sealgate config validate {deployment.config}, once you corrected it"
    for line in message.splitlines():
        unset = _UNSET.search(line)
        if unset is None:
            yield fail("configuration", line, validate)
        elif deployment.status is not None:  # the gateway has it, or it would not run
            yield warn("configuration", f"{line.split('. ')[0]} here", f"export {unset[1]}=…")
        else:
            yield fail("configuration", line.split(". ")[0], f"export {unset[1]}=…")


def _without_rules(settings: Settings) -> Iterator[Finding]:
    servers = settings.configuration.mcpServers
    if not settings.upstream_specs():
        yield warn("configuration", "no tool server is behind the gateway", "sealgate import claude-code")
    globs = [glob for rule in settings.configuration.tools for glob in rule.match]
    for name in servers:
        if not any(_may_match(glob, name) for glob in globs):
            yield warn(
                "configuration",
                f"no rule says what the tools of {name} are, so they are hidden",
                f'Add one under tools: {{match: "{name}{SEPARATOR}*", mode: …}}',
            )


def _may_match(glob: str, server: str) -> bool:
    """Whether a rule may be about a tool of that server."""
    if SEPARATOR in glob:
        return fnmatchcase(server, glob.partition(SEPARATOR)[0])
    return fnmatchcase(server, glob) or "*" in glob


def _delegations(settings: Settings) -> Iterator[Finding]:
    now = datetime.now(UTC)
    for index, caller in enumerate(settings.configuration.callers):
        given = caller.delegation
        if given is not None and datetime.fromisoformat(given.expires_at) <= now:
            yield warn(
                "configuration",
                f"the delegation of callers[{index}] ({caller.principal}) is over since {given.expires_at}",
                "Write a later expires_at, or remove it.",
            )
