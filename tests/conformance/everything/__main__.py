"""`stdio`, `http [PORT]` (both eras) or `http-handshake [PORT]`. Over HTTP it prints its port."""

import asyncio
import socket
import sys
import warnings
from typing import Any

import uvicorn
from mcp.server.lowlevel import NotificationOptions
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.conformance.everything.replay import KeptEvents
from tests.conformance.everything.server import build

RETRY_MILLISECONDS = 100


async def stdio() -> None:
    server = build()
    announces = NotificationOptions(prompts_changed=True, resources_changed=False, tools_changed=True)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(announces))


def handshake_only(app: ASGIApp) -> ASGIApp:
    """Answers as a server that knows nothing of 2026-07-28."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        version = dict(scope.get("headers", [])).get(b"mcp-protocol-version", b"").decode()
        if version not in MODERN_PROTOCOL_VERSIONS:
            await app(scope, receive, send)
            return
        error = {"code": -32600, "message": "Bad Request: unsupported protocol version"}
        await JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status_code=400)(scope, receive, send)

    return wrapped


def http(port: int, *, modern: bool) -> None:
    app: Any = build().streamable_http_app(event_store=KeptEvents(), retry_interval=RETRY_MILLISECONDS)
    listener = socket.create_server(("127.0.0.1", port))
    print(listener.getsockname()[1], flush=True)
    # h11, for httptools keeps white space after header values, which RFC 9110 §5.5 has a server take off.
    config = uvicorn.Config(
        app if modern else handshake_only(app), http="h11", log_level="error", timeout_graceful_shutdown=0
    )
    uvicorn.Server(config).run(sockets=[listener])


def main(kind: str, port: int = 0) -> None:
    warnings.simplefilter("ignore", MCPDeprecationWarning)  # logging is deprecated, and still asked for
    if kind == "stdio":
        asyncio.run(stdio())
    else:
        http(port, modern={"http": True, "http-handshake": False}[kind])


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
