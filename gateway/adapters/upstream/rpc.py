"""One JSON-RPC request of ours to an upstream, and what may come back.

Our own requests do not go through the SDK: it would parse the answers leniently, and its made-up errors (a cut stream, a
parse error) cannot be told from the upstream's. The SDK negotiates and listens; see `session`.
Ids are strings with a prefix, so that they never meet the SDK's integers on the same connection.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from mcp_types import Implementation

from gateway import __version__
from gateway.adapters.upstream.credentials.credentials import Party
from gateway.adapters.upstream.hearing import DEAF, Hearing

CLIENT_INFO = Implementation(name="sealgate", version=__version__)

UNAVAILABLE = "upstream.unavailable"
TIMEOUT = "upstream.timeout"
LOST = "upstream.lost"
FLOOD = "upstream.flood"
MALFORMED = "upstream.malformed"
NO_CREDENTIALS = "upstream.no_credentials"
UNAUTHORIZED = "upstream.unauthorized"


class Fault(Exception):
    """A request of ours has no usable answer; `code` is one of the codes above."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class RpcError:
    """The upstream answered with a JSON-RPC error, or refused with an HTTP status. Text and data are the upstream's."""

    code: int
    message: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class HttpRefusal:
    """The upstream refused the request with an HTTP status of the 400s and no JSON-RPC error."""

    status: int


Answer = dict[str, Any] | RpcError | HttpRefusal
"""A result object as on the wire, strictly parsed, or an error."""


_ids = itertools.count(1)


def next_id() -> str:
    """A request id that is unique in this process."""
    return f"sealgate-{next(_ids)}"


@dataclass(slots=True)
class Outgoing:
    """One request of ours. `sent` is False as long as certainly no byte of it has left.

    `hearing`: who hears what the upstream says meanwhile, as far as it belongs to this request. `id` is its progress token
    as well, where it has one. `party`: in whose name it goes, where that is not the gateway's own.
    """

    method: str
    params: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    hearing: Hearing = DEAF
    party: Party | None = None
    id: str = field(default_factory=next_id)
    sent: bool = False


class Link(Protocol):
    """A live session that carries our requests. Implementations: `stdio.StdioLink`, `http.HttpLink`, `sse_link.SseLink`."""

    @property
    def ended(self) -> str | None:
        """The code of what ended the session, or None while it lives."""

    async def request(self, outgoing: Outgoing) -> Answer:
        """Send once and wait. Raises `Fault`; cancelling it tells the upstream to stop."""

    async def notify(self, method: str) -> None:
        """Send a notification that has no parameters. What does not arrive is not told."""


def encode(outgoing: Outgoing) -> bytes:
    """The request as JSON bytes, without a newline."""
    return orjson.dumps({"jsonrpc": "2.0", "id": outgoing.id, "method": outgoing.method, "params": outgoing.params})


def encode_notification(method: str) -> bytes:
    """A notification without parameters as JSON bytes."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method})


def encode_cancel(request_id: str) -> bytes:
    """The notification that the request is not wanted any more."""
    params = {"requestId": request_id, "reason": "cancelled by the gateway"}
    return orjson.dumps({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


def read_response(message: Mapping[str, Any]) -> Answer:
    """The answer in a checked JSON-RPC response. Raises `Fault` where result or error has the wrong shape."""
    if "error" in message:
        return read_error(message["error"])
    result = message["result"]
    if not isinstance(result, dict):
        raise Fault(MALFORMED)
    return result


def read_error(error: Any) -> RpcError:
    """The error object of a JSON-RPC response. Raises `Fault` where it is none."""
    if not isinstance(error, dict) or type(error.get("code")) is not int or not isinstance(error.get("message"), str):
        raise Fault(MALFORMED)
    return RpcError(error["code"], error["message"], error.get("data"))
