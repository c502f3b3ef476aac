"""Who may call: whether issuers' keys can be had and fit what is allowed, whose API keys are over, where peers connect."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from gateway.adapters.issuer_keys import IssuerKeys, KeysUnavailable, issuer_session
from gateway.adapters.keys.api_keys import ApiKeyFile
from gateway.core.api_key import ApiKey
from gateway.doctor.deployment import Deployment
from gateway.doctor.finding import Finding, fail, ok, warn
from gateway.settings.access import Issuer

SOON_DAYS = 14


def look(deployment: Deployment) -> Iterator[Finding]:
    """The issuers, each asked for its keys; the API keys; the folder of the Unix socket."""
    settings = deployment.outline
    oauth = None if settings is None else settings.configuration.auth.oauth
    for issuer in () if oauth is None else oauth.issuers:
        yield asyncio.run(_issuer(issuer))
    yield from _api_keys(deployment)
    unix = None if settings is None else settings.configuration.listen.unix
    if settings is not None and unix is not None:
        folder = (settings.folder / unix).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            yield fail("callers", f"the folder of listen.unix, {folder}, cannot be written", f"install -d -m 0755 {folder}")


async def _issuer(issuer: Issuer) -> Finding:
    async with issuer_session() as session:
        keys = IssuerKeys(issuer.issuer, issuer.jwks_uri, session)
        try:
            fit = await keys.algorithms()
        except KeysUnavailable as error:
            return fail("callers", error.message, f"Correct auth.oauth, or: curl -v {issuer.jwks_uri or issuer.issuer}")
        finally:
            await keys.close()
    usable = [one for one in issuer.algorithms if one in fit]
    if not usable:
        allowed = ", ".join(issuer.algorithms)
        return fail("callers", f"no key of {issuer.issuer} is for {allowed}", f"Allow one of: {', '.join(sorted(fit))}")
    return ok("callers", f"{issuer.issuer} has keys for {', '.join(usable)}")


def _api_keys(deployment: Deployment) -> Iterator[Finding]:
    """A damaged file is a `GatewayError`, which the examination tells."""
    keys = ApiKeyFile(deployment.state.api_keys).load().values()
    now, soon = (f"{moment:%Y-%m-%dT%H:%M:%S}.000Z" for moment in _moments())
    valid = [key for key in keys if key.state(now) == "valid"]
    ending = [key for key in valid if key.state(soon) != "valid"]
    for key in ending:
        yield warn("callers", f"the API key {key.id} of {key.principal} ends at {key.expires_at}", _another(deployment, key))
    if keys:
        yield ok("callers", f"{len(valid)} of {len(keys)} API keys are valid")


def _moments() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now, now + timedelta(days=SOON_DAYS)


def _another(deployment: Deployment, key: ApiKey) -> str:
    more = [word for actor in key.actors for word in ("--actor", str(actor))]
    more += [word for role in sorted(key.roles) for word in ("--role", role)]
    return deployment.command("keys", "api", "new", "--principal", str(key.principal), *more, "--expires", "90d", state=True)
