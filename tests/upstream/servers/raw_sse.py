"""An HTTP+SSE server without any library, hostile in the way its argument says. Prints its port."""

import asyncio
import json
import sys
from typing import Any

MODE = sys.argv[1]
TOOLS = ["echo", "huge", "malformed", "cut", "refuse", "elsewhere", "flood_asks"]
streams: list[asyncio.StreamWriter] = []
posted: list[dict[str, Any]] = []
calls: list[asyncio.Task[None]] = []
answered = asyncio.Semaphore(0)


async def event(data: str, kind: str = "message") -> None:
    streams[-1].write(f"event: {kind}\ndata: {data}\n\n".encode())
    await streams[-1].drain()


async def answer(request_id: Any, result: dict[str, Any]) -> None:
    await event(json.dumps({"jsonrpc": "2.0", "id": request_id, "result": result}))


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            if head[0].startswith("GET"):
                await stream(reader, writer)
                return
            await post(json.loads(body), writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if MODE == "redirect":
        writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n")
        return
    kind = "text/html" if MODE == "html" else "text/event-stream"
    writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n\r\n".encode())
    streams.append(writer)
    endpoints = {"foreign": "http://example.com/post", "other_port": "http://127.0.0.1:1/post", "long": "/" + "x" * 5000}
    if MODE != "silent":
        await event(endpoints.get(MODE, "/post"), "endpoint")
    if MODE == "twice":
        await event("/post2", "endpoint")
    await reader.read(1)


async def post(message: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    posted.append(message)
    name = message.get("params", {}).get("name")
    status = "403 Forbidden" if name == "refuse" else "307 Temporary Redirect" if name == "elsewhere" else "202 Accepted"
    writer.write(f"HTTP/1.1 {status}\r\nlocation: /other\r\ncontent-length: 0\r\n\r\n".encode())
    await writer.drain()
    match message.get("method"):
        case "initialize":
            server = {"name": "old", "version": "1"}
            result = {"protocolVersion": "2024-11-05", "capabilities": {"tools": {}}, "serverInfo": server}
            await answer(message["id"], result)
        case "tools/list":
            tools = [{"name": tool, "inputSchema": {"type": "object", "additionalProperties": True}} for tool in TOOLS]
            await answer(message["id"], {"tools": tools})
        case "tools/call":
            calls.append(asyncio.create_task(call(message["id"], name)))  # its connection may bring more meanwhile
        case None:
            answered.release()


async def call(request_id: Any, name: str) -> None:
    result = {"content": [{"type": "text", "text": json.dumps(posted[-1]) if name == "echo" else "x"}]}
    match name:
        case "huge":
            await event("x" * 2_000_000)
        case "malformed":
            await event("this is no JSON")
            await event('{"jsonrpc":"2.0","id":null,"result":{}}')
            await answer(request_id, result)
        case "cut":
            streams[-1].close()
        case "flood_asks":
            for number in range(100):
                await event(json.dumps({"jsonrpc": "2.0", "id": number, "method": "elicitation/create", "params": {}}))
            for _ in range(84):
                await answered.acquire()
            told = [message["error"]["code"] for message in posted if "error" in message]
            await answer(request_id, {"content": [{"type": "text", "text": json.dumps(told)}]})
        case _:
            await answer(request_id, result)


async def main() -> None:
    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


asyncio.run(main())
