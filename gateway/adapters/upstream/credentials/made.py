"""From a spec to the credentials."""

import aiohttp

from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials
from gateway.adapters.upstream.credentials.spec import CredentialsSpec, StaticSpec


def credentials_of(upstream: str, spec: CredentialsSpec | None, http: aiohttp.ClientSession) -> Credentials:
    """Those of that upstream. `http`: the session that token endpoints are asked over, with its checked addresses."""
    if spec is None:
        return NOTHING
    if isinstance(spec, StaticSpec):
        from gateway.adapters.upstream.credentials.static import Static

        return Static(upstream, spec)
    from gateway.adapters.upstream.credentials.granted import Granted  # only here: signing takes a while to load

    return Granted(upstream, spec, http)
