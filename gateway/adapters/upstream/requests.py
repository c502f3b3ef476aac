"""The requests we make, as each era wants them: what stands in `params`, `_meta` and, over HTTP, in headers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from mcp.shared.inbound import MCP_METHOD_HEADER, MCP_NAME_HEADER, NAME_BEARING_METHODS, encode_header_value
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway.adapters.upstream.credentials.credentials import Party
from gateway.adapters.upstream.hearing import DEAF, Hearing
from gateway.adapters.upstream.rpc import CLIENT_INFO, Outgoing
from gateway.core.method import Method

_CLIENT = {"name": CLIENT_INFO.name, "version": CLIENT_INFO.version}


@dataclass(frozen=True, slots=True)
class Era:
    """The negotiated protocol version."""

    version: str

    @property
    def modern(self) -> bool:
        """Whether every request carries its own `_meta` and there is no session (2026-07-28 and later)."""
        return self.version in MODERN_PROTOCOL_VERSIONS


@dataclass(frozen=True, slots=True)
class Said:
    """What goes along with a request of a call.

    Attributes:
        trace: traceparent and tracestate (SEP-414)
        capabilities: of the client, as far as this upstream may use them
        progress: whether the upstream is asked to tell of progress
        log_level: the least level of log messages that it is asked for, or None
        mirrored: arguments that are headers as well (2026-07-28, x-mcp-header)
        party: in whose name the request goes
    """

    trace: Mapping[str, str] = field(default_factory=dict)
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    progress: bool = False
    log_level: str | None = None
    mirrored: Mapping[str, str] = field(default_factory=dict)
    party: Party | None = None


NOTHING_SAID = Said()


def plain(era: Era, method: str, params: Mapping[str, Any] | None = None, said: Said = NOTHING_SAID) -> Outgoing:
    """A request of our own."""
    return _outgoing(era, method, dict(params or {}), said, DEAF)


def page(era: Era, method: str, cursor: str | None, capabilities: Mapping[str, Any]) -> Outgoing:
    """The request for one page of a list. `capabilities`: of the clients, since a list may depend on them."""
    return plain(era, method, {} if cursor is None else {"cursor": cursor}, Said(capabilities=capabilities))


def initialize(era: Era, capabilities: Mapping[str, Any]) -> Outgoing:
    """The first request of a handshake session."""
    params = {"protocolVersion": era.version, "capabilities": dict(capabilities), "clientInfo": _CLIENT}
    return Outgoing("initialize", params)


def call(
    era: Era, method: Method, name: str, arguments: bytes, said: Said, hearing: Hearing, more: Mapping[str, Any]
) -> Outgoing:
    """The request of one call. `arguments` are canonical JSON bytes: a tool's are sent as they are.

    Args:
        name: of the tool; of no meaning to other methods
        more: members of `params` beside the call's own: answers to what the upstream asked for
    """
    if method is Method.TOOL:
        params: dict[str, Any] = {"name": name, "arguments": orjson.Fragment(arguments)}
    else:
        params = orjson.loads(arguments)
    return _outgoing(era, method.value, {**params, **more}, said, hearing)


def _outgoing(era: Era, method: str, params: dict[str, Any], said: Said, hearing: Hearing) -> Outgoing:
    outgoing = Outgoing(method, params, hearing=hearing, party=said.party)
    meta: dict[str, Any] = {**said.trace}
    if said.progress:
        meta["progressToken"] = outgoing.id
    if era.modern:
        meta[PROTOCOL_VERSION_META_KEY] = era.version
        meta[CLIENT_CAPABILITIES_META_KEY] = dict(said.capabilities)
        meta[CLIENT_INFO_META_KEY] = _CLIENT
        if said.log_level is not None:
            meta[LOG_LEVEL_META_KEY] = said.log_level
        outgoing.headers = {**said.mirrored, MCP_METHOD_HEADER: method}
        if method in NAME_BEARING_METHODS:
            outgoing.headers[MCP_NAME_HEADER] = encode_header_value(params[NAME_BEARING_METHODS[method]])
    if meta:
        params["_meta"] = meta
    return outgoing
