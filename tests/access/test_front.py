"""What stands behind the front never sees what a caller showed."""

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from gateway.core.run_context import Principal, PrincipalKind
from gateway.edge.auth import Caller, Credentials, TokenTable, token_digest
from gateway.edge.door import Door
from gateway.edge.front import StrictFront
from gateway.edge.http import allowed
from gateway.edge.limits import CallerLimits
from gateway.edge.open_requests import OpenRequests


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_the_token_ends_at_the_front(method: str) -> None:
    seen: list[Scope] = []

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        return {"type": "http.request", "body": b'{"jsonrpc":"2.0","id":1,"method":"ping"}', "more_body": False}

    async def send(message: Message) -> None:
        await anyio.lowlevel.checkpoint()

    caller = Caller("example", Principal(PrincipalKind.USER, "bob"), (), frozenset({"agent"}))
    door = Door(Credentials(TokenTable({token_digest("bob-token"): caller})), allowed("127.0.0.1", 1))
    front = StrictFront(behind, door, CallerLimits(), OpenRequests())
    headers = [
        (b"host", b"127.0.0.1:1"),
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer bob-token"),
        (b"mcp-protocol-version", b"2026-07-28"),
    ]
    await front({"type": "http", "method": method, "path": "/mcp", "headers": headers}, receive, send)
    (scope,) = seen
    assert "bob-token" not in repr(scope)
    assert scope["user"].access_token.token == ""
