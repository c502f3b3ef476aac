"""The daemon as the CLI sees it: `/api/v1` over the Unix socket in the state folder."""

import ssl
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from gateway.core.anchor import Anchor, AnchoredCheckpoint, AnchorKind
from gateway.core.errors import GatewayError, Unreachable
from gateway.core.tiles import TileName
from gateway.core.verify import StoredEntry

ANSWER_SECONDS = 30.0


class DaemonClient:
    """Asks a running daemon. Raises `Unreachable` where none answers, `GatewayError` with the daemon's own words."""

    def __init__(self, socket: Path, *, seconds: float = ANSWER_SECONDS) -> None:
        self._socket = socket
        # No TLS on a Unix socket: an empty context spares each command the 20 ms of loading the authorities.
        transport = httpx2.HTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        self._client = httpx2.Client(transport=transport, base_url="http://sealgate", timeout=seconds)
        self._seconds = seconds

    def __enter__(self) -> "DaemonClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        """The JSON document at `path`."""
        return self._ask("GET", path)

    def post(self, path: str, document: dict[str, Any], *, seconds: float | None = None) -> dict[str, Any]:
        """Send a JSON document; the answer, waited for so long."""
        return self._ask("POST", path, orjson.dumps(document), seconds)

    def lines(self, path: str) -> Iterator[dict[str, Any]]:
        """A newline-delimited answer, document by document."""
        try:
            with self._client.stream("GET", path) as response:
                for line in response.iter_lines():
                    yield orjson.loads(line)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def content(self, path: str) -> bytes | None:
        """The bytes at `path`; None where there are none."""
        try:
            response = self._client.get(path)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        if response.status_code == 404:
            return None
        if response.status_code != 200:
            raise GatewayError(f"the daemon cannot read {path}", hint="Its own log says why.", code="log.unreadable")
        return response.content

    def _ask(self, method: str, path: str, body: bytes | None = None, seconds: float | None = None) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, content=body, timeout=seconds or self._seconds)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        try:
            document: dict[str, Any] = orjson.loads(response.content)
        except orjson.JSONDecodeError as error:
            raise GatewayError(f"the daemon has nothing there: {response.status_code}", code="request.unknown") from error
        if "error" in document:
            told = document["error"]
            raised = GatewayError(told["message"], hint=told["hint"], code=told["code"])
            raised.exit_code = told["exit_code"]
            raise raised
        return document

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"no daemon answers at {self._socket}: {error}", hint="Start it with sealgate up or sealgate serve."
        )


class DaemonLog:
    """Implements `core.ports.LogReader` over the daemon."""

    def __init__(self, client: DaemonClient) -> None:
        self._client = client

    def entries(self, start: int = 0) -> Iterator[StoredEntry]:
        return self._entries(f"start={start}")

    def entries_naming(self, text: str) -> Iterator[StoredEntry]:
        return self._entries(f"naming={quote(text, safe='')}")

    def _entries(self, which: str) -> Iterator[StoredEntry]:
        for line in self._client.lines(f"/api/v1/log/entries?{which}"):
            yield StoredEntry(line["index"], b64decode(line["entry"]), bytes.fromhex(line["leaf"]))

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        for line in self._client.lines("/api/v1/log/checkpoints"):
            yield line["size"], line["note"]

    def checkpoint(self, *, cosigned: bool = False) -> str | None:
        note = self._client.content("/api/v1/log/checkpoint" + ("?cosigned=true" if cosigned else ""))
        return None if note is None else note.decode(errors="replace")

    def anchored(self) -> Iterator[AnchoredCheckpoint]:
        for line in self._client.lines("/api/v1/log/anchored"):
            yield AnchoredCheckpoint(line["note"], tuple(map(_anchor, line["anchors"])))

    def tile(self, name: TileName) -> bytes | None:
        return self._client.content(f"/api/v1/log/{name.path}")

    def head(self) -> tuple[int, bytes]:
        document = self._client.get("/api/v1/log/head")
        return document["size"], bytes.fromhex(document["root"])


def _anchor(told: dict[str, Any]) -> Anchor:
    return Anchor(told["size"], AnchorKind(told["kind"]), told["who"], told["at"], b64decode(told["proof"]))
