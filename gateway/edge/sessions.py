"""How many handshake sessions each caller holds, so that one of them cannot take all there are.

The SDK keeps the sessions; what it does with them is seen in its answers. A session counts from the `initialize` that opens
it until its DELETE, a 404 for it, or `IDLE_SECONDS` with no request of it being served, after which the SDK ends it too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

IDLE_SECONDS = 300
MAX_SESSIONS = 2000
MAX_SESSIONS_PER_CALLER = 64
SESSION_ID = "mcp-session-id"

Key = str | int
"""A session's id, or a number of our own for one that is being opened: no client can send that."""


@dataclass(slots=True)
class _Session:
    last_use: float
    running: int = 0


class SessionBudget:
    """Sessions by owner and id. Owned by the event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._owners: dict[str, dict[Key, _Session]] = {}
        self._numbers = count()

    def open(self, owner: str) -> Key | None:
        """A place for a session that is about to be opened, to be served under this key; None where none is left."""
        live = self._live(owner)
        if len(live) >= MAX_SESSIONS_PER_CALLER:
            return None
        key = next(self._numbers)
        live[key] = _Session(self._clock())
        return key

    async def serve(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send, owner: str, key: Key) -> None:
        """Let `app` serve a request of the session and keep its books."""
        live = self._live(owner)
        session = live.get(key)
        if session is None:  # the SDK says that there is no such session, or not for this caller
            await app(scope, receive, send)
            return

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                opened = Headers(raw=list(message.get("headers", ()))).get(SESSION_ID)
                if isinstance(key, int) and status < 400 and opened is not None:
                    live[opened] = session
                    live.pop(key, None)
                elif status == 404 or (scope["method"] == "DELETE" and status < 400):
                    live.pop(key, None)
            await send(message)

        session.running += 1
        try:
            await app(scope, receive, watched)
        finally:
            session.running -= 1
            session.last_use = self._clock()
            if isinstance(key, int):
                live.pop(key, None)

    def _live(self, owner: str) -> dict[Key, _Session]:
        if len(self._owners) > MAX_SESSIONS:  # there are no more sessions than that: most of these have none
            self._owners = {name: held for name, held in self._owners.items() if held}
        live = self._owners.setdefault(owner, {})
        oldest = self._clock() - IDLE_SECONDS
        for key in [key for key, session in live.items() if not session.running and session.last_use < oldest]:
            del live[key]
        return live
