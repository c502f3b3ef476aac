"""An authorization server on loopback (RFC 6749, 7523, 8693), and an MCP server that takes its tokens only and records
what reaches it. Both are real: they check signatures, times, audiences and clients as the standards say.
"""

import asyncio
import json
import secrets
import socket
import threading
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.running import until

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
CLIENT = "sealgate"
ALGORITHMS = ["EdDSA", "ES256", "RS256"]


@dataclass
class Authority:
    """`secret`, `client_key` and `subject_key` are what it knows of the gateway. `asked`: the forms, in order.

    `broken` answers instead of it. `living` are the tokens that are good, with what they say; `seconds` how long.
    """

    secret: str = "s3cr3t & more"
    client_key: PublicKeyTypes | None = None
    subject_key: PublicKeyTypes | None = None
    seconds: float = 600.0
    url: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    broken: Callable[[], Response] | None = None
    living: dict[str, dict[str, Any]] = field(default_factory=dict)
    statements: list[dict[str, Any]] = field(default_factory=list)

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    def claims(self, authorization: str | None) -> dict[str, Any] | None:
        """What a good token says, by the header that it is shown in."""
        told = self.living.get((authorization or "").removeprefix("Bearer "))
        return told if told is not None and told["exp"] > time.time() else None

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        self.asked.append(form)
        if self.broken is not None:
            return self.broken()
        try:
            self._know_client(request.headers.get("authorization"), form)
            told = self._granted(form)
        except (ValueError, KeyError, jwt.PyJWTError) as error:
            self.refused.append(repr(error))
            return JSONResponse({"error": "invalid_client", "error_description": f"leaks {form}"}, 401)
        value = f"tok_{secrets.token_urlsafe(24)}"
        self.living[value] = {**told, "scope": form.get("scope"), "exp": time.time() + self.seconds}
        answer = {"access_token": value, "token_type": "Bearer", "expires_in": self.seconds}
        return JSONResponse(answer | ({"issued_token_type": ACCESS_TOKEN} if form["grant_type"] == EXCHANGE else {}))

    def _know_client(self, authorization: str | None, form: dict[str, str]) -> None:
        if self.client_key is not None:
            if form["client_assertion_type"] != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
                raise ValueError("no assertion")
            claims = self._verified(form["client_assertion"], self.client_key, self.token_url)
            if not claims["iss"] == claims["sub"] == form["client_id"] == CLIENT:
                raise ValueError("another client")
            return
        name, _, secret = b64decode((authorization or "").removeprefix("Basic ")).decode().partition(":")
        if (unquote_plus(name), unquote_plus(secret)) != (CLIENT, self.secret):
            raise ValueError("not this client's secret")

    def _granted(self, form: dict[str, str]) -> dict[str, Any]:
        if form["grant_type"] == "client_credentials":
            return {"sub": CLIENT}
        if form["grant_type"] != EXCHANGE or form["subject_token_type"] != "urn:ietf:params:oauth:token-type:jwt":
            raise ValueError("another grant")
        assert self.subject_key is not None
        claims = self._verified(form["subject_token"], self.subject_key, self.token_url)
        if claims["iss"] != "https://gateway.example":
            raise ValueError("another issuer")
        self.statements.append(claims)
        return {name: claims[name] for name in ("sub", "act", "tenant") if name in claims}

    def _verified(self, token: str, key: Any, audience: str) -> dict[str, Any]:
        required = ["exp", "iat", "jti", "sub", "iss", "aud"]
        found: dict[str, Any] = jwt.decode(token, key, ALGORITHMS, audience=audience, options={"require": required})
        return found


@dataclass
class Recorder:
    """An MCP server of 2026-07-28, or of the handshake where `handshake`. `seen`: method, headers and what the token says.

    `takes_any`: it does not look at tokens. `refuses`: so many calls it answers with 401, whatever they carry.
    """

    authority: Authority
    handshake: bool = False
    takes_any: bool = False
    refuses: int = 0
    url: str = ""
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)
    streams: dict[str, asyncio.Queue[str]] = field(default_factory=dict)

    def calls(self) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """Headers of each call, and what its token says."""
        return [(headers, told) for method, headers, told in self.seen if method == "tools/call"]

    async def serve(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        told = self.authority.claims(headers.get("authorization")) or {}
        if request.method != "POST":
            self.seen.append((request.method, headers, told))
            return Response(status_code=405 if request.method == "GET" else 200)
        message = json.loads(await request.body())
        method = message["method"]
        self.seen.append((method, headers, told))
        if not told and not self.takes_any:
            return Response(status_code=401)
        if method == "tools/call" and self.refuses:
            self.refuses -= 1
            return JSONResponse({"jsonrpc": "2.0", "id": None, "error": {"code": -32001, "message": "no"}}, 401)
        owner = self.sessions.get(headers.get("mcp-session-id", ""))
        if self.handshake and method not in ("initialize", "server/discover") and owner != told.get("sub"):
            return Response(status_code=403)  # a session is its user's alone
        return self._answer(message, method, told)

    async def open_stream(self, request: Request) -> Response:
        """GET of the older HTTP+SSE transport: a stream, and where to POST to."""
        told = self.authority.claims(request.headers.get("authorization"))
        if told is None:
            return Response(status_code=401)
        session = secrets.token_hex(8)
        self.sessions[session] = told["sub"]
        events = self.streams[session] = asyncio.Queue[str]()

        async def stream() -> AsyncIterator[str]:
            yield f"event: endpoint\ndata: /post?session={session}\n\n"
            while True:
                yield f"event: message\ndata: {await events.get()}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def take_post(self, request: Request) -> Response:
        """POST of that transport. A session is its user's alone."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        told = self.authority.claims(headers.get("authorization")) or {}
        message = json.loads(await request.body())
        self.seen.append((message["method"], headers, told))
        session = request.query_params["session"]
        if self.sessions.get(session) != told.get("sub"):
            return Response(status_code=401)
        if "id" in message:
            self.streams[session].put_nowait(bytes(self._answer(message, message["method"], told).body).decode())
        return Response(status_code=202)

    def _answer(self, message: dict[str, Any], method: str, told: dict[str, Any]) -> Response:
        more: dict[str, str] = {}
        done = {} if self.handshake else {"resultType": "complete"}
        caching = {} if self.handshake else {"ttlMs": 0, "cacheScope": "private"}
        match method:
            case "server/discover" if not self.handshake:
                result: dict[str, Any] = {
                    **done,
                    **caching,
                    "supportedVersions": ["2026-07-28"],
                    "capabilities": {"tools": {}},
                }
            case "initialize":
                session = secrets.token_hex(8)
                self.sessions[session] = told.get("sub", "")
                more = {"mcp-session-id": session}
                info = {"name": "recorder", "version": "1"}
                result = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
            case "tools/list":
                schema = {"type": "object", "properties": {"text": {"type": "string"}}}
                tools = [{"name": name, "inputSchema": schema} for name in ("look", "act")]
                result = {**done, **caching, "tools": tools}
            case "tools/call":
                self.done.append(message["params"]["arguments"].get("text", ""))
                result = {**done, "content": [{"type": "text", "text": "done"}]}
            case _ if "id" not in message:
                return Response(status_code=202)
            case _:
                return JSONResponse(
                    {"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "unknown"}}, 404
                )
        return JSONResponse({"jsonrpc": "2.0", "id": message["id"], "result": result}, headers=more)


@contextmanager
def serving() -> Iterator[tuple[Authority, Recorder]]:
    """Both, on one free port."""
    authority = Authority()
    recorder = Recorder(authority)
    redirect = Route("/elsewhere", lambda _: RedirectResponse("/token", 307), methods=["POST"])
    routes = [
        Route("/token", authority.token, methods=["POST"]),
        Route("/mcp", recorder.serve, methods=["GET", "POST", "DELETE"]),
        Route("/sse", recorder.open_stream),
        Route("/post", recorder.take_post, methods=["POST"]),
        redirect,
    ]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        authority.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        recorder.url = f"{authority.url}/mcp"
        app = Starlette(routes=routes)
        bounded = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(bounded)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            until(lambda: server.started, what="the authority's start")
            yield authority, recorder
        finally:
            server.should_exit = True
            thread.join(10)
