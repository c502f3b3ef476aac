"""Requests to one agent over A2A's JSON-RPC binding: each is one POST, sent at most once, its answer strictly parsed.

Source: A2A 1.0 specification, section 9 "JSON-RPC Protocol Binding".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.adapters.upstream.a2a.shapes import Interface
from gateway.adapters.upstream.credentials.credentials import Credentials, Party
from gateway.adapters.upstream.openapi.request import Request
from gateway.adapters.upstream.openapi.sending import Sending, send_as
from gateway.adapters.upstream.rpc import (
    MALFORMED,
    Answer,
    Fault,
    HttpRefusal,
    Outgoing,
    encode,
    read_error,
    read_response,
)
from gateway.adapters.upstream.spec import AgentSpec
from gateway.core.wire import MAX_ANSWER_KEYS, Malformed, message

VERSION = "1.0"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Talk:
    """With the agent at `interface`, for one call in the name of `party`. `trace`: headers of this call."""

    spec: AgentSpec
    session: aiohttp.ClientSession
    interface: Interface
    trace: Mapping[str, str]
    credentials: Credentials
    party: Party

    async def request(self, method: str, params: Mapping[str, Any], sending: Sending) -> Answer:
        """Send it and read the answer. Raises `Fault`, see `send_as`; whether anything may have left is in `sending`."""
        tenant = {"tenant": self.interface.tenant} if self.interface.tenant else {}
        outgoing = Outgoing(method, {**tenant, **params})
        headers = {name.lower(): value for name, value in self.spec.headers.items()} | dict(self.trace)
        headers |= {"a2a-version": VERSION, "content-type": JSON, "accept": JSON, "accept-encoding": "identity"}
        request = Request("POST", self.interface.url, headers, encode(outgoing))
        answer = await send_as(self.session, request, sending, self.spec.limits, self.credentials, self.party)
        return _read(answer.status, answer.body, outgoing.id)


def _read(status: int, body: bytes, request_id: str) -> Answer:
    """A JSON-RPC error counts whatever the status is; a result needs a good one."""
    try:
        response = message(body, max_bytes=max(len(body), 1), max_keys=MAX_ANSWER_KEYS)
    except Malformed:
        if status == 200:
            raise Fault(MALFORMED) from None
        return HttpRefusal(status)
    if response.get("id") != request_id or "method" in response:
        raise Fault(MALFORMED)
    if status != 200:
        return read_error(response["error"]) if "error" in response else HttpRefusal(status)
    return read_response(response)
