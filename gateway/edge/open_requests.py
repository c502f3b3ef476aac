"""Requests that are being served, by what their caller was let in by: so that they end when that does.

When a key is revoked, all its requests end at once. When a token or key expires, what stands open ends: the stream of a
session, a subscription. A call that was begun is finished and recorded all the same, as for any caller that goes away.
"""

import time
from collections.abc import Callable

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.edge.auth import Caller


class OpenRequests:
    """Owned by the event loop."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._open: dict[str, set[anyio.CancelScope]] = {}

    def end(self, credential: str) -> None:
        """End all requests of callers that were let in by it."""
        for scope in self._open.get(credential, ()):
            scope.cancel()

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, caller: Caller, *, stands: bool) -> None:
        """Let `app` serve one request. `stands`: it is open until somebody ends it."""
        started = finished = False

        async def watched(message: Message) -> None:
            nonlocal started, finished
            started = started or message["type"] == "http.response.start"
            finished = finished or (message["type"] == "http.response.body" and not message.get("more_body", False))
            await send(message)

        seconds = caller.valid_until - self._wall() if stands and caller.valid_until is not None else None
        with anyio.move_on_after(seconds) as open_request:
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
