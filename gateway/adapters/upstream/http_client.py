"""The aiohttp sessions that requests to upstreams are sent on."""

import ssl

import aiohttp

from gateway.adapters.upstream.addresses import Addresses, CheckedResolver
from gateway.adapters.upstream.rpc import CLIENT_INFO

KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which uvicorn and Node.js close idle connections: a call sent into that moment would be in doubt."""


def client_session(tls: ssl.SSLContext | bool, addresses: Addresses, told: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """A session with no cookies, no proxy of the environment, no decompression. `told` hears of its connections.

    A name is resolved once for each connection, which goes to one of the addresses that were checked then.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            ssl=tls,
            resolver=CheckedResolver(addresses),
            use_dns_cache=False,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"user-agent": f"{CLIENT_INFO.name}/{CLIENT_INFO.version}"},
        trace_configs=[told],
    )
