"""The HTTP transport below the SDK's client, for negotiation and notifications: caps, no redirects, no compression."""

import ssl
from collections.abc import AsyncIterator

import httpx2

SESSION_HEADER = "mcp-session-id"


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Passes requests on; remembers the handshake session's id, which the SDK keeps to itself.

    An answer outside an event stream may have `max_bytes`; the SDK caps single events itself. A redirect or a compressed
    answer becomes a 502: the first could lead anywhere, the second could be a bomb.
    """

    def __init__(self, max_bytes: int, tls: ssl.SSLContext | bool) -> None:
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)
        self._max_bytes = max_bytes
        self.session_id: str | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        headers = response.headers
        if 300 <= response.status_code < 400 or headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            return httpx2.Response(502, request=request)
        if SESSION_HEADER not in request.headers:  # initialize carries none and is answered with one
            self.session_id = headers.get(SESSION_HEADER)
        if not headers.get("content-type", "").lower().startswith("text/event-stream"):
            assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
            response.stream = _Capped(response.stream, self._max_bytes)
        return response

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
