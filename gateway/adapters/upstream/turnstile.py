"""Where one upstream's calls pass before they are sent: a slot among those that may run, and the circuit breaker."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from gateway.adapters.upstream.breaker import Breaker
from gateway.adapters.upstream.rpc import UNAVAILABLE
from gateway.adapters.upstream.spec import Limits
from gateway.adapters.upstream.status import BUSY, open_for
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply


class Turnstile:
    """Of the upstream `name`."""

    def __init__(self, name: str, limits: Limits) -> None:
        self._name = name
        self._queue_seconds = limits.queue_seconds
        self._slots = asyncio.Semaphore(limits.max_concurrent)
        self._breaker = Breaker(limits.breaker_failures, limits.breaker_pause_seconds)

    @property
    def paused_seconds(self) -> float | None:
        """For how long nothing is sent, or None."""
        return self._breaker.refused_for(time.monotonic())

    async def passed(self, send: Callable[[], Awaitable[UpstreamReply]]) -> UpstreamReply:
        """What `send` came back with, or why it was not begun."""
        try:
            async with asyncio.timeout(self._queue_seconds):
                await self._slots.acquire()
        except TimeoutError:
            return NotSent(Reason(UNAVAILABLE, BUSY.format(self._name)))
        try:
            return await self._guarded(send)
        finally:
            self._slots.release()

    async def _guarded(self, send: Callable[[], Awaitable[UpstreamReply]]) -> UpstreamReply:
        """Past the breaker, and back with what it is to know."""
        entered = self._breaker.enter(time.monotonic())
        if entered is None:
            return NotSent(open_for(self.paused_seconds or 0.0, self._name))
        try:
            reply = await send()
            if isinstance(reply, ToolReply):
                self._breaker.answered()
            elif isinstance(reply, NoAnswer) or reply.reason.code == UNAVAILABLE:
                self._breaker.failed(entered, time.monotonic())
            return reply
        finally:
            self._breaker.left(entered)
