"""The HTTP+SSE transport of MCP 2024-11-05: one event stream that brings everything, and POSTs to an endpoint that it names.

Above stands nobody but us: the handshake is our own, in shared sessions as well. The endpoint lies where the stream came
from; redirects are not followed, nothing is decompressed, every event is capped and strictly parsed. A malformed one is
dropped and fails only its own request, until there are `MAX_MALFORMED` between two answers.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import urljoin, urlsplit

import aiohttp
import orjson

from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, NoCredentials, Party
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
    read_response,
)
from gateway.adapters.upstream.screen import NOTICES, Notice, reply_to
from gateway.adapters.upstream.spec import HttpSpec
from gateway.adapters.upstream.sse import EventSplitter, EventTooLong
from gateway.adapters.upstream.waiting import Waiting
from gateway.core.wire import MAX_ANSWER_KEYS, Malformed, message

logger = logging.getLogger("sealgate.upstream")

READ_BYTES = 65_536
MAX_MALFORMED = 20
MAX_ENDPOINT_BYTES = 2_048
SIDE_POST_SECONDS = 5.0
FAREWELL_SECONDS = 1.0

ENDPOINT = b"endpoint"
MESSAGE = b"message"


class SseLink:
    """Implements `rpc.Link`. Entering connects and learns the endpoint. `on_end` is called once, when the stream is gone.

    `party`: in whose name an exclusive session is, and all that is sent on it.
    """

    def __init__(
        self,
        spec: HttpSpec,
        http: aiohttp.ClientSession,
        on_notice: Notice,
        on_end: Callable[[], None],
        credentials: Credentials = NOTHING,
        party: Party | None = None,
        *,
        exclusive: bool = False,
    ) -> None:
        self._credentials = credentials
        self._party = party
        self._spec = spec
        self._http = http
        self._on_notice = on_notice
        self._on_end = on_end
        self._ended: str | None = None
        self._malformed = 0
        self._endpoint: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting = Waiting(self._reply, exclusive=exclusive)
        self._side_posts: set[asyncio.Task[None]] = set()
        self._reading: asyncio.Task[None] | None = None
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=spec.limits.connect_seconds)
        self._headers = {
            **{name.lower(): value for name, value in spec.headers.items()},
            "accept-encoding": "identity",
        }

    @property
    def ended(self) -> str | None:
        """See `rpc.Link`."""
        return self._ended

    async def __aenter__(self) -> Self:
        """Raises `Fault`, `aiohttp.ClientError` and `OSError`."""
        self._reading = asyncio.create_task(self._read())
        try:
            await asyncio.shield(self._endpoint)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end(LOST)
        tasks = [*self._side_posts, *([] if self._reading is None else [self._reading])]
        if self._side_posts:  # a cancellation may be among them
            await asyncio.wait(self._side_posts, timeout=FAREWELL_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def request(self, outgoing: Outgoing) -> Answer:
        """See `rpc.Link`."""
        if self._ended is not None:
            raise Fault(UNAVAILABLE)
        try:
            credentials = await self._credentials.headers(outgoing.party or self._party)
        except NoCredentials as error:
            raise Fault(NO_CREDENTIALS) from error
        answer = self._waiting.begin(outgoing)
        outgoing.sent = True  # until the session's trace tells that it is still connecting
        try:
            refused = await self._post(encode(outgoing), outgoing, credentials)
            return refused if refused is not None else read_response(await answer)
        except asyncio.CancelledError:
            self._aside(encode_cancel(outgoing.id))
            raise
        finally:
            await self._waiting.end(outgoing)

    async def notify(self, method: str) -> None:
        """See `rpc.Link`."""
        await self._quietly(encode_notification(method))

    async def _post(
        self, body: bytes, outgoing: Outgoing | None = None, credentials: Mapping[str, str] | None = None
    ) -> HttpRefusal | None:
        """None where the server took it. Raises `Fault` where nothing is known of it."""
        try:
            async with self._request("POST", body, outgoing, credentials) as response:
                status = response.status
                response.close()  # what it answers here is of no meaning
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Fault(UNAVAILABLE) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(LOST) from error
        if 200 <= status < 300:
            return None
        if status == 401 and self._credentials.managed:  # by RFC 9110 it was not done
            raise Fault(UNAUTHORIZED)
        if 400 <= status < 500 and status != 408:
            return HttpRefusal(status)
        logger.warning("upstream %s answered a POST with HTTP status %d, which is no answer", self._spec.name, status)
        raise Fault(MALFORMED)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        body: bytes | None,
        outgoing: Outgoing | None = None,
        credentials: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response. Without `credentials`: those of the session. Raises `NoCredentials`, and what aiohttp raises."""
        shown = await self._credentials.headers(self._party) if credentials is None else credentials
        url = self._spec.url if body is None else self._endpoint.result()
        more = {"accept": "text/event-stream"} if body is None else {"content-type": "application/json"}
        async with self._http.request(
            method,
            url,
            data=body,
            headers={**shown, **self._headers, **more},
            allow_redirects=False,
            timeout=self._timeout,
            trace_request_ctx=outgoing,
        ) as response:
            if response.status == 401 and self._credentials.managed:
                logger.warning("upstream %s refused the gateway's credentials (HTTP 401)", self._spec.name)
                self._credentials.refused(shown)
            yield response

    async def _read(self) -> None:
        """The event stream, to its end."""
        code = LOST
        try:
            async with self._request("GET", None) as response:
                if response.status != 200 or response.content_type != "text/event-stream":
                    raise Fault(MALFORMED)
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    raise Fault(MALFORMED)
                splitter = EventSplitter(self._spec.limits.max_result_bytes, (ENDPOINT, MESSAGE))
                async for chunk in response.content.iter_chunked(READ_BYTES):
                    for data in splitter.feed(chunk):
                        await self._receive(splitter.kind, data)
                    await asyncio.sleep(0)  # a read of what is there already does not suspend
        except EventTooLong:
            logger.warning("upstream %s sent an event that is too long; its session is ended", self._spec.name)
            code = FLOOD
        except Fault as fault:
            code = fault.code
        except (aiohttp.ClientError, OSError, NoCredentials) as error:
            if not self._endpoint.done():
                self._endpoint.set_exception(error)
        finally:
            self._end(code)

    async def _receive(self, kind: bytes, data: bytes) -> None:
        """Take one event. Raises `Fault` where the session must end."""
        if kind == ENDPOINT:
            self._learn(data)
            return
        try:
            document = message(data, max_bytes=self._spec.limits.max_result_bytes, max_keys=MAX_ANSWER_KEYS)
        except Malformed as malformed:
            self._waiting.failed(malformed.request_id, Fault(MALFORMED))
            self._count_malformed(str(malformed))
            return
        if "method" not in document:
            if self._waiting.answered(document):
                self._malformed = min(self._malformed, 1)
        elif document["method"] in NOTICES:
            self._on_notice(document["method"], document.get("params", {}))
        elif not await self._waiting.heard(document) and "id" in document:
            await self._reply(reply_to(document))  # the next event is read when the answer is away

    def _learn(self, data: bytes) -> None:
        """Where to POST to, told once. Raises `Fault` where that is not where the stream came from."""
        url = urljoin(self._spec.url, data[:MAX_ENDPOINT_BYTES].decode("utf-8", "replace"))
        if self._endpoint.done() or len(data) > MAX_ENDPOINT_BYTES or _origin(url) != _origin(self._spec.url):
            logger.warning("upstream %s names an endpoint that is not acceptable", self._spec.name)
            raise Fault(MALFORMED)
        self._endpoint.set_result(url)

    def _count_malformed(self, cause: str) -> None:
        self._malformed += 1
        if self._malformed == 1:
            logger.warning("upstream %s sent a malformed event, which is dropped: %s", self._spec.name, cause)
        if self._malformed >= MAX_MALFORMED:
            raise Fault(MALFORMED)

    async def _reply(self, response: dict[str, Any]) -> None:
        await self._quietly(orjson.dumps(response))

    def _aside(self, body: bytes) -> None:
        task = asyncio.create_task(self._quietly(body))
        self._side_posts.add(task)
        task.add_done_callback(self._side_posts.discard)

    async def _quietly(self, body: bytes) -> None:
        try:
            async with asyncio.timeout(SIDE_POST_SECONDS):
                await self._post(body)
        except (Fault, TimeoutError, NoCredentials):
            logger.debug("a message to upstream %s was not delivered", self._spec.name)

    def _end(self, code: str) -> None:
        if not self._endpoint.done():
            self._endpoint.set_exception(Fault(code))
            self._endpoint.exception()  # whoever waited may be gone
        if self._ended is None:
            self._ended = code
            self._waiting.fail_all(code)
            self._on_end()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port. Raises `Fault` where the URL is none."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        raise Fault(MALFORMED) from None
