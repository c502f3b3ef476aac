"""Our requests to a streamable HTTP upstream: one POST each, in both eras, on one shared aiohttp session.

The SDK client that negotiated stays open beside this for notifications and holds the handshake session; the id of that
session is used here. Answers are JSON or SSE, capped and strictly parsed. No redirect is followed, no compression
accepted, no request repeated (aiohttp repeats only idempotent methods).
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson

from gateway.adapters.upstream.addresses import Addresses, CheckedResolver
from gateway.adapters.upstream.rpc import (
    CLIENT_INFO,
    FLOOD,
    LOST,
    MALFORMED,
    UNAVAILABLE,
    Answer,
    Era,
    Fault,
    Outgoing,
    RpcError,
    encode,
    encode_cancel,
    next_id,
    read_error,
    read_response,
)
from gateway.adapters.upstream.screen import reply_to
from gateway.adapters.upstream.spec import HttpSpec
from gateway.adapters.upstream.sse import EventSplitter, EventTooLong
from gateway.core.wire import MAX_ANSWER_KEYS, Malformed, check_message, message, parse

logger = logging.getLogger("sealgate.upstream")

READ_BYTES = 65_536
STREAM_FACTOR = 8
"""An SSE answer may bring notifications before its response: this many times `max_result_bytes` in all."""

KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which uvicorn and Node.js close idle connections: a call sent into that moment would be in doubt."""

SIDE_POST_SECONDS = 5.0
TOOLS_CHANGED = "notifications/tools/list_changed"


def http_session(tls: ssl.SSLContext | bool, addresses: Addresses) -> aiohttp.ClientSession:
    """The session that all links share. No cookies, no proxy of the environment, no decompression.

    A name is resolved once for each connection, which goes to one of the addresses that were checked then.
    """
    connecting = aiohttp.TraceConfig()
    connecting.on_connection_create_start.append(_mark_sent(False))
    connecting.on_connection_create_end.append(_mark_sent(True))
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
        trace_configs=[connecting],
    )


def _mark_sent(sent: bool) -> Callable[[aiohttp.ClientSession, SimpleNamespace, Any], Awaitable[None]]:
    async def mark(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: Any) -> None:
        if isinstance(context.trace_request_ctx, Outgoing):
            context.trace_request_ctx.sent = sent

    return mark


class HttpLink:
    """See the module. `on_changed`: the tools should be listed anew. `on_end`: the session is gone, called once."""

    def __init__(
        self,
        spec: HttpSpec,
        era: Era,
        session_id: str | None,
        http: aiohttp.ClientSession,
        on_changed: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self._url = spec.url
        self._name = spec.name
        self._max_bytes = spec.limits.max_result_bytes
        self._modern = era.modern
        self._in_session = session_id is not None
        self._http = http
        self._on_changed = on_changed
        self._on_end = on_end
        self._ended: str | None = None
        self._side_posts: set[asyncio.Task[None]] = set()
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=spec.limits.connect_seconds)
        self._headers = {
            **{name.lower(): value for name, value in spec.headers.items()},
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "accept-encoding": "identity",
            "mcp-protocol-version": era.version,
        }
        if session_id is not None:
            self._headers["mcp-session-id"] = session_id

    @property
    def ended(self) -> str | None:
        """See `rpc.Link`."""
        return self._ended

    async def close(self) -> None:
        """End what still runs in the background."""
        self._end(LOST)
        for task in self._side_posts:
            task.cancel()
        await asyncio.gather(*self._side_posts, return_exceptions=True)

    async def request(self, outgoing: Outgoing) -> Answer:
        """See `rpc.Link`."""
        if self._ended is not None:
            raise Fault(UNAVAILABLE)
        request_id = next_id()
        outgoing.sent = True  # until the session's trace tells that it is still connecting
        try:
            async with self._post(encode(request_id, outgoing), outgoing.headers, outgoing) as response:
                try:
                    return await self._answer(response, request_id, outgoing.method)
                finally:
                    if not response.content.is_eof():
                        response.close()  # in the modern era this is how a request is cancelled
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            self._end(UNAVAILABLE)
            raise Fault(UNAVAILABLE) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(LOST) from error
        except asyncio.CancelledError:
            if not self._modern:
                self._post_aside(encode_cancel(request_id))
            raise

    def _post(
        self, body: bytes, headers: Mapping[str, str], outgoing: Outgoing | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        return self._http.post(
            self._url,
            data=body,
            headers={**self._headers, **headers},
            allow_redirects=False,
            timeout=self._timeout,
            trace_request_ctx=outgoing,
        )

    async def _answer(self, response: aiohttp.ClientResponse, request_id: str, method: str) -> Answer:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise Fault(MALFORMED)
        status, kind = response.status, response.content_type
        if self._in_session:
            if status == 404 or (status == 400 and method == "tools/list"):
                self._end(LOST)  # the session is unknown now (spec: 404; some servers say 400)
            elif status == 400:
                self._on_changed()  # bad arguments, or such a server: listing will tell
        if kind == "text/event-stream" and status == 200:
            return await self._read_events(response, request_id)
        if kind == "application/json":
            document = await self._read_json(response)
            if status < 400:
                return _response_to(request_id, document)
            if isinstance(document, dict) and "error" in document:  # its id may be null: the request was not even parsed
                return read_error(document["error"])
        if 400 <= status < 500 and status != 408:
            return RpcError(status, "HTTP status")
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

    async def _read_events(self, response: aiohttp.ClientResponse, request_id: str) -> Answer:
        splitter = EventSplitter(self._max_bytes)
        async for chunk in _chunks(response, self._max_bytes * STREAM_FACTOR):
            try:
                for data in splitter.feed(chunk):
                    document = message(data, max_bytes=self._max_bytes, max_keys=MAX_ANSWER_KEYS)
                    if "method" not in document:
                        return _response_to(request_id, document)
                    await self._serve(document)
            except EventTooLong as error:
                raise Fault(FLOOD) from error
            except Malformed as error:
                raise Fault(MALFORMED) from error
        raise Fault(LOST)

    async def _serve(self, document: dict[str, Any]) -> None:
        """A notification or a request of the server ahead of its response. We offer nothing but ping."""
        if document["method"] == TOOLS_CHANGED:
            self._on_changed()
        if "id" not in document or self._modern:
            return
        await self._side_post(orjson.dumps(reply_to(document)))

    def _post_aside(self, body: bytes) -> None:
        task = asyncio.create_task(self._side_post(body))
        self._side_posts.add(task)
        task.add_done_callback(self._side_posts.discard)

    async def _side_post(self, body: bytes) -> None:
        try:
            async with asyncio.timeout(SIDE_POST_SECONDS), self._post(body, {}) as response:
                response.close()
        except (aiohttp.ClientError, OSError):  # TimeoutError is an OSError
            logger.debug("a message to upstream %s was not delivered", self._name)

    def _end(self, code: str) -> None:
        if self._ended is None:
            self._ended = code
            self._on_end()


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
