"""A gateway as the CLI sees it: `/api/v1` over the Unix socket in its state folder, or over HTTP with a token."""

import ssl
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx2
import orjson

from gateway.core.anchor import Anchor, AnchoredCheckpoint, AnchorKind
from gateway.core.errors import GatewayError, LoginNeeded, Unreachable
from gateway.core.tiles import TileName
from gateway.core.verify import StoredEntry

ANSWER_SECONDS = 30.0
MAX_ANSWER_BYTES = 64 << 20
_EXIT_CODES = range(1, 7)


@dataclass(frozen=True, slots=True)
class RemoteGateway:
    """Where a gateway is reached over HTTP (`core.gateway_url`), and the token that is sent there and nowhere else."""

    url: str
    token: str = field(repr=False)


class DaemonClient:
    """Asks a running gateway. Raises `Unreachable` where none answers, `GatewayError` with the gateway's own words."""

    def __init__(self, at: Path | RemoteGateway, *, seconds: float = ANSWER_SECONDS) -> None:
        self._seconds = seconds
        if isinstance(at, Path):
            # No TLS on a Unix socket: an empty context spares each command the 20 ms of loading the authorities.
            transport = httpx2.HTTPTransport(uds=str(at), verify=_no_authorities())
            self._client = httpx2.Client(transport=transport, base_url="http://sealgate", timeout=seconds)
            self._absent = f"no daemon answers at {at}", "Start it with sealgate up or sealgate serve."
        else:
            secure = at.url.startswith("https:")
            self._client = httpx2.Client(
                base_url=at.url,
                headers={"Authorization": f"Bearer {at.token}"},
                verify=True if secure else _no_authorities(),
                trust_env=secure,  # a proxy from the environment would get a token that is meant for this machine
                timeout=seconds,
            )
            self._absent = f"no gateway answers at {at.url}", "Check the URL, and whether the gateway runs there."

    def __enter__(self) -> "DaemonClient":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def get(self, path: str) -> dict[str, Any]:
        """The JSON document at `path`."""
        return self._document(*self._ask("GET", path))

    def post(self, path: str, document: dict[str, Any], *, seconds: float | None = None) -> dict[str, Any]:
        """Send a JSON document; the answer, waited for so long."""
        return self._document(*self._ask("POST", path, orjson.dumps(document), seconds))

    def content(self, path: str) -> bytes | None:
        """The bytes at `path`; None where there are none."""
        status, content = self._ask("GET", path)
        if status == 404:
            return None
        if status != 200:
            self._document(status, content)
            raise GatewayError(f"the gateway cannot read {path}", hint="Its own log says why.", code="log.unreadable")
        return content

    def _ask(self, method: str, path: str, body: bytes | None = None, seconds: float | None = None) -> tuple[int, bytes]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        held = bytearray()
        try:
            with self._client.stream(
                method, path, content=body, headers=headers, timeout=seconds or self._seconds
            ) as response:
                for chunk in response.iter_bytes():
                    held += chunk
                    if len(held) > MAX_ANSWER_BYTES:
                        raise GatewayError(f"the answer to {path} has no end", code="request.failed")
        except httpx2.HTTPError as error:
            what, hint = self._absent
            raise Unreachable(f"{what}: {error}", hint=hint) from error
        return response.status_code, bytes(held)

    def _document(self, status: int, content: bytes) -> dict[str, Any]:
        """What was answered. Raises `GatewayError` with what the gateway says, or that no gateway said it."""
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            document = None
        if isinstance(document, dict) and status == 200 and "error" not in document:
            return document
        told = document.get("error") if isinstance(document, dict) else None
        if not isinstance(told, dict):
            if status >= 500:
                what, hint = self._absent
                raise Unreachable(f"{what}: something else answers with {status}", hint=hint)
            raise GatewayError(f"the gateway has nothing there: {status}", code="request.unknown")
        raised = LoginNeeded if status == 401 else GatewayError
        error = raised(str(told.get("message")), hint=str(told.get("hint", "")), code=str(told.get("code")))
        if told.get("exit_code") in _EXIT_CODES:
            error.exit_code = told["exit_code"]
        raise error


class DaemonLog:
    """Implements `core.ports.LogReader` over a running gateway. It reads by pages, each of which must lead on."""

    def __init__(self, client: DaemonClient) -> None:
        self._client = client

    def entries(self, start: int = 0) -> Iterator[StoredEntry]:
        return self._entries(start, "")

    def entries_naming(self, text: str) -> Iterator[StoredEntry]:
        return self._entries(0, f"&naming={quote(text, safe='')}")

    def _entries(self, start: int, more: str) -> Iterator[StoredEntry]:
        place: int | None = start
        while place is not None:
            page = self._client.get(f"/api/v1/log/entries?start={place}{more}")
            with _of_its_form():
                found = [_entry(told) for told in page["entries"]]
                place = _following(page, above=place)
            yield from found

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Of what is there now: entries that are read after this was begun go at least as far."""
        end, _ = self.head()
        place: int | None = 0
        while place is not None:
            page = self._client.get(f"/api/v1/log/checkpoints?start={place}")
            with _of_its_form():
                found = [(int(told["size"]), str(told["note"])) for told in page["checkpoints"]]
                place = _following(page, above=place)
            yield from ((size, note) for size, note in found if size <= end)
            if found and found[-1][0] > end:
                return

    def checkpoint(self, *, cosigned: bool = False) -> str | None:
        note = self._client.content("/api/v1/log/checkpoint" + ("?cosigned=true" if cosigned else ""))
        return None if note is None else note.decode(errors="replace")

    def anchored(self) -> Iterator[AnchoredCheckpoint]:
        below: int | None = None
        while True:
            page = self._client.get("/api/v1/log/anchored" + ("" if below is None else f"?below={below}"))
            with _of_its_form():
                found = [_anchored(told) for told in page["anchored"]]
                below = _following(page, below=below)
            yield from found
            if below is None:
                return

    def tile(self, name: TileName) -> bytes | None:
        return self._client.content(f"/api/v1/log/tile?name={quote(name.path, safe='')}")

    def head(self) -> tuple[int, bytes]:
        document = self._client.get("/api/v1/log/head")
        with _of_its_form():
            return int(document["size"]), bytes.fromhex(document["root"])


def _no_authorities() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def _of_its_form() -> Iterator[None]:
    """Raises `GatewayError` where an answer is not of its form: whoever answers may be anything."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GatewayError(
            "the gateway's answer is not of its form", hint="Is it a Sealgate of this version?", code="log.unreadable"
        ) from error


def _following(page: dict[str, Any], *, above: int = -1, below: int | None = None) -> int | None:
    """Where the next page is; None after the last one. Raises ValueError where it would lead back: that would never end."""
    following = page["next"]
    if following is None:
        return None
    if type(following) is not int or following <= above or (below is not None and following >= below):
        raise ValueError("a page that leads back")
    return following


def _entry(told: dict[str, Any]) -> StoredEntry:
    return StoredEntry(int(told["index"]), b64decode(told["entry"]), bytes.fromhex(told["leaf"]))


def _anchored(told: dict[str, Any]) -> AnchoredCheckpoint:
    return AnchoredCheckpoint(str(told["note"]), tuple(map(_anchor, told["anchors"])))


def _anchor(told: dict[str, Any]) -> Anchor:
    return Anchor(told["size"], AnchorKind(told["kind"]), told["who"], told["at"], b64decode(told["proof"]))
