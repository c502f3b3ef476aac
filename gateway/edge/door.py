"""The door of every HTTP surface that needs a caller: Host and Origin first (DNS rebinding), then who it is.

Over TCP that is said by the bearer token, on the Unix socket for sidecars by the kernel. What is wrong with a token is a
word in the gateway's own log; the answer is a fixed sentence, and neither has anything of the token in it.
"""

import time

import structlog
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.edge.auth import Caller, CannotTell, Credentials, FailureBudget, NotEnough, NotValid, bearer_token
from gateway.edge.peers import PeerTable, peer_of
from gateway.edge.protected_resource import ProtectedResource

_log = structlog.get_logger("sealgate.front")


class Door:
    """Lets callers in. One for all surfaces of a port, so that all of them share one budget of refused logins.

    `resource`: what clients are told of where tokens come from, where there are issuers.
    """

    def __init__(
        self,
        credentials: Credentials,
        security: TransportSecuritySettings,
        *,
        peers: PeerTable | None = None,
        resource: ProtectedResource | None = None,
    ) -> None:
        self._credentials = credentials
        self._security = TransportSecurityMiddleware(security)
        self._peers = peers or PeerTable()
        self.resource = resource
        self._failures = FailureBudget()

    async def admit(self, request: Request) -> Caller | Response:
        """Who it is, or the refusal to send."""
        peer = peer_of(request)
        if peer is not None:  # no browser reaches a Unix socket, and its Host header names nothing
            return self._peers.caller(peer) or self._unknown_peer(peer.uid)
        refusal = await self._security.validate_request(request, is_post=request.method == "POST")
        if refusal is not None:
            return refusal
        token = bearer_token(request.headers.getlist("authorization"))
        if token is None:
            return self._unauthorized(request, None)
        found = token if isinstance(token, NotValid) else await self._credentials.authenticate(token)
        match found:
            case Caller():
                return found
            case NotValid(why):
                return self._unauthorized(request, why)
            case NotEnough(scopes):
                return self._forbidden(scopes)
            case CannotTell(retry_after):
                told = {"error": "temporarily_unavailable", "message": "Tokens cannot be checked now. Try again shortly."}
                return JSONResponse(told, status_code=503, headers={"Retry-After": str(retry_after)})

    def _unauthorized(self, request: Request, why: str | None) -> Response:
        address = request.client.host if request.client else "?"
        if not self._failures.spend(address, time.monotonic()):
            told = {"error": "too_many_failures", "message": "Too many refused logins."}
            return JSONResponse(told, status_code=429, headers={"Retry-After": "60"})
        _log.warning("login_refused", address=address, total=self._failures.total, why=why or "no_token")
        if self.resource is None:
            challenge, error = "Bearer", "unauthorized"
        else:  # without a token nothing is wrong with it: no error then (RFC 6750 section 3.1)
            error = "unauthorized" if why is None else "invalid_token"
            challenge = self.resource.challenge(None if why is None else error, self.resource.usual)
        told = {"error": error, "message": "Send the header Authorization: Bearer <token>, with a token that is valid here."}
        return JSONResponse(told, status_code=401, headers={"WWW-Authenticate": challenge})

    def _forbidden(self, scopes: tuple[str, ...]) -> Response:
        challenge = "Bearer" if self.resource is None else self.resource.challenge("insufficient_scope", scopes)
        told = {"error": "insufficient_scope", "message": "The token has no scope that means anything here."}
        return JSONResponse(told, status_code=403, headers={"WWW-Authenticate": challenge})

    def _unknown_peer(self, uid: int) -> Response:
        if self._failures.spend(f"uid:{uid}", time.monotonic()):
            _log.warning("login_refused", address=f"uid:{uid}", total=self._failures.total, why="unknown_peer")
        told = {"error": "forbidden", "message": "No rule of listen.peers names your user."}
        return JSONResponse(told, status_code=403)
