"""The door of every HTTP surface that needs a caller: Host and Origin first (DNS rebinding), then the bearer token."""

import time

import structlog
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.edge.auth import Caller, FailureBudget, TokenTable

_log = structlog.get_logger("sealgate.front")


class Door:
    """Lets callers in. One for all surfaces of a port, so that all of them share one budget of refused logins."""

    def __init__(self, tokens: TokenTable, security: TransportSecuritySettings) -> None:
        self._tokens = tokens
        self._security = TransportSecurityMiddleware(security)
        self._failures = FailureBudget()

    async def admit(self, request: Request) -> Caller | Response:
        """Who it is, or the refusal to send."""
        refusal = await self._security.validate_request(request, is_post=request.method == "POST")
        if refusal is not None:
            return refusal
        return self._tokens.authenticate(request.headers.get("authorization")) or self._unauthorized(request)

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
