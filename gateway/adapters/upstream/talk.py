"""The caller and the upstream of one call, talking with each other while it runs; and the call's time and place meanwhile.

`deadline_seconds` is the upstream's own time. While the client is asked it stands still, and the call gives up its place
among those that run at once: a person may take minutes, and must keep nobody else waiting.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.adapters.upstream.hearing import LOG_MESSAGE, NOT_OFFERED, PROGRESS, refusal
from gateway.core.conversation import Ask, AskAnswer, Conversation, NotAnswered
from gateway.core.method import ASKED, Method

ONLY = "question"
"""The key of what a handshake upstream asks, which has none of its own. Not empty: clients take that for no key."""
MAX_ASKS = 64
"""Requests to the client in one call."""

DECLINED = -1
"""What MCP has a client answer where the user rejected a request (2025-11-25, Sampling, "Error Handling")."""

_OFFERED_AS = {Method.ELICIT: "elicitation", Method.SAMPLE: "sampling", Method.ROOTS: "roots"}


class Turn:
    """One call's place and time. It has its place when made; `end` gives it back."""

    def __init__(self, places: asyncio.Semaphore, seconds: float) -> None:
        self._places = places
        self._left = seconds
        self._timeout: asyncio.Timeout | None = None
        self._held = True
        self._pauses = 0

    @asynccontextmanager
    async def timed(self) -> AsyncIterator[None]:
        """The upstream's time runs. Raises `TimeoutError` when it is over. Entered at most once."""
        try:
            async with asyncio.timeout(self._left) as self._timeout:
                yield
        finally:
            self._timeout = None

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """It stands still. Several pauses may overlap; after the last the call waits for a place again."""
        self._pauses += 1
        self._stop()
        try:
            yield
            if self._pauses == 1 and not self._held:
                await self._places.acquire()
                self._held = True
                if self._pauses > 1:  # another began meanwhile
                    self.end()
        finally:
            self._pauses -= 1
            if self._pauses == 0:
                self._go_on()

    def end(self) -> None:
        """Give the place back."""
        if self._held:
            self._held = False
            self._places.release()

    def _stop(self) -> None:
        timeout = self._timeout
        when = None if timeout is None or timeout.expired() else timeout.when()
        if timeout is None or when is None:  # over, or stopped already
            return
        self._left = max(0.0, when - asyncio.get_running_loop().time())
        timeout.reschedule(None)
        self.end()

    def _go_on(self) -> None:
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + self._left)


class Talk:
    """Implements `hearing.Hearing` for one call.

    Args:
        offers: what the upstream was told that the client can do
        on_ask: the upstream asks, and so it works
    """

    def __init__(
        self,
        upstream: str,
        conversation: Conversation,
        offers: Mapping[str, Any],
        turn: Turn,
        on_ask: Callable[[], None] = lambda: None,
    ) -> None:
        self._upstream = upstream
        self._conversation = conversation
        self._offers = offers
        self._turn = turn
        self._on_ask = on_ask
        self._asked = 0

    def notified(self, method: str, params: Mapping[str, Any]) -> None:
        """See `Hearing`. Nothing is told that was not asked for."""
        wanted = {PROGRESS: self._conversation.wants_progress, LOG_MESSAGE: self._conversation.log_level is not None}
        if wanted.get(method, False):
            self._conversation.tell(method, params)

    async def asked(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """See `Hearing`: of a handshake upstream."""
        if method not in ASKED:
            return NOT_OFFERED
        ask = Ask(Method(method), params)
        answer = (await self.ask({ONLY: ask})).get(ONLY)
        match answer:
            case None if ask.method is Method.ELICIT:
                return {"result": {"action": "cancel"}}
            case None:
                return refusal(DECLINED, "The client did not answer.")
            case NotAnswered():
                return refusal(answer.code, answer.message)
            case _:
                return {"result": answer}

    async def ask(self, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        """Put these to the client and wait. What it did not offer, or what is too much, is refused here."""
        self._asked += len(asks)
        offered = {key: ask for key, ask in asks.items() if _OFFERED_AS[ask.method] in self._offers}
        if not offered or self._asked > MAX_ASKS:
            return dict.fromkeys(asks, NotAnswered(NOT_OFFERED["error"]["code"], NOT_OFFERED["error"]["message"]))
        self._on_ask()
        async with self._turn.paused():
            return await self._conversation.ask(self._upstream, offered)
