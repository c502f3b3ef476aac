"""A port as the gateway opens it, with its own bounds and a small app behind it that tells what it was asked."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import Receive, Scope, Send

from gateway.edge.connections import Bounds, Room, bounded
from tests.running import until

QUICK = Bounds(head_seconds=0.25, body_seconds=0.5, write_seconds=0.3)
PATIENCE = 10.0


@dataclass
class Port:
    """`served` has what the app was asked for, `ended` what it is done with; `left` the paths whose client it saw leave.

    The path `/wait` is answered when `go` is set, `/large` with 64 MiB, `/headers` with the names that came.
    """

    number: int = 0
    served: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.served.append(path)
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.append(path)
                return
            body += message["body"]
            more = message["more_body"]
        if path == "/wait":
            leaving = asyncio.ensure_future(receive())
            while not self.go.is_set() and not leaving.done():  # noqa: ASYNC110 - another thread sets it
                await asyncio.sleep(0.01)
            if leaving.done():
                self.left.append(path)
                return
            leaving.cancel()
        said = body
        if path == "/headers":
            said = json.dumps(sorted(name.decode() for name, _ in scope["headers"])).encode()
        chunks = [b"x" * (1 << 20)] * 64 if path == "/large" else [said]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        self.ended.append(path)


@contextmanager
def port(most: int = 100, bounds: Bounds = QUICK) -> Iterator[Port]:
    """A running port with room for `most` connections."""
    opened = Port()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        opened.number = bound.getsockname()[1]
        config = uvicorn.Config(
            opened.app,
            interface="asgi3",
            http=bounded(Room(most), bounds),
            log_config=None,
            access_log=False,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            until(lambda: server.started, what="the port")
            yield opened
        finally:
            opened.go.set()
            server.should_exit = True
            thread.join(timeout=20)


def request(path: str = "/", *fields: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """A POST, by hand."""
    size = len(body) if length is None else length
    head = [b"POST %b HTTP/1.1" % path.encode(), b"Host: a", b"Content-Length: %d" % size, *fields, b"", b""]
    return b"\r\n".join(head) + body


class Peer:
    """A client of which a test says every byte."""

    def __init__(self, number: int, *, small: bool = False) -> None:
        self.socket = socket.socket()
        if small:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", number))

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """All of it, as far as the other side takes it."""
        try:
            self.socket.sendall(data)
        except ConnectionError:
            pass

    def read(self, count: int = 1) -> list[tuple[int, bytes]]:
        """The next answers: status and body, as many as come before the connection is closed."""
        held = b""
        found: list[tuple[int, bytes]] = []
        while len(found) < count:
            found = _answers(held)
            if len(found) >= count:
                break
            try:
                chunk = self.socket.recv(1 << 16)
            except ConnectionError:
                chunk = b""
            if not chunk:
                break
            held += chunk
        return found

    def closed(self) -> bool:
        """Wait until the other side closed; what came before is passed over."""
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return False
        return True


def _answers(data: bytes) -> list[tuple[int, bytes]]:
    """The whole answers in these bytes."""
    found: list[tuple[int, bytes]] = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if b"content-length" in fields:
            size = int(fields[b"content-length"])
            if len(rest) < size:
                break
            body, data = rest[:size], rest[size:]
        else:
            chunks, end, data_after = rest.partition(b"0\r\n\r\n")
            if not end:
                break
            body, data = b"".join(chunks.split(b"\r\n")[1::2]), data_after
        found.append((int(head.split()[1]), body))
    return found
