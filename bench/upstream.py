"""The upstream of the benchmark: a bare MCP echo server over streamable HTTP, both eras, as cheap as uvicorn allows.

It does what a call needs and checks nothing. Run it as `python -m bench.upstream PORT [TOOLS]`: beside `look` and `put` it
lists as many tools as make up `TOOLS`, in pages of a thousand, each with a definition of usual length.
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
_TOOLS: list[dict[str, Any]] = [
    {"name": name, "description": "Says what it is told.", "inputSchema": _SCHEMA} for name in ("look", "put")
]
_PAGE = 1000
_lists: list[int] = []
"""Where each page began that was asked for."""
_VERBS = ("find", "list", "update", "close", "export", "archive", "merge", "assign", "approve", "count")
_THINGS = ("invoice", "order", "ticket", "customer", "shipment", "refund", "contract", "employee", "asset", "meeting")


def more_tools(count: int) -> list[dict[str, Any]]:
    """So many further tools, each with a name of its own and about 600 bytes of definition."""
    return [_tool(number, _VERBS[number % 10], _THINGS[number // 10 % 10]) for number in range(count)]


def _tool(number: int, verb: str, thing: str) -> dict[str, Any]:
    return {
        "name": f"{verb}_{thing}_{number}",
        "title": f"{verb.capitalize()} {thing}s of region {number // 100}",
        "description": f"Use this to {verb} every {thing} of region {number // 100} that fits the given conditions. Says how"
        f" many there were, and which {thing}s it could not {verb}.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "maxLength": 64, "description": f"Which {thing}, if it is one only"},
                "since": {"type": "string", "description": "The first day, as an ISO 8601 date"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "description": "How many at most"},
            },
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": verb in ("find", "list", "count")},
    }


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
            begin = int(params.get("cursor", 0))
            _lists.append(begin)
            result = {"tools": _TOOLS[begin : begin + _PAGE], **(_CACHED if modern else {})}
            if begin + _PAGE < len(_TOOLS):
                result["nextCursor"] = str(begin + _PAGE)
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
        case "bench/lists":
            result = {"lists": _lists.count(0)}
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
    if len(sys.argv) > 2:
        _TOOLS += more_tools(int(sys.argv[2]) - len(_TOOLS))
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", lifespan="off", log_level="warning", access_log=False
    )
