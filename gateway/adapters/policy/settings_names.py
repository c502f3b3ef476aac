"""Settings that no rule reads: a mistyped one would mean no limit, so policies with one are not loaded.

The library says itself which names it knows (`policies/authz.rego`). Policies that do not say so are not asked.
"""

import asyncio
from difflib import get_close_matches

import orjson

from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.core.errors import ConfigError

UNKNOWN = b"data.sealgate.authz.unknown_settings"
KNOWN = b"data.sealgate.authz.known_settings"
NO_SUCH_RULE = "not a valid rule path"


async def check_settings(process: PolicyProcess, seconds: float) -> None:
    """Raises `ConfigError` where a setting has a name that the loaded policies do not know."""
    process.patience = seconds
    unknown = await _names(process, UNKNOWN, seconds)
    if not unknown:
        return
    name = unknown[0]
    near = get_close_matches(name, await _names(process, KNOWN, seconds), 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"the policies cannot be loaded: no rule reads the setting data.sealgate.settings.{name[:80]}{meant}",
        hint="Correct the name, or move what rules of your own read below data.sealgate.settings.own.",
    )


async def _names(process: PolicyProcess, rule: bytes, seconds: float) -> list[str]:
    answer = await process.ask(b"R", rule, asyncio.get_running_loop().time() + seconds)
    if not isinstance(answer, Fault):
        told = orjson.loads(answer)
        return sorted(map(str, told)) if isinstance(told, list) else []
    if process.fault is None and NO_SUCH_RULE in answer.cause:  # these are not the library's
        return []
    raise ConfigError(
        f"the policies cannot be loaded: their settings cannot be read: {answer.where()}",
        hint="data.sealgate.settings is an object, or left out.",
    )
