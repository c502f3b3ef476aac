"""The strict front of `/mcp`: what reaches the MCP SDK is authenticated, within bounds and canonical.

In order: Host and Origin (DNS rebinding), bearer token, size, strict parse (`core.wire`). The parsed message is
serialised anew and handed on, so that no other parser ever sees the client's own bytes. Header values lose the white
space around them, which the HTTP parser keeps.
"""

import time

import orjson
import structlog
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.core import wire
from gateway.edge.auth import Caller, FailureBudget, TokenTable

CALLER = "sealgate.caller"

_log = structlog.get_logger("sealgate.front")


class StrictFront:
    """ASGI middleware around the SDK's app."""

    def __init__(self, app: ASGIApp, tokens: TokenTable, security: TransportSecuritySettings) -> None:
        self._app = app
        self._tokens = tokens
        self._security = TransportSecurityMiddleware(security)
        self._failures = FailureBudget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        scope = {**scope, "headers": headers}
        request = Request(scope, receive)
        refusal = await self._security.validate_request(request, is_post=request.method == "POST")
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        caller = self._tokens.authenticate(request.headers.get("authorization"))
        if caller is None:
            await self._unauthorized(request)(scope, receive, send)
            return
        scope = {**scope, CALLER: caller, "user": _sdk_user(caller)}
        if request.method != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = orjson.dumps(wire.message(await _read(request)))
        except wire.Malformed as error:
            await JSONResponse(error.reply(), status_code=400)(scope, receive, send)
            return
        length = str(len(body)).encode()
        scope["headers"] = [(name, length if name == b"content-length" else value) for name, value in headers]
        await self._app(scope, _replayed(body, receive), send)

    def _unauthorized(self, request: Request) -> Response:
        address = request.client.host if request.client else "?"
        if not self._failures.spend(address, time.monotonic()):
            return JSONResponse({"error": "too_many_failures", "message": "Too many refused logins."}, status_code=429)
        _log.warning("login_refused", address=address, total=self._failures.total)
        return JSONResponse(
            {"error": "unauthorized", "message": "Send the header Authorization: Bearer <token>."},
            status_code=401,
            headers={"WWW-Authenticate": "Bearer"},
        )


async def _read(request: Request) -> bytes:
    """The body; refused as soon as it is known to be too large, so that a flood is not held."""
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > wire.MAX_BYTES:
        raise wire.Malformed(wire.INVALID_REQUEST, f"message is larger than {wire.MAX_BYTES} bytes")
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) > wire.MAX_BYTES:
            raise wire.Malformed(wire.INVALID_REQUEST, f"message is larger than {wire.MAX_BYTES} bytes")
    return bytes(held)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the checked body once and then the connection's own events, such as a disconnect."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _sdk_user(caller: Caller) -> AuthenticatedUser:
    """The identity the SDK binds a handshake session to: nobody else can use the session."""
    chain = ";".join(map(str, (caller.principal, *caller.actors)))
    return AuthenticatedUser(AccessToken(token="", client_id=f"{caller.tenant_id};{chain}", scopes=[]))
