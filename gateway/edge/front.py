"""The strict front of `/mcp`: what reaches the MCP SDK is authenticated, within bounds and canonical.

In order: the door (Host, Origin, bearer token), size, strict parse (`core.wire`), the caller's limits. The parsed message
is serialised anew and handed on, so that no other parser ever sees the client's own bytes; nor does anything behind see the
token. Header values lose the white space around them, which the HTTP parser keeps. A caller opens only so many handshake
sessions (`sessions.py`). What stands open ends with what the caller was let in by (`open_requests.py`).
"""

import orjson
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.core import wire
from gateway.edge.auth import ASKING, Caller
from gateway.edge.body import read_body
from gateway.edge.door import Door
from gateway.edge.limits import LISTEN, CallerLimits
from gateway.edge.open_requests import OpenRequests
from gateway.edge.sessions import MAX_SESSIONS_PER_CALLER, SESSION_ID, Key, SessionBudget

CALLER = "sealgate.caller"
BUSY = -32000
STANDING = frozenset({LISTEN})
"""Methods whose answer stands open until somebody ends it, as a GET stream does."""


class StrictFront:
    """ASGI middleware around the SDK's app."""

    def __init__(self, app: ASGIApp, door: Door, limits: CallerLimits, requests: OpenRequests) -> None:
        self._app = app
        self._door = door
        self._limits = limits
        self._requests = requests
        self._sessions = SessionBudget()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value.strip(b" \t")) for name, value in scope["headers"]]
        scope = {**scope, "headers": headers}
        request = Request(scope, receive)
        caller = await self._door.admit(request)
        if isinstance(caller, Response):
            await caller(scope, receive, send)
            return
        ASKING.set(caller)  # until this request's task ends
        headers = [(name, value) for name, value in headers if name != b"authorization"]
        scope = {**scope, "headers": headers, CALLER: caller, "user": _sdk_user(caller)}
        key: Key | None = None if _is_modern(request) else request.headers.get(SESSION_ID)
        if request.method != "POST":
            await self._serve(scope, receive, send, caller, key, stands=True)
            return
        try:
            data = await self._requests.read(caller, lambda: read_body(request))
            if isinstance(data, Response):
                await data(scope, receive, send)
                return
            message = wire.message(data)
            body = orjson.dumps(message)
        except wire.Malformed as error:
            await JSONResponse(error.reply(), status_code=400)(scope, receive, send)
            return
        except ClientDisconnect:  # gone in the middle of its body: nothing was asked, and nobody is there to tell
            return
        length = str(len(body)).encode()
        scope["headers"] = [(name, length if name == b"content-length" else value) for name, value in headers]
        stands = message.get("method") in STANDING
        with self._limits.request(caller, message, stands=stands) as refusal:
            opens = message.get("method") == "initialize" and SESSION_ID not in request.headers and not _is_modern(request)
            if refusal is None and opens:
                key = self._sessions.open(_owner(caller))
                refusal = _too_many_sessions(message.get("id")) if key is None else None
            if refusal is not None:
                await refusal(scope, receive, send)
            else:
                await self._serve(scope, _replayed(body, receive), send, caller, key, stands=stands)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, caller: Caller, key: Key | None, *, stands: bool
    ) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if key is None:
                await self._app(scope, receive, send)
            else:
                await self._sessions.serve(self._app, scope, receive, send, _owner(caller), key)

        await self._requests.serve(app, scope, receive, send, caller, stands=stands)


def _is_modern(request: Request) -> bool:
    """Whether the SDK serves the request without a session: by this header, and before it looks at the body."""
    return request.headers.get("mcp-protocol-version", HANDSHAKE_PROTOCOL_VERSIONS[0]) not in HANDSHAKE_PROTOCOL_VERSIONS


def _too_many_sessions(request_id: wire.RequestId | None) -> Response:
    message = f"You have {MAX_SESSIONS_PER_CALLER} sessions open; end one (DELETE), or try again in a few minutes."
    return JSONResponse(wire.Malformed(BUSY, message, request_id).reply(), status_code=429)


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


def _owner(caller: Caller) -> str:
    """Whose sessions are counted together: all that a principal opens through the same actors."""
    return f"{caller.tenant_id};{';'.join(map(str, (caller.principal, *caller.actors)))}"


def _sdk_user(caller: Caller) -> AuthenticatedUser:
    """The identity the SDK binds a handshake session to: nobody else can use the session, nor can the same caller by another
    key, or in the name of another issuer."""
    claims = None if caller.issuer is None else {"iss": caller.issuer}
    client = f"{_owner(caller)};{caller.credential};{caller.client}"
    return AuthenticatedUser(
        AccessToken(token="", client_id=client, scopes=[], subject=str(caller.principal), claims=claims)
    )
