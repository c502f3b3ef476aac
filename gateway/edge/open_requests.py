"""Requests that are being read and served, by what their caller was let in by: so that they end when that does.

A caller has only so many standing open, so that one of them cannot take what all need.

When a key is revoked, all its requests end at once. When a token or key expires, what stands open ends: the stream of a
session, a subscription; and a request that has not come as a whole by then is none. A call that was begun is finished and
recorded all the same, as for any caller that goes away.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import anyio
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.edge.auth import Caller

MAX_STANDING_PER_CALLER = 128
"""Streams of sessions and subscriptions."""

READ_SECONDS = 60.0
"""So long a request may take to come as a whole."""

MAX_READ_PER_CALLER = 64
"""Requests that are coming: one that is sent slowly holds memory, and counts as no running one yet."""

T = TypeVar("T")


class OpenRequests:
    """Owned by the event loop."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._open: dict[str, set[anyio.CancelScope]] = {}
        self._standing: Counter[str] = Counter()
        self._coming: Counter[str] = Counter()

    def end(self, credential: str) -> None:
        """End all requests of callers that were let in by it."""
        for scope in self._open.get(credential, ()):
            scope.cancel()

    async def read(self, caller: Caller, body: Callable[[], Awaitable[T]]) -> T | Response:
        """What `body` reads of the caller's request; the refusal where it does not come while the caller may come in.

        Nothing may be awaited between this and `serve`: a key that is revoked then would not be seen.
        """
        if self._coming[caller.subject] >= MAX_READ_PER_CALLER:
            return _too_many(f"You are sending {MAX_READ_PER_CALLER} requests at once; end one.", "too_many_requests", 1)
        self._coming[caller.subject] += 1
        try:
            return await self._read(caller, body)
        finally:
            self._coming[caller.subject] -= 1
            if not self._coming[caller.subject]:
                del self._coming[caller.subject]

    async def _read(self, caller: Caller, body: Callable[[], Awaitable[T]]) -> T | Response:
        left = float("inf") if caller.valid_until is None else caller.valid_until - self._wall()
        deadline = anyio.current_time() + READ_SECONDS
        with self._until(caller, min(left, READ_SECONDS)) as scope:
            found = await body()
            if not scope.cancel_called:
                return found
        if anyio.current_time() < deadline:
            return _over()
        told = {"error": "too_slow", "message": f"Your request did not come within {READ_SECONDS:.0f} s."}
        return JSONResponse(told, status_code=408, headers={"Connection": "close"})

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, caller: Caller, *, stands: bool) -> None:
        """Let `app` serve one request. `stands`: it is open until somebody ends it."""
        if not stands:
            await self._serve(app, scope, receive, send, caller, None)
            return
        if self._standing[caller.subject] >= MAX_STANDING_PER_CALLER:
            refusal = _too_many(f"You have {MAX_STANDING_PER_CALLER} streams open; end one.", "too_many_streams", 60)
            await refusal(scope, receive, send)
            return
        self._standing[caller.subject] += 1
        try:
            await self._serve(app, scope, receive, send, caller, caller.valid_until)
        finally:
            self._standing[caller.subject] -= 1
            if not self._standing[caller.subject]:
                del self._standing[caller.subject]

    async def _serve(
        self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, caller: Caller, until: float | None
    ) -> None:
        started = finished = False

        async def watched(message: Message) -> None:
            nonlocal started, finished
            started = started or message["type"] == "http.response.start"
            finished = finished or (message["type"] == "http.response.body" and not message.get("more_body", False))
            await send(message)

        with self._until(caller, None if until is None else until - self._wall()) as open_request:
            await app(scope, receive, watched)
        if open_request.cancelled_caught and not finished:
            if started:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await _over()(scope, receive, send)

    @contextmanager
    def _until(self, caller: Caller, seconds: float | None) -> Iterator[anyio.CancelScope]:
        """What is done in it ends with the caller's credential, and after so many seconds."""
        with anyio.move_on_after(seconds) as scope:
            mine = self._open.setdefault(caller.credential, set())
            mine.add(scope)
            try:
                yield scope
            finally:
                mine.discard(scope)
                if not mine:
                    self._open.pop(caller.credential, None)


def _too_many(message: str, error: str, retry_after: int) -> Response:
    told = {"error": error, "message": message}
    return JSONResponse(told, status_code=429, headers={"Retry-After": str(retry_after)})


def _over() -> Response:
    told = {"error": "unauthorized", "message": "What you were let in by is valid no more."}
    return JSONResponse(told, status_code=401, headers={"WWW-Authenticate": "Bearer"})
