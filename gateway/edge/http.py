"""The HTTP surface: `/mcp` behind the strict front, `/api/v1`, `/log` for auditors, `/approvals`, `/livez`, `/readyz`; with
issuers, `/.well-known/oauth-protected-resource`, too."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from gateway.core import wire
from gateway.edge.api import Api, Below, RemoteApi
from gateway.edge.api_keys import ApiKeyDesk
from gateway.edge.api_route import PREFIX
from gateway.edge.approver_http import ApproverDesk
from gateway.edge.auth import Caller
from gateway.edge.changes import ChangeDesk
from gateway.edge.door import Door
from gateway.edge.events import ResumableSessions
from gateway.edge.front import CALLER, StrictFront
from gateway.edge.limits import CallerLimits
from gateway.edge.log_http import GuardedLog, LogFiles
from gateway.edge.mcp import Front
from gateway.edge.meta import Context
from gateway.edge.open_requests import OpenRequests
from gateway.edge.protected_resource import MCP_PATH
from gateway.edge.sessions import IDLE_SECONDS, MAX_SESSIONS

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def build_app(
    front: Front,
    door: Door,
    *,
    journal: Path,
    changes: ChangeDesk,
    api: Api,
    tenant_id: str,
    unready: Callable[[], str | None],
    api_keys: ApiKeyDesk | None = None,
) -> Starlette:
    """The app; `door` lets callers in to all of it. `unready` says why calls cannot be served right now, or None.
    `journal` holds the log for `/log`, `changes` has what `/approvals` serves, `api` what
    `/api/v1` serves to callers of the tenant `tenant_id`. Requests with one of `api_keys` end with it.

    SSE responses stay on: with JSON-only responses the SDK does not cancel a call whose client went away.
    """
    manager = ResumableSessions(
        front.server(caller_of),
        json_response=False,
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # StrictFront did it
        max_request_body_size=16 * wire.MAX_BYTES,  # StrictFront bounds what comes; written anew, numbers may be longer
        session_idle_timeout=IDLE_SECONDS,
        max_sessions=MAX_SESSIONS,
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    async def livez(request: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    async def readyz(request: Request) -> JSONResponse:
        reason = unready()
        status = {"status": "ready"} if reason is None else {"status": "unready", "reason": reason}
        return JSONResponse(status, status_code=200 if reason is None else 503)

    requests = OpenRequests()
    if api_keys is not None:
        api_keys.ended = requests.end
    routes = [
        Route(MCP_PATH, endpoint=StrictFront(StreamableHTTPASGIApp(manager), door, CallerLimits(), requests)),
        Below(PREFIX, RemoteApi(api, door, tenant_id, requests)),
        Mount("/log", app=GuardedLog(LogFiles(journal), door)),
        *ApproverDesk(changes, door).routes(),
        Route("/livez", livez),
        Route("/readyz", readyz),
        *([] if door.resource is None else door.resource.routes()),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


def allowed(
    host: str, port: int, allowed_hosts: tuple[str, ...] = (), allowed_origins: tuple[str, ...] = ()
) -> TransportSecuritySettings:
    """The values of Host and Origin that are answered: those of loopback, the own address, and those given."""
    own = [f"{name}:{port}" for name in (*LOOPBACK, f"[{host}]" if ":" in host else host)]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*own, *allowed_hosts],
        allowed_origins=[*(f"http://{name}" for name in own), *allowed_origins],
    )


def caller_of(context: Context) -> Caller:
    """Whom the strict front authenticated."""
    request: Any = context.request
    caller = request.scope[CALLER]
    if not isinstance(caller, Caller):
        raise TypeError("a request came past the strict front")
    return caller
