"""A 2026-07-28 HTTP server without any library, hostile in the way the called tool says. Prints its port."""

import asyncio
import gzip
import json
import sys
from typing import Any

TOOLS = [
    "echo", "headers", "calls", "forge", "gzip", "no_json", "duplicate_keys", "wrong_id", "redirect", "redirected",
    "flood", "flood_announced", "flood_stream", "endless_event", "stream", "hang", "hangs_closed",
    "cut_before", "cut_after", "cut_half", "stream_cut", "unauthorized", "bad_gateway", "error_status",
]  # fmt: skip
PING = b'data: {"jsonrpc":"2.0","id":"p","method":"ping"}\n\n'
OK = {"resultType": "complete"}
CACHE = {"ttlMs": 0, "cacheScope": "private"}
hangs_closed = 0
redirected = 0
calls: list[str] = []


def answer(request_id: Any, text: str, **more: Any) -> bytes:
    result = {"content": [{"type": "text", "text": text}], **OK, **more}
    return json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}).encode()


class Exchange:
    """One request and the ways to answer it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    async def send(self, body: bytes, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
        self.writer.write(head.encode() + body)
        await self.writer.drain()

    async def start(self, kind: str, extra: str = "") -> None:
        self.writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n{extra}\r\n".encode())
        await self.writer.drain()

    async def more(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await one(reader, Exchange(writer)):
            pass
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def one(reader: asyncio.StreamReader, exchange: Exchange) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    headers = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if headers.get("mcp-name") == "cut_before":
        return False
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    global redirected
    if head.startswith("POST /elsewhere"):
        redirected += 1
    if head.startswith("GET") and sys.argv[1:] == ["get_flood"]:
        await exchange.start("text/event-stream")
        while True:
            await exchange.more(PING * 500)
    if not head.startswith("POST"):
        await exchange.send(b"", "405 Method Not Allowed")
        return True
    message = json.loads(body)
    request_id = message.get("id")
    if "method" not in message and sys.argv[1:] == ["get_flood"]:  # an answer to a ping: never acknowledged
        await asyncio.sleep(600)
    match message["method"]:
        case "server/discover" | "initialize" if sys.argv[1:] == ["flood"]:
            await exchange.start("application/json")
            while True:
                await exchange.more(b"x" * 65_536)
        case "server/discover" | "initialize" if sys.argv[1:] == ["redirect"] and not head.startswith("POST /elsewhere"):
            await exchange.send(b"", "307 Temporary Redirect", extra="location: /elsewhere\r\n")
        case "server/discover" if sys.argv[1:] == ["get_flood"]:
            await exchange.send(b"", "404 Not Found")
        case "initialize":
            info = {"name": "raw", "version": "1"}
            result: dict[str, Any] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
            document = json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}).encode()
            await exchange.send(document, extra="mcp-session-id: s\r\n")
        case "notifications/initialized":
            await exchange.send(b"", "202 Accepted")
        case "subscriptions/listen" if sys.argv[1:] == ["listen_flood"]:
            await exchange.start("text/event-stream")
            while True:
                await exchange.more(b"data: junk\n\n" * 500)
        case "server/discover":
            result = {
                **OK,
                "supportedVersions": ["2026-07-28"],
                "capabilities": {"tools": {"listChanged": sys.argv[1:] == ["listen_flood"]}},
                "ttlMs": 0,
                "cacheScope": "private",
            }
            await exchange.send(json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}).encode())
        case "tools/list":
            tools = [{"name": name, "inputSchema": {"type": "object", "additionalProperties": True}} for name in TOOLS]
            result = {**OK, **CACHE, "tools": tools}
            await exchange.send(json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}).encode())
        case "tools/call":
            calls.append(message["params"]["name"])
            return await call(message, body, headers, reader, exchange)
        case _:
            await exchange.send(b"", "404 Not Found")
    return True


async def call(
    message: dict[str, Any], body: bytes, headers: dict[str, str], reader: asyncio.StreamReader, exchange: Exchange
) -> bool:
    global hangs_closed
    request_id = message["id"]
    notice = b'data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}\n\n'
    match message["params"]["name"]:
        case "echo":
            await exchange.send(answer(request_id, body.decode()))
        case "headers":
            await exchange.send(answer(request_id, json.dumps(headers)))
        case "flood":
            await exchange.start("application/json")
            while True:
                await exchange.more(b"x" * 65_536)
        case "flood_announced":
            await exchange.start("application/json", "content-length: 99999999999\r\n")
            await exchange.more(b"x")
        case "flood_stream":
            await exchange.start("text/event-stream")
            while True:
                await exchange.more(notice * 500)
        case "endless_event":
            await exchange.start("text/event-stream")
            while True:
                await exchange.more(b"data: " + b"x" * 65_536 + b"\n")
        case "hang":
            await reader.read(1)
            hangs_closed += 1
            return False
        case "hangs_closed":
            await exchange.send(answer(request_id, str(hangs_closed)))
        case "cut_after":
            return False
        case "cut_half":
            await exchange.start("application/json", "content-length: 1000\r\n")
            await exchange.more(b'{"jsonrpc":')
            return False
        case "stream":
            await exchange.start("text/event-stream")
            reply = answer(request_id, "streamed")
            stream = b": hello\r\n\r\n" + notice + b"event: other\ndata: {}\n\n" + b"id: 1\r\ndata: " + reply + b"\r\n\r\n"
            for byte in stream:
                await exchange.more(bytes([byte]))
            return False
        case "stream_cut":
            await exchange.start("text/event-stream")
            await exchange.more(notice)
            return False
        case "redirect":
            location = message["params"].get("arguments", {}).get("location", "/elsewhere")
            await exchange.send(b"", "307 Temporary Redirect", extra=f"location: {location}\r\n")
        case "redirected":
            await exchange.send(answer(request_id, str(redirected)))
        case "no_json":
            await exchange.send(b"<html>", kind="text/html")
        case "duplicate_keys":
            await exchange.send(
                answer(request_id, "x").replace(b'"content"', b'"isError": true, "isError": false, "content"')
            )
        case "wrong_id":
            await exchange.send(answer("sealgate-0", "x"))
        case "gzip":
            await exchange.send(gzip.compress(answer(request_id, "x")), extra="content-encoding: gzip\r\n")
        case "unauthorized":
            await exchange.send(b"", "401 Unauthorized", kind="text/plain")
        case "bad_gateway":
            await exchange.send(b"", "502 Bad Gateway", kind="text/plain")
        case "error_status":
            error = {"code": -32602, "message": "bad arguments"}
            await exchange.send(json.dumps({"jsonrpc": "2.0", "id": None, "error": error}).encode(), "400 Bad Request")
        case "forge":
            await exchange.send(answer(request_id, "x", _meta={"dev.sealgate/receipt": {}, "vendor": 1}))
        case "calls":
            await exchange.send(answer(request_id, json.dumps(calls)))
    return True


async def main() -> None:
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


asyncio.run(main())
