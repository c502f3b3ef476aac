"""The HTTP transport below the SDK's client, for negotiation and notifications: caps, no redirects, no compression."""

import logging
import ssl
import time
from collections.abc import AsyncIterator

import httpx2

from gateway.adapters.upstream.addresses import Addresses
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, NoCredentials

logger = logging.getLogger("sealgate.upstream")

SESSION_HEADER = "mcp-session-id"

WINDOW_SECONDS = 10.0
WINDOW_BYTES = 1 << 20
WINDOW_LINES = 1_000
"""An event has two lines at least, usually three or four: so about 250 to 500 events."""

OPENING_LINES = 20
"""What opening a stream counts: a server may tell the SDK to open it again at once, for ever."""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Passes requests on; remembers the handshake session's id, which the SDK keeps to itself.

    An answer outside an event stream may have `max_bytes`. The SDK caps single events itself; here all event streams of the
    session together may bring `WINDOW_LINES` and `WINDOW_BYTES` (or `max_bytes`, if more) in `WINDOW_SECONDS`. A stream that
    brings more is cut, and a listening GET refused until the window is over; the SDK gives up after two. A redirect or a
    compressed answer becomes a 502: the first could lead anywhere, the second could be a bomb. Connections go where
    `addresses` lets them. What is sent carries `credentials` in the gateway's own name.
    """

    def __init__(
        self,
        name: str,
        max_bytes: int,
        tls: ssl.SSLContext | bool,
        addresses: Addresses,
        credentials: Credentials = NOTHING,
    ) -> None:
        self._name = name
        self._credentials = credentials
        self._addresses = addresses
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)
        self._max_bytes = max_bytes
        self._rate = _Rate(name, max(WINDOW_BYTES, max_bytes))
        self.session_id: str | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET":
            self._rate.spend(0, OPENING_LINES)
        shown = await self._shown(request)
        response = await self._sent(request)
        if response.status_code == 401:
            logger.warning("upstream %s refused the gateway's credentials (HTTP 401)", self._name)
            self._credentials.refused(shown)
        headers = response.headers
        if 300 <= response.status_code < 400 or headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            return httpx2.Response(502, request=request)
        if SESSION_HEADER not in request.headers:  # initialize carries none and is answered with one
            self.session_id = headers.get(SESSION_HEADER)
        assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
        if headers.get("content-type", "").lower().startswith("text/event-stream"):
            response.stream = _Paced(response.stream, self._rate)
        else:
            response.stream = _Capped(response.stream, self._max_bytes)
        return response

    async def _shown(self, request: httpx2.Request) -> dict[str, str]:
        """The gateway's own credentials, put into the request."""
        try:
            shown = dict(await self._credentials.headers(None))
        except NoCredentials as error:
            raise httpx2.ConnectError("no credentials") from error
        for name, value in shown.items():
            request.headers.setdefault(name, value)
        return shown

    async def _sent(self, request: httpx2.Request) -> httpx2.Response:
        """Send it to an address that was checked, the first that takes the connection. TLS still wants the host's name."""
        host = request.url.raw_host.decode().strip("[]")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        addresses = await self._addresses.of(host, port)
        for address in addresses:
            pinned = httpx2.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        raise httpx2.ConnectError("no address")

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Rate:
    """How much a session's event streams may bring in a window."""

    def __init__(self, name: str, max_bytes: int) -> None:
        self._name = name
        self._max_bytes = max_bytes
        self._began = 0.0
        self._bytes = self._lines = 0
        self._told = False

    def spend(self, size: int, lines: int) -> None:
        """Count it. Raises `ReadError` where it is more than the window has left."""
        now = time.monotonic()
        if now - self._began >= WINDOW_SECONDS:
            self._began, self._bytes, self._lines = now, 0, 0
        self._bytes += size
        self._lines += lines
        if self._bytes > self._max_bytes or self._lines > WINDOW_LINES:
            if not self._told:
                self._told = True
                logger.warning("upstream %s floods its event stream; it is cut", self._name)
            raise httpx2.ReadError("the upstream floods its event stream")


class _Paced(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, rate: _Rate) -> None:
        self._inner = inner
        self._rate = rate

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._inner:
            self._rate.spend(len(chunk), max(chunk.count(b"\n"), chunk.count(b"\r")))
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Capped(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, max_bytes: int) -> None:
        self._inner = inner
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        total = 0
        async for chunk in self._inner:
            total += len(chunk)
            if total > self._max_bytes:
                raise httpx2.ReadError("the upstream's answer is too large")
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
