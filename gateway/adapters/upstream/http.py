"""Our requests to a streamable HTTP upstream: one POST each, in both eras, on one shared aiohttp session.

The SDK client that negotiated stays open beside this for notifications and holds the handshake session; the id of that
session is used here. Answers are JSON or SSE, capped and strictly parsed. No redirect is followed, no compression
accepted, no request repeated (aiohttp repeats only idempotent methods). What comes on the stream of an answer, before it,
belongs to that request. A handshake server may end that stream and have the rest fetched (MCP 2025-11-25, "Resumability").

An *exclusive* session, one that a single call at a time has to itself, has no SDK beside it: the handshake is our own, and
what comes on its listening stream belongs to that call.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson

from gateway.adapters.upstream.addresses import Addresses
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, NoCredentials, Party
from gateway.adapters.upstream.guard import SESSION_HEADER
from gateway.adapters.upstream.hearing import OpenAsks
from gateway.adapters.upstream.http_client import client_session
from gateway.adapters.upstream.requests import Era
from gateway.adapters.upstream.rpc import (
    FLOOD,
    LOST,
    MALFORMED,
    NO_CREDENTIALS,
    UNAUTHORIZED,
    UNAVAILABLE,
    Answer,
    Fault,
    HttpRefusal,
    Outgoing,
    encode,
    encode_cancel,
    encode_notification,
    read_error,
    read_response,
)
from gateway.adapters.upstream.screen import NOTICES, Notice, reply_to
from gateway.adapters.upstream.spec import HttpSpec
from gateway.adapters.upstream.sse import EventSplitter, EventTooLong
from gateway.core.wire import MAX_ANSWER_KEYS, Malformed, check_message, message, parse

logger = logging.getLogger("sealgate.upstream")

READ_BYTES = 65_536
STREAM_FACTOR = 8
"""An SSE answer may bring notifications before its response: this many times `max_result_bytes` in all."""

SIDE_POST_SECONDS = 5.0
FAREWELL_SECONDS = 1.0

MAX_RESUMES = 5
"""Attempts in a row to fetch the rest of a stream that bring nothing."""

RESUME_SECONDS = 1.0
SHORTEST_RESUME_SECONDS = 0.02
"""However short a pause the server tells: it may end each stream at once, and no deadline runs while a client is asked."""
LONGEST_RESUME_SECONDS = 30.0
LAST_EVENT_HEADER = "last-event-id"


def http_session(tls: ssl.SSLContext | bool, addresses: Addresses) -> aiohttp.ClientSession:
    """The session that all links share."""
    connecting = aiohttp.TraceConfig()
    connecting.on_connection_create_start.append(_mark_sent(False))
    connecting.on_connection_create_end.append(_mark_sent(True))
    return client_session(tls, addresses, connecting)


def _mark_sent(sent: bool) -> Callable[[aiohttp.ClientSession, SimpleNamespace, Any], Awaitable[None]]:
    async def mark(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        if isinstance(context.trace_request_ctx, Outgoing):
            context.trace_request_ctx.sent = sent

    return mark


class HttpLink:
    """See the module. `on_suspect`: the session may be gone, listing will tell. `on_end`: it is gone, called once.

    `party`: in whose name an exclusive session is, and all that is sent on it.
    """

    def __init__(
        self,
        spec: HttpSpec,
        era: Era,
        session_id: str | None,
        http: aiohttp.ClientSession,
        on_notice: Notice,
        on_suspect: Callable[[], None],
        on_end: Callable[[], None],
        credentials: Credentials = NOTHING,
        party: Party | None = None,
    ) -> None:
        self._credentials = credentials
        self._party = party
        self._url = spec.url
        self._name = spec.name
        self._max_bytes = spec.limits.max_result_bytes
        self._modern = era.modern
        self._http = http
        self._on_notice = on_notice
        self._on_suspect = on_suspect
        self._on_end = on_end
        self._ended: str | None = None
        self._own_session = False
        self._asks: OpenAsks | None = None
        self._side_posts: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=spec.limits.connect_seconds)
        self._headers = {
            **{name.lower(): value for name, value in spec.headers.items()},
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "mcp-protocol-version": era.version,
        }
        if session_id is not None:
            self._headers[SESSION_HEADER] = session_id

    @property
    def ended(self) -> str | None:
        """See `rpc.Link`."""
        return self._ended

    async def close(self) -> None:
        """End what still runs in the background, and the session where the handshake was our own."""
        self._end(LOST)
        tasks = [*self._side_posts, *([] if self._listening is None else [self._listening])]
        if self._side_posts:  # a cancellation may be among them
            await asyncio.wait(self._side_posts, timeout=FAREWELL_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._own_session and SESSION_HEADER in self._headers:
            await self._aside(self._sent("DELETE", {}))

    async def request(self, outgoing: Outgoing) -> Answer:
        """See `rpc.Link`."""
        if self._ended is not None:
            raise Fault(UNAVAILABLE)
        asks = self._asks = OpenAsks(outgoing.hearing, self._reply)
        try:
            credentials = await self._credentials.headers(outgoing.party or self._party)
            outgoing.sent = True  # until the session's trace tells that it is still connecting
            return await self._exchange(outgoing, asks, credentials)
        except NoCredentials as error:
            raise Fault(NO_CREDENTIALS) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._end(UNAVAILABLE)
            raise Fault(UNAVAILABLE) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(LOST) from error
        except asyncio.CancelledError:
            if not self._modern and outgoing.sent:
                self._post_aside(encode_cancel(outgoing.id))
            raise
        finally:
            self._asks = None if self._asks is asks else self._asks
            await asks.close()

    async def notify(self, method: str) -> None:
        """See `rpc.Link`."""
        await self._side_post(encode_notification(method))

    def listen(self) -> None:
        """Read what an exclusive session's server sends outside of any answer, from now on until `close`."""
        self._listening = asyncio.create_task(self._listen())

    async def _exchange(self, outgoing: Outgoing, asks: OpenAsks, credentials: Mapping[str, str]) -> Answer:
        stream = EventSplitter(self._max_bytes)
        try:
            async with self._post(encode(outgoing), outgoing.headers, outgoing, credentials) as response:
                try:
                    self._judge(response, credentials)
                    answer = await self._answer(response, outgoing, asks, stream)
                finally:
                    if not response.content.is_eof():
                        response.close()  # in the modern era this is how a request is cancelled
        except aiohttp.ClientError:
            if stream.last_id is None:
                raise
            answer = None
        return answer if answer is not None else await self._rest(outgoing, asks, stream)

    async def _rest(self, outgoing: Outgoing, asks: OpenAsks, stream: EventSplitter) -> Answer:
        """What a stream that ended before its response still has, if the server keeps it. Raises `Fault`."""
        fruitless = 0
        while not self._modern and stream.last_id is not None and fruitless < MAX_RESUMES:
            last_id = stream.last_id
            await asyncio.sleep(_pause(stream))
            stream = EventSplitter(self._max_bytes)
            try:
                async with self._get(last_id) as response:
                    if response.status >= 400 or not _is_stream(response):
                        break
                    answer = await self._read_events(response, outgoing.id, asks, stream)
                    if answer is not None:
                        return answer
            except (aiohttp.ClientError, NoCredentials):
                pass
            fruitless = fruitless + 1 if stream.last_id is None else 0
            stream.last_id = stream.last_id or last_id
        raise Fault(LOST)

    async def _listen(self) -> None:
        last_id: str | None = None
        fruitless = 0
        while self._ended is None and fruitless < MAX_RESUMES:
            stream = EventSplitter(self._max_bytes)
            try:
                async with self._get(last_id) as response:
                    if response.status >= 400 or not _is_stream(response):
                        return  # it has no such stream
                    await self._read_events(response, None, None, stream)
            except (aiohttp.ClientError, OSError, NoCredentials):
                pass
            except Fault as fault:
                logger.warning(
                    "upstream %s sends what is not acceptable on its listening stream: %s", self._name, fault.code
                )
                return
            fruitless = fruitless + 1 if stream.last_id is None else 0
            last_id = stream.last_id or last_id
            await asyncio.sleep(max(_pause(stream), RESUME_SECONDS))

    def _post(
        self,
        body: bytes,
        headers: Mapping[str, str],
        outgoing: Outgoing | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        told = {"content-type": "application/json", **headers}
        return self._sent("POST", told, credentials, data=body, timeout=self._timeout, trace_request_ctx=outgoing)

    def _get(self, last_id: str | None) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        told = {"accept": "text/event-stream", **({} if last_id is None else {LAST_EVENT_HEADER: last_id})}
        return self._sent("GET", told, timeout=self._timeout)

    @asynccontextmanager
    async def _sent(
        self, method: str, headers: Mapping[str, str], credentials: Mapping[str, str] | None = None, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response. Without `credentials`: those of the session. Raises `NoCredentials`, and what aiohttp raises."""
        shown = await self._credentials.headers(self._party) if credentials is None else credentials
        told = {**shown, **self._headers, **headers}
        async with self._http.request(method, self._url, headers=told, allow_redirects=False, **more) as response:
            if credentials is None and response.status == 401:
                self._credentials.refused(shown)
            yield response

    def _judge(self, response: aiohttp.ClientResponse, credentials: Mapping[str, str]) -> None:
        """A 401 has credentials dropped that can be had anew. By RFC 9110 it was not done then: raises `Fault`."""
        if response.status == 401 and self._credentials.managed:
            logger.warning("upstream %s refused the gateway's credentials (HTTP 401)", self._name)
            self._credentials.refused(credentials)
            raise Fault(UNAUTHORIZED)

    async def _answer(
        self, response: aiohttp.ClientResponse, outgoing: Outgoing, asks: OpenAsks, stream: EventSplitter
    ) -> Answer | None:
        """The answer; None where it comes on a stream that ended before."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Fault(MALFORMED)
        status, kind = response.status, response.content_type
        if SESSION_HEADER in self._headers:
            if status == 404 or (status == 400 and outgoing.method == "tools/list"):
                self._end(LOST)  # the session is unknown now (spec: 404; some servers say 400)
            elif status == 400:
                self._on_suspect()  # bad arguments, or such a server: listing will tell
        if outgoing.method == "initialize" and status == 200 and SESSION_HEADER in response.headers:
            self._own_session = True
            self._headers[SESSION_HEADER] = response.headers[SESSION_HEADER]
        if status == 200 and _is_stream(response):
            return await self._read_events(response, outgoing.id, asks, stream)
        if kind == "application/json":
            document = await self._read_json(response)
            if status < 400:
                return _response_to(outgoing.id, document)
            if isinstance(document, dict) and "error" in document:  # its id may be null: the request was not even parsed
                return read_error(document["error"])
        if 400 <= status < 500 and status != 408:
            return HttpRefusal(status)
        logger.warning("upstream %s answered a request with HTTP status %d, which is no answer", self._name, status)
        raise Fault(MALFORMED)

    async def _read_json(self, response: aiohttp.ClientResponse) -> Any:
        body = bytearray()
        async for chunk in _chunks(response, self._max_bytes):
            body += chunk
        try:
            return parse(bytes(body), max_bytes=self._max_bytes, max_keys=MAX_ANSWER_KEYS)
        except Malformed as error:
            raise Fault(MALFORMED) from error

    async def _read_events(
        self, response: aiohttp.ClientResponse, request_id: str | None, asks: OpenAsks | None, splitter: EventSplitter
    ) -> Answer | None:
        """Until the response to that request (None: to none), or the end."""
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Fault(MALFORMED)
        async for chunk in _chunks(response, self._max_bytes * STREAM_FACTOR):
            try:
                for data in splitter.feed(chunk):
                    document = message(data, max_bytes=self._max_bytes, max_keys=MAX_ANSWER_KEYS)
                    if "method" in document:
                        await self._hear(document, asks or self._asks)
                    elif request_id is not None:
                        return _response_to(request_id, document)
            except EventTooLong as error:
                raise Fault(FLOOD) from error
            except Malformed as error:
                raise Fault(MALFORMED) from error
            await asyncio.sleep(0)  # a read of what is there already does not suspend, and others wait
        return None

    async def _hear(self, document: dict[str, Any], asks: OpenAsks | None) -> None:
        """A notification or a request of the server. In the modern era there are no requests."""
        if document["method"] in NOTICES:
            self._on_notice(document["method"], document.get("params", {}))
        elif "id" in document and self._modern:
            pass
        elif asks is not None:
            await asks.receive(document)
        elif "id" in document:
            await self._reply(reply_to(document))

    async def _reply(self, response: dict[str, Any]) -> None:
        await self._side_post(orjson.dumps(response))

    def _post_aside(self, body: bytes) -> None:
        task = asyncio.create_task(self._side_post(body))
        self._side_posts.add(task)
        task.add_done_callback(self._side_posts.discard)

    async def _side_post(self, body: bytes) -> None:
        await self._aside(self._post(body, {}))

    async def _aside(self, request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> None:
        try:
            async with asyncio.timeout(SIDE_POST_SECONDS), request as response:
                response.close()
        except (aiohttp.ClientError, OSError, NoCredentials):  # TimeoutError is an OSError
            logger.debug("a message to upstream %s was not delivered", self._name)

    def _end(self, code: str) -> None:
        if self._ended is None:
            self._ended = code
            self._on_end()


def _is_stream(response: aiohttp.ClientResponse) -> bool:
    return response.content_type == "text/event-stream"


def _pause(stream: EventSplitter) -> float:
    """How long to wait before the rest of it is fetched, in seconds."""
    told = RESUME_SECONDS if stream.retry_seconds is None else stream.retry_seconds
    return min(max(told, SHORTEST_RESUME_SECONDS), LONGEST_RESUME_SECONDS)


async def _chunks(response: aiohttp.ClientResponse, max_bytes: int) -> AsyncIterator[bytes]:
    """The body, at most `max_bytes` of it. Raises `Fault`."""
    length = response.content_length
    if length is not None and length > max_bytes:
        raise Fault(FLOOD)
    total = 0
    async for chunk in response.content.iter_chunked(READ_BYTES):
        total += len(chunk)
        if total > max_bytes:
            raise Fault(FLOOD)
        yield chunk


def _response_to(request_id: str, document: Any) -> Answer:
    try:
        checked = check_message(document)
    except Malformed as error:
        raise Fault(MALFORMED) from error
    if "method" in checked or checked["id"] != request_id:
        raise Fault(MALFORMED)
    return read_response(checked)
