"""Refusals of `/api/v1`: one shape, and an HTTP status for every code.

`{"error": {"code", "message", "hint", "exit_code"}}`; the last is what the command line ends with. What went wrong inside is
told by a fixed sentence over HTTP, its cause by the gateway's own log.
"""

import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from gateway.core import wire
from gateway.core.errors import (
    GatewayError,
    KeyFault,
    LoginNeeded,
    Overloaded,
    StateLocked,
    StoreFault,
    Unreachable,
    VerificationFailed,
)
from gateway.edge.body import TooLarge
from gateway.edge.logs import fault

_STATUS = {
    "request.malformed": 400,
    "login.needed": 401,
    "role.missing": 403,
    "tenant.other": 403,
    "request.local_only": 403,
    "request.unknown": 404,
    "tool.unknown": 404,
    "approval.unknown": 404,
    "api_key.unknown": 404,
    "resolution.unknown": 404,
    "policy.no_shadow": 404,
    "log.too_short": 404,
    "log.no_checkpoint": 404,
    "erasure.unknown_subject": 404,
    "request.method": 405,
    "request.timeout": 408,
    "request.too_large": 413,
    "request.media_type": 415,
    "request.invalid": 422,
    "erasure.invalid": 422,
    "resolution.result": 422,
}
_CONFLICT = 409
"""Of every other code: what is asked for does not fit what is there now."""
_INSIDE = (StoreFault, KeyFault, StateLocked, VerificationFailed, Overloaded, Unreachable)

_log = structlog.get_logger("sealgate.api")


def statuses() -> dict[str, int]:
    """The codes that have a status of their own."""
    return dict(_STATUS)


def status_of(error: GatewayError) -> int:
    """The HTTP status that tells of it."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    return 503 if isinstance(error, _INSIDE) else _CONFLICT


def refused(error: GatewayError, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    """The answer that tells of it."""
    told = {"code": error.code, "message": error.message, "hint": error.hint, "exit_code": error.exit_code}
    return JSONResponse({"error": told}, status_code=status or status_of(error), headers=headers)


def failed(error: Exception, *, remote: bool) -> Response:
    """The answer to a request whose handling raised; over HTTP (`remote`) without the cause of what is no mistake of it."""
    match error:
        case TooLarge():
            return refused(GatewayError(str(error), code="request.too_large"))
        case ClientDisconnect():  # nobody is there to read it
            return refused(GatewayError("The body has no end.", code="request.malformed"))
        case wire.Malformed():
            return refused(GatewayError(str(error), code="request.malformed"))
        case GatewayError() if status_of(error) != 503 or not remote:
            return refused(error)
        case GatewayError():
            _log.error("api_failed", code=error.code, cause=error.message)
            told = GatewayError("The gateway cannot do this now.", hint="Its own log says why.", code=error.code)
            told.exit_code = error.exit_code
            return refused(told, 503)
        case _:
            _log.error("api_failed", **fault(error))
            return refused(GatewayError("The gateway failed.", hint="Its own log says where.", code="internal"), 500)


_NO_ROLE = (
    "role.missing",
    "Who this is has no role here.",
    "The operator gives roles: see callers, oauth and listen.peers.",
)
_AT_THE_DOOR = {
    401: ("login.needed", "Send the header Authorization: Bearer <token>.", "Set SEALGATE_TOKEN, or --token-file."),
    403: ("request.origin", "A web page of this origin may not use this.", "Name it in listen.allowed_origins."),
    503: ("login.unavailable", "Tokens cannot be checked now.", "Try again shortly."),
    421: ("request.host", "This gateway does not answer to that Host.", "Name it in listen.allowed_hosts."),
    429: ("login.too_many", "Too many requests.", "Try again in a minute."),
}


def at_the_door(response: Response) -> Response:
    """A refusal of the door in this shape, with its status and the headers that belong to it."""
    code, message, hint = _AT_THE_DOOR.get(response.status_code, ("request.refused", "The request is refused.", ""))
    if response.status_code == 403 and response.media_type == "application/json":  # it knows who it is
        code, message, hint = _NO_ROLE
    error = (LoginNeeded if response.status_code == 401 else GatewayError)(message, hint=hint, code=code)
    kept = {name: value for name, value in response.headers.items() if name in ("www-authenticate", "retry-after")}
    return refused(error, response.status_code, kept)
