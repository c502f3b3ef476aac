"""A server on the official SDK: `stdio`, `http` (both eras) or `http-handshake` (as an SDK 1.x server answers).

Prints its port. Tools: echo (the arguments as JSON), wait (until cancelled), waits (how many were cancelled), change.
"""

import asyncio
import json
import socket
import sys
from typing import Any

import anyio
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.subscriptions import ToolsListChanged
from starlette.responses import JSONResponse

SCHEMA: dict[str, Any] = {"type": "object", "additionalProperties": True}
MIRRORED = {**SCHEMA, "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
description = "first"
waits_cancelled = 0
bus = InMemorySubscriptionBus()


def tools() -> list[dict[str, Any]]:
    schemas = {"echo": SCHEMA, "wait": SCHEMA, "waits": SCHEMA, "change": SCHEMA, "mirrored": MIRRORED}
    return [{"name": name, "description": description, "inputSchema": schema} for name, schema in schemas.items()]


async def on_list_tools(context: Any, params: Any) -> Any:
    return {"tools": tools(), "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def on_call_tool(context: Any, params: Any) -> Any:
    global description, waits_cancelled
    match params.name:
        case "wait":
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                waits_cancelled += 1
                raise
        case "waits":
            text = str(waits_cancelled)
        case "change":
            description, text = "changed", "done"
            await bus.publish(ToolsListChanged())
            if context.protocol_version < "2026":
                await context.session.send_tool_list_changed()
        case _:
            text = json.dumps(params.arguments)
    return {"content": [{"type": "text", "text": text}], "resultType": "complete"}


def get_schema(name: str) -> dict[str, Any]:
    return MIRRORED if name == "mirrored" else SCHEMA


server: Server[Any] = Server(
    "sdk",
    on_list_tools=on_list_tools,
    on_call_tool=on_call_tool,
    on_subscriptions_listen=ListenHandler(bus),
    get_tool_input_schema=get_schema,
)


async def stdio() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def handshake_only(app: Any) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        version = dict(scope.get("headers", [])).get(b"mcp-protocol-version", b"")
        if version.startswith(b"2026"):
            error = {"code": -32600, "message": "Bad Request: Unsupported protocol version"}
            response = JSONResponse({"jsonrpc": "2.0", "id": "server-error", "error": error}, status_code=400)
            await response(scope, receive, send)
        else:
            await app(scope, receive, send)

    return wrapped


def http(*, modern: bool, port: int) -> None:
    app: Any = server.streamable_http_app()
    listener = socket.create_server(("127.0.0.1", port))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app if modern else handshake_only(app), log_level="error", timeout_graceful_shutdown=0)
    uvicorn.Server(config).run(sockets=[listener])


if sys.argv[1] == "stdio":
    asyncio.run(stdio())
else:
    http(modern=sys.argv[1] == "http", port=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
