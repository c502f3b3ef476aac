"""Opening one session with an upstream: the SDK client negotiates the era and listens, a link carries our requests."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import aiohttp
import httpx2
from mcp import Client
from mcp.client import Transport
from mcp.client.session import IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, ToolListChangedNotification

from gateway.adapters.upstream.addresses import Addresses, Resolve
from gateway.adapters.upstream.child import StderrTail
from gateway.adapters.upstream.guard import GuardedTransport
from gateway.adapters.upstream.http import HttpLink
from gateway.adapters.upstream.rpc import CLIENT_INFO, Era, Link
from gateway.adapters.upstream.screen import Screened
from gateway.adapters.upstream.spec import HttpSpec, StdioSpec, UpstreamSpec
from gateway.adapters.upstream.stdio import StdioLink

LISTEN_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Wire:
    """What the process shares between HTTP upstreams; `tls` stands for one SSL context (27 ms to make)."""

    http: aiohttp.ClientSession
    tls: ssl.SSLContext | bool
    addresses: Addresses
    resolve: Resolve


@dataclass(frozen=True, slots=True)
class Session:
    """A negotiated session. `offers_tools`: the upstream declared the tools capability."""

    link: Link
    era: Era
    offers_tools: bool


Notice = Callable[[], None]


def open_session(
    spec: UpstreamSpec, wire: Wire, tail: StderrTail, on_changed: Notice, on_end: Notice
) -> AbstractAsyncContextManager[Session]:
    """Connect and negotiate. Enter and leave in the same task: the SDK's cancel scopes demand it.

    Args:
        tail: collects what a process writes to stderr
        on_changed: the upstream's tools may have changed, or its session may be gone: list them
        on_end: the session is gone; called at most once
    """
    match spec:
        case StdioSpec():
            return _open_stdio(spec, tail, on_changed, on_end)
        case HttpSpec():
            return _open_http(spec, wire, on_changed, on_end)


@asynccontextmanager
async def _open_stdio(spec: StdioSpec, tail: StderrTail, on_changed: Notice, on_end: Notice) -> AsyncIterator[Session]:
    link = StdioLink(spec, tail, on_end)
    async with _negotiated(link, spec.limits.connect_seconds, on_changed) as client:
        yield _session(client, link)


@asynccontextmanager
async def _open_http(spec: HttpSpec, wire: Wire, on_changed: Notice, on_end: Notice) -> AsyncIterator[Session]:
    limits = spec.limits
    guard = GuardedTransport(spec.name, limits.max_result_bytes, wire.tls, wire.addresses)
    headers = {**spec.headers, "accept-encoding": "identity"}
    timeout = httpx2.Timeout(None, connect=limits.connect_seconds)  # a stream may be silent for long
    async with httpx2.AsyncClient(transport=guard, headers=headers, timeout=timeout) as http:
        transport = streamable_http_client(spec.url, http_client=http, max_sse_event_size=limits.max_result_bytes)
        async with _negotiated(Screened(transport), limits.connect_seconds, on_changed) as client:
            era = Era(client.protocol_version)
            session_id = None if era.modern else guard.session_id
            link = HttpLink(spec, era, session_id, wire.http, on_changed, on_end)
            try:
                yield _session(client, link)
            finally:
                await link.close()


@asynccontextmanager
async def _negotiated(transport: Transport, seconds: float, on_changed: Notice) -> AsyncIterator[Client]:
    """An SDK client over `transport`, era settled within `seconds`, listening for changes."""

    async def on_message(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            on_changed()

    client = Client(transport, cache=None, message_handler=on_message, client_info=CLIENT_INFO)
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(seconds):  # anyio's would have to enclose the leaving as well
            await stack.enter_async_context(client)
        listening = asyncio.create_task(_listen(client, on_changed))
        try:
            yield client
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


async def _listen(client: Client, on_changed: Notice) -> None:
    """Keep a 2026-07-28 subscription open where there can be one. Its events reach `on_message`."""
    tools = client.server_capabilities.tools
    if not Era(client.protocol_version).modern or tools is None or not tools.list_changed:
        return
    while True:
        try:
            async with client.listen(tools_list_changed=True) as subscription:
                async for _ in subscription:
                    pass
        except MCPError as error:
            if error.code == METHOD_NOT_FOUND:
                return
        except SubscriptionLost:
            pass
        on_changed()  # whatever was missed, or a server that is gone
        await asyncio.sleep(LISTEN_AGAIN_SECONDS)


def _session(client: Client, link: Link) -> Session:
    return Session(link, Era(client.protocol_version), client.server_capabilities.tools is not None)
