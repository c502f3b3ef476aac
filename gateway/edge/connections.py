"""HTTP connections within bounds: how long a request may take to come, how large it is, how many connections there are.

uvicorn waits for a request as long as its sender likes, keeps a head of any size, and accepts every connection. Here each
connection is read against a deadline, and in a room of limited size. What RFC 9112 and RFC 9110 let two readers take
differently is refused, as in the documents themselves: two Host fields, a body that is coded, a target that names another
host. An `Upgrade` is passed over, as RFC 9110 section 7.8 allows: httptools would drop the body beside it.

Nothing here looks at who it is: that comes after, and the head must be known for it.
"""

import asyncio
import resource
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
WRITE_SECONDS = 30.0
MAX_TARGET = 8 << 10
MAX_HEAD = 32 << 10
MAX_FIELDS = 100
MAX_PIPELINED = 16
"""Requests that may wait for the answer to one before them. uvicorn reads on after each answer, and holds all that comes."""
MAX_BODY = 8 << 20
"""Bytes on the line, with what chunks cost; the surfaces behind this one take 1 MiB of content."""
MAX_CONNECTIONS = 1024
OPEN_FILES = 4 * MAX_CONNECTIONS
"""What the process asks to have open at most: connections take half of it, and leave the rest to journal and upstreams."""

_SINGLE = frozenset(
    (b"host", b"authorization", b"content-type", b"content-encoding", b"origin", b"mcp-session-id", b"mcp-protocol-version")
)
"""Fields of one value (RFC 9110 section 5.3) that something here decides by. The SDK looks after `Mcp-Name` and such."""
_ONE_CONNECTION = frozenset((b"upgrade", b"connection", b"http2-settings"))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Seconds for the head of a request, for its body, and for a client that does not read its answer."""

    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS
    write_seconds: float = WRITE_SECONDS


class Room:
    """The connections of one port, at most `most`. A new one takes the place of one that does nothing.

    First of one that never had an answer, the oldest first; then of the one that is idle the longest. One whose request came
    as a whole and is being served keeps its place: where all do, the new one is refused.
    """

    def __init__(self, most: int = MAX_CONNECTIONS) -> None:
        self._most = most
        self._strangers: dict[BoundedHttp, None] = {}
        self._idle: dict[BoundedHttp, None] = {}
        self._served: set[BoundedHttp] = set()

    def enter(self, connection: "BoundedHttp") -> bool:
        """Whether there is a place for it."""
        if len(self._strangers) + len(self._idle) + len(self._served) >= self._most:
            leaving = next(iter(self._strangers), None) or next(iter(self._idle), None)
            if leaving is None:
                return False
            self.leave(leaving)
            leaving.transport.abort()
        self._strangers[connection] = None
        return True

    def serving(self, connection: "BoundedHttp") -> None:
        """A request of it is being served."""
        if self.leave(connection):
            self._served.add(connection)

    def idle(self, connection: "BoundedHttp") -> None:
        """It was answered."""
        if self.leave(connection):
            self._idle[connection] = None

    def leave(self, connection: "BoundedHttp") -> bool:
        """Forget it; whether it was there."""
        there = connection in self._served
        self._served.discard(connection)
        for places in (self._strangers, self._idle):
            if connection in places:
                del places[connection]
                there = True
        return there


def room_for_files() -> Room:
    """A room for half of the files that this process may have open. The soft limit is raised as far as it is useful."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        soft = min(OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return Room(min(MAX_CONNECTIONS, soft // 2))


class _Refused(Exception):
    """Stops the parser; httptools hands it on as the context of an error of its own."""


class BoundedHttp(HttpToolsProtocol):
    """One connection. What is read now, a head or a body, is read against `_deadline`.

    While a request is served nothing is due: how long a call takes is not up to the client.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        room: Room,
        bounds: Bounds,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._room = room
        self._bounds = bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._in_body = False
        self._begun = False
        self._request_bytes = 0  # on the line since the last request ended, but for what came in the same chunk as its end
        self._head_bytes = 0
        self._ended = 0
        self._refusal: tuple[int, str] | None = None
        self._running: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a place in the room, or refuse."""
        super().connection_made(transport)
        if not self._room.enter(self):
            self._refuse(503, "There are too many connections. Try again shortly.")
            return
        self._due(self._bounds.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the room."""
        self._room.leave(self)
        self._cancel()
        super().connection_lost(exc)
        self._tell_running()

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless it is more than a request may have."""
        if self.transport.is_closing():
            return
        ended = self._ended
        self._feed(data)
        if self._ended != ended:
            self._request_bytes = 0
        else:
            self._request_bytes += len(data)
        if self._refusal is None and self._request_bytes > (MAX_BODY if self._in_body else MAX_HEAD):
            self._refusal = (413, "The body is too large.") if self._in_body else (431, "The header is too large.")
        if self._refusal is not None and not self.transport.is_closing():
            self._refuse(*self._refusal)

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._refusal is None:
                self._without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if self._refusal is None:
                self._refusal = (400, "This is no HTTP request, or one that can be read in more than one way.")

    def _without_upgrade(self, rest: bytes) -> None:
        """Read the same head again without what is about the connection; `rest` came after it."""
        head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        head += [b"%b: %b" % (name, value) for name, value in self.headers if name not in _ONE_CONNECTION]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            head.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join([*head, b"", b""]) + rest)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._begun = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        super().on_url(url)
        if len(self.url) > MAX_TARGET:
            self._stop(414, "The request target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head. One of a trailer counts for nothing: uvicorn would put it beside those of the head."""
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > MAX_HEAD or len(self.headers) >= MAX_FIELDS:
            self._stop(431, "The header is too large.")
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there: refuse it, or begin to serve it."""
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            return  # it is read again without
        problem = _head_problem(self.url, self.headers, self.parser.get_http_version())
        if len(self.pipeline) >= MAX_PIPELINED:
            problem = 429, "Too many requests wait for an answer on this connection."
        if problem is not None:
            self._stop(*problem)
        self._in_body = True
        self._due(self._bounds.body_seconds)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is there as a whole."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._in_body = self._begun = False
        self._ended += 1
        self._due(self._bounds.head_seconds)
        if self._busy:  # it may have been answered before it came as a whole
            self._room.serving(self)

    def on_response_complete(self) -> None:
        """The answer is written; the next one of a pipeline is begun."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        if not self._in_body:
            self._due(self._bounds.head_seconds)
        if not self._busy:
            self._room.idle(self)

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(self._bounds.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    @property
    def _busy(self) -> bool:
        """Whether a request is being served, or waits for that."""
        last: RequestResponseCycle | None = self.cycle
        return bool(self.pipeline) or (last is not None and not last.response_complete)

    def _due(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self._overdue)

    def _overdue(self) -> None:
        if self.transport.is_closing():
            return
        if (self._busy and not self._in_body) or self.pipeline:  # it is read on when what is before it was answered
            self._due(self._bounds.body_seconds if self._in_body else self._bounds.head_seconds)
        elif self._begun:
            self._refuse(408, "The request took too long to come.")
        else:
            self._close()

    def _stop(self, status: int, why: str) -> None:
        """Out of the parser, with a refusal."""
        self._refusal = (status, why)
        raise _Refused

    def _refuse(self, status: int, why: str) -> None:
        """Answer, unless it could be taken for the answer to a request before this one, and close.

        The app sees a client that left.
        """
        self._refusal = (status, why)
        if (not self.pipeline and not self.cycle.response_started) if self._in_body else not self._busy:
            head = [
                STATUS_LINE[status].rstrip(b"\r\n"),
                b"content-type: text/plain; charset=utf-8",
                b"content-length: %d" % len(why),
                b"connection: close",
            ]
            if status == 503:
                head.append(b"retry-after: 1")
            self.transport.write(b"\r\n".join([*head, b"", b""]) + why.encode())
        self._tell_running()
        self._close()

    def _close(self) -> None:
        """Close; by force where the client does not take what is written."""
        self._cancel()
        self.transport.close()
        self._write_deadline = self.loop.call_later(self._bounds.write_seconds, self.transport.abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _tell_running(self) -> None:
        """Tell the request that is served that its client is gone: uvicorn tells the last one of a pipeline only."""
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def _cancel(self) -> None:
        for timer in (self._deadline, self._write_deadline):
            if timer is not None:
                timer.cancel()
        self._deadline = self._write_deadline = None


def bounded(room: Room, bounds: Bounds | None = None, protocol: type[BoundedHttp] = BoundedHttp) -> type[asyncio.Protocol]:
    """What uvicorn makes a `protocol` with for each connection."""
    make: Callable[..., asyncio.Protocol] = partial(protocol, room=room, bounds=bounds or Bounds())
    return cast("type[asyncio.Protocol]", make)


def _head_problem(target: bytes, fields: list[tuple[bytes, bytes]], version: str) -> tuple[int, str] | None:
    """Status and text of the refusal, or None."""
    if not target.startswith(b"/"):
        return 400, "The request target must be a path."  # RFC 9112 section 3.2.2: another host would overrule Host
    names = [name for name, _ in fields]
    if any(names.count(name) > 1 for name in _SINGLE):
        return 400, "A header field that may be sent once was sent twice."  # RFC 9112 section 3.2 for Host
    values = dict(fields)
    coding = values.get(b"transfer-encoding")
    if coding is not None and coding.strip(b" \t").lower() != b"chunked":
        return 501, "The only transfer coding is chunked."  # RFC 9112 section 6.1
    if coding is not None and version == "1.0":
        return 400, "HTTP/1.0 has no transfer codings."  # the same
    if values.get(b"content-encoding", b"identity").strip(b" \t").lower() != b"identity":
        return 415, "Content codings are not accepted: send the body as it is."
    return None
