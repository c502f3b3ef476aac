"""Opening one session with an upstream.

The shared session of an upstream: the SDK client negotiates the era and listens, a link carries our requests. It declares
what rules let the upstream ask of clients, since some servers list further tools to those that can be asked; what it asks
there is refused all the same. An own session, one that a single call at a time has to itself, is of the era that was
negotiated: no SDK, the handshake is ours, and the client's capabilities are declared in it.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import httpx2
from mcp import Client
from mcp.client import Transport
from mcp.client.streamable_http import streamable_http_client
from mcp_types import METHOD_NOT_FOUND, ErrorData
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_HANDSHAKE_VERSION

from gateway.adapters.upstream.addresses import Addresses, Resolve
from gateway.adapters.upstream.child import StderrTail
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, Party
from gateway.adapters.upstream.guard import GuardedTransport
from gateway.adapters.upstream.http import HttpLink
from gateway.adapters.upstream.requests import Era, initialize, plain
from gateway.adapters.upstream.rpc import CLIENT_INFO, MALFORMED, Fault, HttpRefusal, Link, RpcError
from gateway.adapters.upstream.screen import Notice, Screened
from gateway.adapters.upstream.spec import HttpSpec, StdioSpec, UpstreamSpec
from gateway.adapters.upstream.sse_link import SseLink
from gateway.adapters.upstream.stdio import StdioLink
from gateway.adapters.upstream.subscriptions import Subscriptions
from gateway.core.method import Method

_CAPABILITY = {Method.ELICIT: "elicitation", Method.SAMPLE: "sampling", Method.ROOTS: "roots"}


@dataclass(frozen=True, slots=True)
class Wire:
    """What the process shares between HTTP upstreams; `tls` stands for one SSL context (27 ms to make).

    `credentials`: by upstream, of those that have some.
    """

    http: aiohttp.ClientSession
    tls: ssl.SSLContext | bool
    addresses: Addresses
    resolve: Resolve
    credentials: Mapping[str, Credentials] = field(default_factory=dict)

    def credentials_of(self, upstream: str) -> Credentials:
        """What this upstream is told who we are."""
        return self.credentials.get(upstream, NOTHING)


@dataclass(frozen=True, slots=True)
class Session:
    """A negotiated session.

    Attributes:
        capabilities: the upstream's ServerCapabilities, as on the wire
        declares: the ClientCapabilities that it is told when it is asked for its lists
    """

    link: Link
    era: Era
    capabilities: Mapping[str, Any]
    declares: Mapping[str, Any]

    @property
    def offers_tools(self) -> bool:
        """The upstream declared the tools capability."""
        return "tools" in self.capabilities


@dataclass(frozen=True, slots=True)
class Events:
    """Who is told of a session.

    Attributes:
        notice: of a notification that concerns the upstream as a whole
        suspect: something may have been missed, or the session may be gone: listing will tell
        end: the session is gone; called at most once
    """

    notice: Notice
    suspect: Callable[[], None]
    end: Callable[[], None]


def open_session(
    spec: UpstreamSpec, wire: Wire, tail: StderrTail, events: Events, subscriptions: Subscriptions
) -> AbstractAsyncContextManager[Session]:
    """Connect and negotiate the shared session. Enter and leave in the same task: the SDK's cancel scopes demand it.

    Args:
        tail: collects what a process writes to stderr
        subscriptions: to resources; kept up while the session lives
    """
    match spec:
        case StdioSpec():
            return _open_stdio(spec, tail, events, subscriptions)
        case HttpSpec(sse=True):
            return _open_sse(spec, wire, events, subscriptions)
        case HttpSpec():
            return _open_http(spec, wire, events, subscriptions)


@asynccontextmanager
async def _open_stdio(
    spec: StdioSpec, tail: StderrTail, events: Events, subscriptions: Subscriptions
) -> AsyncIterator[Session]:
    link = StdioLink(spec, tail, events.notice, events.end)
    async with (
        _negotiated(link, spec) as client,
        subscriptions.kept(Era(client.protocol_version), link, client, events.suspect),
    ):
        yield _session(client, link, spec)


@asynccontextmanager
async def _open_http(spec: HttpSpec, wire: Wire, events: Events, subscriptions: Subscriptions) -> AsyncIterator[Session]:
    limits, credentials = spec.limits, wire.credentials_of(spec.name)
    await credentials.headers(None)  # the SDK would hide why there are none
    guard = GuardedTransport(spec.name, limits.max_result_bytes, wire.tls, wire.addresses, credentials)
    headers = {**spec.headers, "accept-encoding": "identity"}
    timeout = httpx2.Timeout(None, connect=limits.connect_seconds)  # a stream may be silent for long
    async with httpx2.AsyncClient(transport=guard, headers=headers, timeout=timeout) as http:
        transport = streamable_http_client(spec.url, http_client=http, max_sse_event_size=limits.max_result_bytes)
        async with _negotiated(Screened(transport, events.notice), spec) as client:
            era = Era(client.protocol_version)
            session_id = None if era.modern else guard.session_id
            told = (events.notice, events.suspect, events.end)
            link = HttpLink(spec, era, session_id, wire.http, *told, credentials)
            try:
                async with subscriptions.kept(era, link, client, events.suspect):
                    yield _session(client, link, spec)
            finally:
                await link.close()


@asynccontextmanager
async def _open_sse(spec: HttpSpec, wire: Wire, events: Events, subscriptions: Subscriptions) -> AsyncIterator[Session]:
    link = SseLink(spec, wire.http, events.notice, events.end, wire.credentials_of(spec.name))
    async with asyncio.timeout(spec.limits.connect_seconds) as opening, link:
        declares = _declared(spec.asks)
        era, declared = await _handshake(link, Era(LATEST_HANDSHAKE_VERSION), declares, None)
        opening.reschedule(None)
        async with subscriptions.kept(era, link, None, events.suspect):
            yield Session(link, era, declared, declares)


@asynccontextmanager
async def _negotiated(transport: Transport, spec: UpstreamSpec) -> AsyncIterator[Client]:
    """An SDK client over `transport`, era settled within `connect_seconds`."""
    refused: Any = _refused
    client = Client(
        transport,
        cache=None,
        client_info=CLIENT_INFO,
        elicitation_callback=refused if Method.ELICIT in spec.asks else None,
        sampling_callback=refused if Method.SAMPLE in spec.asks else None,
        list_roots_callback=refused if Method.ROOTS in spec.asks else None,
    )
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(spec.limits.connect_seconds):  # anyio's would have to enclose the leaving as well
            await stack.enter_async_context(client)
        yield client


async def _refused(*_: object) -> ErrorData:
    """What the SDK would answer, if a request of a server got so far: `screen` and the links answer it before."""
    return ErrorData(code=METHOD_NOT_FOUND, message="This client does not offer that.")


def _declared(asks: Collection[Method]) -> dict[str, Any]:
    """ClientCapabilities of a client that may be asked for these."""
    return {_CAPABILITY[method]: {} for method in sorted(asks)}


def _session(client: Client, link: Link, spec: UpstreamSpec) -> Session:
    declared = client.server_capabilities.model_dump(by_alias=True, exclude_none=True, mode="json")
    return Session(link, Era(client.protocol_version), declared, _declared(spec.asks))


@asynccontextmanager
async def open_own(
    spec: UpstreamSpec,
    wire: Wire,
    tail: StderrTail,
    events: Events,
    era: Era,
    capabilities: Mapping[str, Any],
    log_level: str | None,
    party: Party,
) -> AsyncIterator[Session]:
    """Open an own session of that era, with these client capabilities. Raises `Fault`, and what connecting raises.

    It is in the name of `party`, where the upstream's credentials tell callers apart.

    Over HTTP of the modern era nobody needs one: each request has its own capabilities, and its own stream.
    """
    async with asyncio.timeout(spec.limits.connect_seconds) as opening, AsyncExitStack() as stack:
        link: StdioLink | HttpLink | SseLink
        credentials = wire.credentials_of(spec.name)
        match spec:
            case StdioSpec():
                link = StdioLink(spec, tail, events.notice, events.end, exclusive=True)
                for stream in await stack.enter_async_context(link):
                    await stack.enter_async_context(stream)  # nobody reads or writes these
            case HttpSpec(sse=True):
                sse = SseLink(spec, wire.http, events.notice, events.end, credentials, party, exclusive=True)
                link = await stack.enter_async_context(sse)
            case HttpSpec():
                told = (events.notice, events.suspect, events.end)
                link = HttpLink(spec, era, None, wire.http, *told, credentials, party)
                stack.push_async_callback(link.close)
        agreed, declared = era, dict[str, Any](tools={})
        if not era.modern:
            agreed, declared = await _handshake(link, era, capabilities, log_level)
        if agreed != era:
            raise Fault(MALFORMED)  # it does not do as in its shared session
        if isinstance(link, HttpLink):
            link.listen()
        opening.reschedule(None)
        yield Session(link, era, declared, capabilities)


async def _handshake(
    link: Link, era: Era, capabilities: Mapping[str, Any], log_level: str | None
) -> tuple[Era, dict[str, Any]]:
    """The era that the upstream agrees to, and its capabilities. Raises `Fault` where there are none."""
    answer = await link.request(initialize(era, capabilities))
    if isinstance(answer, RpcError | HttpRefusal):
        raise Fault(MALFORMED)
    version, declared = answer.get("protocolVersion"), answer.get("capabilities")
    if version not in HANDSHAKE_PROTOCOL_VERSIONS or not isinstance(declared, dict):
        raise Fault(MALFORMED)
    await link.notify("notifications/initialized")
    if log_level is not None and "logging" in declared:
        await link.request(plain(era, "logging/setLevel", {"level": log_level}))  # a refusal does no harm
    return Era(version), declared
