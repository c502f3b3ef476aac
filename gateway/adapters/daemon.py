"""The daemon as the CLI sees it: `/api/v1` over the Unix socket in the state folder."""

from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
import orjson

from gateway.core.errors import GatewayError, Unreachable
from gateway.core.verify import StoredEntry


class DaemonClient:
    """Asks a running daemon. Raises `Unreachable` where none answers, `GatewayError` with the daemon's own words."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._client = httpx2.Client(
            transport=httpx2.HTTPTransport(uds=str(socket)), base_url="http://sealgate", timeout=30.0
        )

    def __enter__(self) -> "DaemonClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        """The JSON document at `path`."""
        return self._ask("GET", path)

    def post(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """Send a JSON document; the answer."""
        return self._ask("POST", path, orjson.dumps(document))

    def lines(self, path: str) -> Iterator[dict[str, Any]]:
        """A newline-delimited answer, document by document."""
        try:
            with self._client.stream("GET", path) as response:
                for line in response.iter_lines():
                    yield orjson.loads(line)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error

    def _ask(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        try:
            response = self._client.request(method, path, content=body)
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
        for line in self._client.lines(f"/api/v1/log/entries?start={start}"):
            yield StoredEntry(line["index"], b64decode(line["entry"]), bytes.fromhex(line["leaf"]))

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        notes = self._client.get("/api/v1/log/checkpoints")["checkpoints"]
        return iter([(size, note) for size, note in notes])

    def head(self) -> tuple[int, bytes]:
        document = self._client.get("/api/v1/log/head")
        return document["size"], bytes.fromhex(document["root"])
