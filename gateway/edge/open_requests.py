"""Requests that are being served, by what their caller was let in by: so that they end when that does.

A caller has only so many standing open, so that one of them cannot take what all need.

When a key is revoked, all its requests end at once. When a token or key expires, what stands open ends: the stream of a
session, a subscription. A call that was begun is finished and recorded all the same, as for any caller that goes away.
"""

import time
from collections import Counter
from collections.abc import Callable

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.edge.auth import Caller

MAX_STANDING_PER_CALLER = 128
"""Streams of sessions and subscriptions."""


class OpenRequests:
    """Owned by the event loop."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._open: dict[str, set[anyio.CancelScope]] = {}
        self._standing: Counter[str] = Counter()

    def end(self, credential: str) -> None:
        """End all requests of callers that were let in by it."""
        for scope in self._open.get(credential, ()):
            scope.cancel()

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, caller: Caller, *, stands: bool) -> None:
        """Let `app` serve one request. `stands`: it is open until somebody ends it."""
        if not stands:
            await self._serve(app, scope, receive, send, caller, None)
            return
        if self._standing[caller.subject] >= MAX_STANDING_PER_CALLER:
            told = {"error": "too_many_streams", "message": f"You have {MAX_STANDING_PER_CALLER} streams open; end one."}
            await JSONResponse(told, status_code=429, headers={"Retry-After": "60"})(scope, receive, send)
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

        with anyio.move_on_after(None if until is None else until - self._wall()) as open_request:
            mine = self._open.setdefault(caller.credential, set())
            mine.add(open_request)
            try:
                await app(scope, receive, watched)
            finally:
                mine.discard(open_request)
                if not mine:
                    self._open.pop(caller.credential, None)
        if open_request.cancelled_caught and not finished:
            if started:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                told = {"error": "unauthorized", "message": "What you were let in by is valid no more."}
                await JSONResponse(told, status_code=401, headers={"WWW-Authenticate": "Bearer"})(scope, receive, send)
