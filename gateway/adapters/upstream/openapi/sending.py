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

from gateway.adapters.upstream.addresses import Addresses
from gateway.adapters.upstream.credentials.credentials import Credentials, NoCredentials, Party
from gateway.adapters.upstream.http_client import client_session
from gateway.adapters.upstream.openapi.answer import NO_ANSWER
from gateway.adapters.upstream.openapi.request import Request
from gateway.adapters.upstream.rpc import FLOOD, LOST, MALFORMED, NO_CREDENTIALS, UNAUTHORIZED, UNAVAILABLE, Fault
from gateway.adapters.upstream.spec import Limits

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
    """The session that all APIs and agents share."""
    told = aiohttp.TraceConfig()
    told.on_connection_create_start.append(_attempt(sent=False))
    told.on_connection_create_end.append(_connected)
    told.on_connection_reuseconn.append(_attempt(sent=True))
    return client_session(tls, addresses, told)


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


async def send_as(
    session: aiohttp.ClientSession,
    request: Request,
    sending: Sending,
    limits: Limits,
    credentials: Credentials,
    party: Party,
) -> HttpAnswer:
    """Send a call in the name of `party`. Raises `Fault`.

    NO_CREDENTIALS: there are none now, nothing was sent. UNAUTHORIZED: they were refused, by RFC 9110 it was not done.
    """
    try:
        shown = await credentials.headers(party)
    except NoCredentials:
        raise Fault(NO_CREDENTIALS) from None
    request.headers.update(shown)
    answer = await send(session, request, sending, limits.max_result_bytes, limits.connect_seconds)
    if answer.status == 401 and credentials.managed:
        credentials.refused(shown)
        raise Fault(UNAUTHORIZED)
    if answer.status in NO_ANSWER:
        raise Fault(LOST)
    return answer


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
