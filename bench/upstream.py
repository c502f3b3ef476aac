"""The upstream of the benchmark: a bare MCP echo server over streamable HTTP, both eras, as cheap as uvicorn allows.

It does what a call needs and checks nothing. Run it as `python -m bench.upstream PORT`.
"""

import sys
from typing import Any

import orjson
import uvicorn
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

MODERN = "2026-07-28"
_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": 1000}},
    "required": ["text"],
    "additionalProperties": False,
}
_INFO = {"name": "echo", "version": "1"}
_META = {"io.modelcontextprotocol/serverInfo": _INFO}
_CACHED = {"ttlMs": 0, "cacheScope": "private"}
_CAPABILITIES: dict[str, Any] = {"tools": {}}
_TOOLS = [{"name": name, "description": "Says what it is told.", "inputSchema": _SCHEMA} for name in ("look", "put")]


async def app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """POST one JSON-RPC message, get one JSON answer."""
    if scope["type"] != "http":
        return
    if scope["method"] == "DELETE":
        await _send(send, 200, b"")
        return
    if scope["method"] != "POST":
        await _send(send, 405, b"")
        return
    body = b""
    more = True
    while more:
        event: Any = await receive()
        body += event.get("body", b"")
        more = event.get("more_body", False)
    message = orjson.loads(body)
    if "id" not in message:
        await _send(send, 202, b"")
        return
    modern = any(name == b"mcp-protocol-version" and value == MODERN.encode() for name, value in scope["headers"])
    answer = {"jsonrpc": "2.0", "id": message["id"], **_answer(message["method"], message.get("params") or {}, modern)}
    await _send(send, 200, orjson.dumps(answer), session=message["method"] == "initialize")


def _answer(method: str, params: dict[str, Any], modern: bool) -> dict[str, Any]:
    match method:
        case "tools/call":
            result: dict[str, Any] = {"content": [{"type": "text", "text": params["arguments"]["text"]}], "isError": False}
        case "tools/list":
            result = {"tools": _TOOLS, **(_CACHED if modern else {})}
        case "server/discover":
            result = {"supportedVersions": [MODERN], "capabilities": _CAPABILITIES, **_CACHED}
        case "initialize":
            return {
                "result": {
                    "protocolVersion": params["protocolVersion"],
                    "capabilities": _CAPABILITIES,
                    "serverInfo": _INFO,
                }
            }
        case "ping":
            result = {}
        case _:
            return {"error": {"code": -32601, "message": "Method not found"}}
    return {"result": {**result, "resultType": "complete", "_meta": _META} if modern else result}


async def _send(send: ASGISendCallable, status: int, body: bytes, *, session: bool = False) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if session:
        headers.append((b"mcp-session-id", b"one"))
    await send({"type": "http.response.start", "status": status, "headers": headers, "trailers": False})
    await send({"type": "http.response.body", "body": body, "more_body": False})


if __name__ == "__main__":
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", log_level="warning", access_log=False
    )
