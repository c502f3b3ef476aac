"""One JSON-RPC request of ours to an upstream, and what may come back.

Our own requests (tools/list, tools/call) do not go through the SDK: it would parse the answers leniently, and its made-up
errors (a cut stream, a parse error) cannot be told from the upstream's. The SDK negotiates and listens; see `links`.
Ids are strings with a prefix, so that they never meet the SDK's integers on the same connection.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_NAME_HEADER, encode_header_value
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    Implementation,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway import __version__

CLIENT_INFO = Implementation(name="sealgate", version=__version__)

UNAVAILABLE = "upstream.unavailable"
TIMEOUT = "upstream.timeout"
LOST = "upstream.lost"
FLOOD = "upstream.flood"
MALFORMED = "upstream.malformed"


class Fault(Exception):
    """A request of ours has no usable answer; `code` is one of the codes above."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class RpcError:
    """The upstream answered with a JSON-RPC error, or refused with the HTTP status `code`. The text is the upstream's."""

    code: int
    message: str


Answer = dict[str, Any] | RpcError
"""A result object as on the wire, strictly parsed, or an error."""


@dataclass(frozen=True, slots=True)
class Era:
    """The negotiated protocol version and what it puts into `_meta`."""

    version: str

    @property
    def modern(self) -> bool:
        """Whether every request carries its own `_meta` and there is no session (2026-07-28 and later)."""
        return self.version in MODERN_PROTOCOL_VERSIONS

    def meta(self, trace: Mapping[str, str]) -> dict[str, Any]:
        """`_meta` of a request; `trace` holds traceparent and tracestate (SEP-414)."""
        if not self.modern:
            return dict(trace)
        return {
            PROTOCOL_VERSION_META_KEY: self.version,
            CLIENT_CAPABILITIES_META_KEY: {},
            CLIENT_INFO_META_KEY: {"name": CLIENT_INFO.name, "version": CLIENT_INFO.version},
            **trace,
        }


@dataclass(slots=True)
class Outgoing:
    """One request of ours. `sent` is False as long as certainly no byte of it has left."""

    method: str
    params: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    sent: bool = False


def tools_list(era: Era, cursor: str | None) -> Outgoing:
    """The request for one page."""
    params: dict[str, Any] = {"_meta": era.meta({})} if era.modern else {}
    if cursor is not None:
        params["cursor"] = cursor
    return Outgoing("tools/list", params, {MCP_METHOD_HEADER: "tools/list"} if era.modern else {})


def tools_call(
    era: Era, name: str, arguments: bytes, trace: Mapping[str, str], param_headers: Mapping[str, str]
) -> Outgoing:
    """The request for one call. `arguments` are JSON bytes and are sent as they are."""
    params: dict[str, Any] = {"name": name, "arguments": orjson.Fragment(arguments)}
    if meta := era.meta(trace):
        params["_meta"] = meta
    if not era.modern:
        return Outgoing("tools/call", params)
    routing = {MCP_METHOD_HEADER: "tools/call", MCP_NAME_HEADER: encode_header_value(name)}
    return Outgoing("tools/call", params, {**param_headers, **routing})


class Link(Protocol):
    """A live session that carries our requests. Implementations: `stdio.StdioLink`, `http.HttpLink`."""

    @property
    def ended(self) -> str | None:
        """The code of what ended the session, or None while it lives."""

    async def request(self, outgoing: Outgoing) -> Answer:
        """Send once and wait. Raises `Fault`; cancelling it tells the upstream to stop."""


_ids = itertools.count(1)


def next_id() -> str:
    """A request id that is unique in this process."""
    return f"sealgate-{next(_ids)}"


def encode(request_id: str, outgoing: Outgoing) -> bytes:
    """The request as JSON bytes, without a newline."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": outgoing.method, "params": outgoing.params})


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
    return RpcError(error["code"], error["message"])
