"""One HTTP request to an API, sent at most once, and its answer within bounds.

aiohttp repeats PUT and DELETE by itself where a connection breaks; for an effect that is stopped here.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import aiohttp
from yarl import URL

from gateway.adapters.upstream.addresses import Addresses, CheckedResolver
from gateway.adapters.upstream.openapi.request import Request
from gateway.adapters.upstream.rpc import CLIENT_INFO, FLOOD, LOST, MALFORMED, UNAVAILABLE, Fault

KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which common servers close idle connections: a call sent into that moment would be in doubt."""

READ_BYTES = 65_536


@dataclass(slots=True)
class Sending:
    """`sent` is False as long as certainly no byte of the request has left. `once`: it may not be sent a second time."""

    once: bool
    sent: bool = False
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """`content_type` is without parameters, in lower case."""

    status: int
    content_type: str
    body: bytes


def api_session(tls: ssl.SSLContext | bool, addresses: Addresses) -> aiohttp.ClientSession:
    """The session that all APIs share. No cookies, no proxy of the environment, no decompression."""
    told = aiohttp.TraceConfig()
    told.on_connection_create_start.append(_attempt(sent=False))
    told.on_connection_create_end.append(_connected)
    told.on_connection_reuseconn.append(_attempt(sent=True))
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


def _attempt(*, sent: bool) -> Callable[[aiohttp.ClientSession, SimpleNamespace, Any], Awaitable[None]]:
    async def begin(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        sending = context.trace_request_ctx
        if isinstance(sending, Sending):
            if sending.once and sending.attempts > 0:
                raise Fault(LOST)
            sending.attempts += 1
            sending.sent = sending.sent or sent

    return begin


async def _connected(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
    if isinstance(context.trace_request_ctx, Sending):
        context.trace_request_ctx.sent = True


async def send(
    session: aiohttp.ClientSession, request: Request, sending: Sending, max_bytes: int, connect_seconds: float
) -> HttpAnswer:
    """Send it and read the answer. Raises `Fault`; whether anything may have left is in `sending`."""
    try:
        async with session.request(
            request.method,
            URL(request.url, encoded=True),
            data=request.body,
            headers=request.headers,
            skip_auto_headers=("content-type",),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
            trace_request_ctx=sending,
        ) as response:
            try:
                return HttpAnswer(response.status, response.content_type.lower(), await _body(response, max_bytes))
            finally:
                if not response.content.is_eof():
                    response.close()
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Fault(UNAVAILABLE) from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Fault(LOST) from error


async def _body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Fault(MALFORMED)
    length = response.content_length
    if length is not None and length > max_bytes and response.method != "HEAD":
        raise Fault(FLOOD)
    body = bytearray()
    async for chunk in response.content.iter_chunked(READ_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise Fault(FLOOD)
    return bytes(body)
