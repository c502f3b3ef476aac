"""Clients with no SDK in between, so that a test can say every byte: HTTP requests, the handshake era, lines."""

import http.client
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.running import NO_AUTHORITIES, PATIENT, REPOSITORY, RunningGateway

HANDSHAKE = "2025-11-25"
MODERN = "2026-07-28"
ENVELOPE = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
PATIENCE_SECONDS = 30.0
AT_ONCE_SECONDS = 5.0
"""Nothing is waited for, but the machine may be busy."""


@dataclass(frozen=True)
class Answer:
    """An HTTP response and how long it took."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


def usual_headers(gateway: RunningGateway) -> dict[str, str]:
    """What a modern client sends with a call of box__echo."""
    return {
        "Authorization": f"Bearer {gateway.token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "box__echo",
    }


def send(
    gateway: RunningGateway,
    body: bytes = b"",
    headers: dict[str, str | None] | None = None,
    *,
    method: str = "POST",
    source: str = "127.0.0.1",
) -> Answer:
    """One request with the usual headers; `headers` override them, None leaves one out. Values go out as they are."""
    merged = {**usual_headers(gateway), **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=PATIENCE_SECONDS, source_address=(source, 0))
    began = time.monotonic()
    try:
        connection.putrequest(method, "/mcp", skip_host="Host" in merged, skip_accept_encoding=True)
        for name, value in merged.items():
            if value is not None:
                connection.putheader(name, value)
        if "Transfer-Encoding" not in merged and "Content-Length" not in merged:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body)
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, told, response.read(), time.monotonic() - began)
    finally:
        connection.close()


class HandshakeClient:
    """Speaks the handshake era over HTTP: initialize, a session id, responses as server-sent events."""

    def __init__(self, gateway: RunningGateway, *, token: str | None = None, version: str = HANDSHAKE) -> None:
        self._http = httpx2.Client(timeout=30, verify=NO_AUTHORITIES)
        self._url = gateway.url
        self._headers = {
            "Authorization": f"Bearer {gateway.token if token is None else token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        self._next = 0
        self.version = version

    def __enter__(self) -> "HandshakeClient":
        params = {"protocolVersion": self.version, "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
        response = self.post(self._framed("initialize", params))
        self.initialized = _document(response)["result"]
        self.session_id: str = response.headers["mcp-session-id"]
        self._headers |= {"MCP-Protocol-Version": self.version, "Mcp-Session-Id": self.session_id}
        assert self.post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}').status_code == 202
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def post(self, body: bytes, headers: dict[str, str] | None = None) -> httpx2.Response:
        """Raw bytes with the session's headers."""
        return self._http.post(self._url, content=body, headers={**self._headers, **(headers or {})})

    def delete(self) -> httpx2.Response:
        """End the session."""
        return self._http.delete(self._url, headers=self._headers)

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request; its response."""
        return _document(self.post(self._framed(method, params)))

    def call(self, name: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
        """tools/call; keywords are `dev.sealgate/…` meta keys, `key` the idempotency key."""
        return self.request("tools/call", {"name": name, "arguments": arguments, "_meta": told(**meta)})

    def _framed(self, method: str, params: dict[str, Any]) -> bytes:
        self._next += 1
        return json.dumps({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}).encode()


def told(**meta: Any) -> dict[str, Any]:
    """`_meta` with `dev.sealgate/…` keys."""
    names = {"key": "idempotency-key"}
    return {f"dev.sealgate/{names.get(name, name)}": value for name, value in meta.items()}


def _document(response: httpx2.Response) -> dict[str, Any]:
    """The JSON-RPC response in a JSON body or in an event stream."""
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        found: dict[str, Any] = response.json()
        return found
    data = [line.removeprefix("data:") for line in response.text.splitlines() if line.startswith("data:")]
    return next(document for document in map(json.loads, filter(str.strip, data)) if "id" in document)


@dataclass
class LineClient:
    """One message per line over a pair of file descriptors."""

    to_server: int
    from_server: int
    modern: bool = True
    _held: bytearray = field(default_factory=bytearray)
    _next: int = 100

    def send(self, data: bytes) -> None:
        """Bytes as they are."""
        view = memoryview(data)
        while view:
            view = view[os.write(self.to_server, view) :]

    def receive(self, seconds: float = PATIENCE_SECONDS) -> dict[str, Any] | None:
        """The next message, or None where the server closed. Fails after `seconds`."""
        end = time.monotonic() + seconds
        while b"\n" not in self._held:
            readable, _, _ = select.select([self.from_server], [], [], max(0.0, end - time.monotonic()))
            assert readable, f"nothing came within {seconds} s"
            try:
                chunk = os.read(self.from_server, 1 << 16)
            except ConnectionError:
                return None
            if not chunk:
                return None
            self._held += chunk
        line, _, rest = bytes(self._held).partition(b"\n")
        self._held[:] = rest
        document: dict[str, Any] = json.loads(line)
        return document

    def ask(self, line: bytes) -> dict[str, Any] | None:
        """Send one line; the answer, which must come at once."""
        self.send(line + b"\n")
        return self.receive(AT_ONCE_SECONDS)

    def request(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request in the connection's era; its response."""
        self._next += 1
        if self.modern:
            params = {**params, "_meta": {**ENVELOPE, **params.get("_meta", {})}}
        self.send(json.dumps({"jsonrpc": "2.0", "id": self._next, "method": method, "params": params}).encode() + b"\n")
        response = self.receive()
        assert response is not None, "the server closed the connection"
        assert response["id"] == self._next, response
        return response

    def handshake(self) -> dict[str, Any]:
        """Open the connection in the handshake era; what the server said."""
        self.modern = False
        info = {"name": "raw", "version": "1"}
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": info}
        response = self.request("initialize", params)
        self.send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return response

    def call(self, name: str, arguments: dict[str, Any], **meta: Any) -> dict[str, Any]:
        """tools/call."""
        return self.request("tools/call", {"name": name, "arguments": arguments, "_meta": told(**meta)})


@contextmanager
def on_socket(path: Path) -> Iterator[LineClient]:
    """A connection to the daemon's Unix socket."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        yield LineClient(connection.fileno(), connection.fileno())


@contextmanager
def on_stdio(config: Path, errors: Path) -> Iterator[tuple[LineClient, "subprocess.Popen[bytes]"]]:
    """A `sealgate serve --stdio` process; its stderr goes to the file `errors`."""
    command = [sys.executable, "-m", "gateway", "serve", "--stdio", "--config", str(config)]
    with (
        errors.open("wb") as said,
        subprocess.Popen(
            command, cwd=REPOSITORY, env=os.environ | PATIENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield LineClient(process.stdin.fileno(), process.stdout.fileno()), process
            process.stdin.close()
            process.wait(timeout=15)
        finally:
            if process.poll() is None:
                process.kill()
