"""Events of handshake sessions, kept for a client that comes back for them (`Last-Event-ID`).

Each session has a store of its own: the SDK names a stream by the request that it belongs to, and request ids are a client's
own, so that in one store for all sessions a client would be sent what belongs to others. All stores share one bound.

A stream of a call that is resumed is sent from here to its end, and ends with the call's answer. The SDK would go on by its
own means after what was kept: what came in between would be missed, and the stream would stay open after the answer.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.streamable_http import GET_STREAM_KEY, EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCResponse

MAX_EVENTS_PER_SESSION = 256
MAX_BYTES = 64 << 20
RETRY_MILLISECONDS = 1_000
RESUMED_SECONDS = 60.0
"""So long a resumed stream is held. Then its client comes back again, and one that belongs to nobody any more is gone."""


@dataclass(frozen=True, slots=True)
class _Event:
    id: int
    stream: str
    message: JSONRPCMessage | None
    size: int


class Kept:
    """The bound that all sessions share: the oldest events go first, whose they are."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._oldest: deque[tuple[SessionEvents, _Event]] = deque()

    def add(self, store: "SessionEvents", event: _Event) -> None:
        """Keep one more, and no more than may be kept."""
        self._oldest.append((store, event))
        self._bytes += event.size
        while self._bytes > self._max_bytes:
            of, dropped = self._oldest.popleft()
            self._bytes -= dropped.size
            of.forget(dropped)


class SessionEvents(EventStore):
    """The events of one session, numbered from 1."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._events: deque[_Event] = deque()
        self._last = 0
        self._news = asyncio.Event()

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        size = 64 if message is None else len(message.model_dump_json(by_alias=True, exclude_unset=True))
        self._last += 1
        event = _Event(self._last, stream_id, message, size)
        self._events.append(event)
        if len(self._events) > MAX_EVENTS_PER_SESSION:
            self._events.popleft()
        self._kept.add(self, event)
        self._news.set()
        self._news = asyncio.Event()
        return str(event.id)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        last = next((event for event in self._events if str(event.id) == last_event_id), None)
        if last is None:
            return None
        if last.stream == GET_STREAM_KEY:  # of no call, so that nothing ends it: the SDK goes on with it
            await self._send(last, send_callback)
            return last.stream
        try:
            async with asyncio.timeout(RESUMED_SECONDS):
                while True:
                    news = self._news
                    last = await self._send(last, send_callback)
                    if isinstance(last.message, JSONRPCResponse | JSONRPCError):
                        return None
                    await news.wait()
        except TimeoutError:
            return None

    async def _send(self, last: _Event, send_callback: EventCallback) -> _Event:
        """What is kept of the stream of `last` after it, as far as the call's answer; the last event of that."""
        for event in list(self._events):
            if event.stream == last.stream and event.id > last.id:
                last = event
                if event.message is not None:
                    await send_callback(EventMessage(event.message, str(event.id)))
                if isinstance(event.message, JSONRPCResponse | JSONRPCError):
                    break
        return last

    def forget(self, event: _Event) -> None:
        """It is not kept any more."""
        if self._events and self._events[0].id <= event.id:
            while self._events and self._events[0].id <= event.id:
                self._events.popleft()


class ResumableSessions(StreamableHTTPSessionManager):
    """The SDK's sessions, each with a store of its own."""

    def __init__(self, server: Server[Any], **options: Any) -> None:
        self._kept = Kept()
        super().__init__(server, retry_interval=RETRY_MILLISECONDS, **options)

    @property
    def event_store(self) -> EventStore | None:
        """A new one: the SDK asks once for each session."""
        return SessionEvents(self._kept)

    @event_store.setter
    def event_store(self, store: EventStore | None) -> None:
        pass
