"""`/api/v1`: one table of routes, on the control socket and behind the door of the HTTP port.

A request over HTTP passes, in order: the door (Host, Origin, token), the tenant, path, method and role, then the strict
parse of path, query and body. Nothing is done before all of it held. On the socket, which only the gateway's own user can
open, there is no door and no role.

Over HTTP whatever changes something leaves a line in the gateway's own log that names the caller; the entry that it causes
names the caller, too. No answer is for caches.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.core import wire
from gateway.core.errors import GatewayError
from gateway.edge.api_errors import at_the_door, failed, refused
from gateway.edge.api_route import AnyCaller, ApiRoute, Asked, For, Nothing, SocketOnly, caller_name
from gateway.edge.auth import Caller
from gateway.edge.body import read_body
from gateway.edge.door import Door
from gateway.edge.open_requests import OpenRequests

BODY_SECONDS = 15.0
MAX_QUERY_BYTES = 64 << 10  # a tool may have a long name
MAX_TOLD_CHARS = 200
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

_log = structlog.get_logger("sealgate.api")


class Api:
    """Answers what the routes say. Raises ValueError where two routes are one operation."""

    def __init__(self, routes: Sequence[ApiRoute[Any, Any]]) -> None:
        self.routes: Final = tuple(routes)
        self._paths: dict[str, dict[str, ApiRoute[Any, Any]]] = {}
        for route in self.routes:
            methods = self._paths.setdefault(route.path, {})
            if route.method in methods:
                raise ValueError(f"{route.method} {route.path} is there twice")
            methods[route.method] = route
        for path, methods in self._paths.items():
            if len({isinstance(route.access, SocketOnly) for route in methods.values()}) > 1:
                raise ValueError(f"{path} is for the socket by one method and for HTTP by another")
        self._patterns = [(compile_path(path)[0], methods) for path, methods in self._paths.items()]

    async def answer(self, request: Request, caller: Caller | None, requests: OpenRequests | None = None) -> Response:
        """The answer to a request that was let in. `caller`: None on the control socket. `requests`: those that end with
        what their caller was let in by.
        """
        route: ApiRoute[Any, Any] | None = None
        try:
            route, path = self._found(request)
            if caller is not None:
                _check_access(route, caller)
            answer = await self._handled(route, path, request, caller, requests)
            response = answer if isinstance(answer, Response) else JSONResponse(answer)
        except _OtherMethod as other:
            response = refused(other, headers={"Allow": ", ".join(other.allowed)})
        except Exception as error:  # noqa: BLE001 - every request is answered, and in one shape
            response = failed(error, remote=caller is not None)
        if caller is not None and route is not None and route.method != "GET":
            what = f"{route.method} {route.path}"
            place = request.scope["raw_path"][:MAX_TOLD_CHARS].decode("ascii", "backslashreplace")
            _log.info(
                "api_request",
                by=caller_name(caller),
                credential=caller.credential,
                what=what,
                path=place,
                status=response.status_code,
            )
        response.headers.update(_HEADERS)
        return response

    def _found(self, request: Request) -> tuple[ApiRoute[Any, Any], Mapping[str, str]]:
        path = request.scope["path"]
        for pattern, methods in self._patterns:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            method = "GET" if request.method == "HEAD" else request.method
            if method not in methods:
                raise _OtherMethod(methods)
            return methods[method], match.groupdict()
        raise GatewayError("There is nothing here.", hint="See /api/v1/openapi.json.", code="request.unknown")

    async def _handled(
        self,
        route: ApiRoute[Any, Any],
        path: Mapping[str, str],
        request: Request,
        caller: Caller | None,
        requests: OpenRequests | None,
    ) -> Mapping[str, Any] | Response:
        query = _parsed(route.query, _query(request), "query")
        body, size = Nothing(), 0
        if route.method == "POST":
            if caller is not None:
                _check_media_type(request)
            most = wire.MAX_BYTES if caller is not None else route.socket_bytes
            if caller is None or requests is None:
                data = await _body(request, most)
            else:  # whose key is revoked while the body comes does nothing any more
                coming = await requests.read(caller, lambda: _body(request, most))
                if isinstance(coming, Response):
                    return at_the_door(coming)
                data = coming
            size = len(data)
            keys = wire.MAX_KEYS if most == wire.MAX_BYTES else wire.MAX_ANSWER_KEYS
            body = _parsed(route.body, wire.parse(data, max_bytes=most, max_keys=keys), "body")
        return await route.handle(Asked(caller, path, query, body, size))


class _OtherMethod(GatewayError):
    """The path is there for other methods."""

    def __init__(self, methods: Mapping[str, object]) -> None:
        self.allowed = [*methods, *(["HEAD"] if "GET" in methods else [])]
        super().__init__(f"Use {' or '.join(methods)} here.", code="request.method")


class Below(BaseRoute):
    """All that is below a path goes to one app, whatever characters are in it: Starlette's mounts know no line breaks."""

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix = f"{prefix}/"
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        found = scope["type"] == "http" and f"{scope['path']}/".startswith(self._prefix)
        return (Match.FULL if found else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class RemoteApi:
    """ASGI: the API behind the door of the HTTP port, for callers of the gateway's own tenant."""

    def __init__(self, api: Api, door: Door, tenant_id: str, requests: OpenRequests) -> None:
        self._api = api
        self._door = door
        self._requests = requests
        self._tenant_id = tenant_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await (await self._answer(request))(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        caller = await self._door.admit(_as_json(request))
        if isinstance(caller, Response):
            return at_the_door(caller)
        if caller.tenant_id != self._tenant_id:
            return refused(GatewayError("This token is of another tenant.", code="tenant.other"))
        return await self._api.answer(request, caller, self._requests)


def socket_app(api: Api) -> Starlette:
    """The app for the control socket."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await (await api.answer(request, None))(scope, receive, send)

    return Starlette(routes=[Below("", app)])


def _check_access(route: ApiRoute[Any, Any], caller: Caller) -> None:
    """Raises `GatewayError` where the caller may not use it."""
    match route.access:
        case For(roles=roles):
            if not caller.roles & roles:
                needed = " or ".join(sorted(roles))
                raise GatewayError(
                    f"This needs the role {needed}.",
                    hint="The operator gives roles to a token: callers[].roles in gateway.yaml.",
                    code="role.missing",
                )
        case SocketOnly(why=why):
            raise GatewayError(
                f"This is not done over the network: {why}",
                hint="Run the command on the gateway's machine, as its user.",
                code="request.local_only",
            )
        case AnyCaller():
            pass


def _as_json(request: Request) -> Request:
    """The request as the door is shown it. Its check of the media type comes too early for an API: before the token, and
    before it is known that the path takes a body at all. Ours comes after both."""
    others = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
    return Request({**request.scope, "headers": [*others, (b"content-type", b"application/json")]})


def _check_media_type(request: Request) -> None:
    """A web page cannot send this type to another origin without asking first. Raises `GatewayError`."""
    kind, _, _ = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json":
        raise GatewayError("Send the body as application/json.", code="request.media_type")


async def _body(request: Request, most: int) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await read_body(request, most)
    except TimeoutError as error:
        raise GatewayError(f"The body did not come in {BODY_SECONDS:.0f} s.", code="request.timeout") from error


def _query(request: Request) -> dict[str, str]:
    """Each parameter once. Raises `GatewayError`."""
    if len(request.scope["query_string"]) > MAX_QUERY_BYTES:
        raise GatewayError(f"the query is longer than {MAX_QUERY_BYTES} bytes", code="request.invalid")
    given = request.query_params.multi_items()
    query = dict(given)
    if len(query) < len(given):
        raise GatewayError("a query parameter is there twice", code="request.invalid")
    return query


def _parsed(model: type[BaseModel], document: Any, what: str) -> Any:
    """The document as its model has it. Raises `GatewayError`, which names the place and quotes no value."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        names = ".".join(str(part) for part in problem["loc"])[:MAX_TOLD_CHARS]
        place = f"{what} {names}" if names.isprintable() and names else what
        raise GatewayError(f"{place}: {problem['msg']}", hint="See /api/v1/openapi.json.", code="request.invalid") from error
