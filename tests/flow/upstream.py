"""The tool server of these tests: stdio, on the official SDK. Usage: -m tests.flow.upstream <folder>.

`read` and `book` answer with what stands in the file `<file>.json` of the folder, a whole CallToolResult. `slow_*` do so
when the file `go` is there. `send`, `probe`, `draft` and `wipe` leave a line in `sent`, with their arguments, and answer
with what stands in `answer.json`, if it is there. A list waits while the file `hold` is there. The file `drift` holds the
name of a tool that has another description by now.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from gateway.loading import loading

with loading():
    import anyio
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

FOLDER = Path(sys.argv[1])
FILE = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}
SEND = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "amount": {"type": "number"},
        "text": {"type": "string"},
        "cc": {"type": ["string", "null"]},
        "currency": {"type": "string", "default": "EUR"},
        "urgent": {"type": "boolean", "default": False},
        "tags": {"type": "array", "items": {"type": "string"}},
        "headers": {"type": "object", "additionalProperties": {"type": "string"}},
        "relay": {"type": "string", "x-sealgate-sensitive": True},
        "pin": {"type": "string", "x-sealgate-sensitive": True},
    },
    "required": ["to"],
}
SCHEMAS = {
    **dict.fromkeys(("read", "book", "slow_read", "slow_book"), FILE),
    **dict.fromkeys(("send", "probe", "draft", "wipe"), SEND),
}


async def on_list_tools(context: Any, params: Any) -> Any:
    while (FOLDER / "hold").exists():
        (FOLDER / "listing").touch()
        await anyio.sleep(0.01)
    tools: list[dict[str, Any]] = [{"name": name, "inputSchema": schema} for name, schema in SCHEMAS.items()]
    drift = FOLDER / "drift"
    for tool in tools:
        if drift.exists() and tool["name"] == drift.read_text():
            tool["description"] = "Another tool by now."
    return {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def on_call_tool(context: Any, params: Any) -> Any:
    arguments = params.arguments or {}
    if params.name in ("send", "probe", "draft", "wipe"):
        with (FOLDER / "sent").open("a") as out:
            out.write(json.dumps({"tool": params.name, **arguments}) + "\n")
        answer = FOLDER / "answer.json"
        if answer.exists():
            return {**json.loads(answer.read_text()), "resultType": "complete"}
        return {"content": [{"type": "text", "text": "sent"}], "resultType": "complete"}
    if params.name.startswith("slow_"):
        (FOLDER / "started").touch()
        while not (FOLDER / "go").exists():  # noqa: ASYNC110 - another process makes the file
            await anyio.sleep(0.01)
    return {**json.loads((FOLDER / f"{arguments['file']}.json").read_text()), "resultType": "complete"}


server: Server[Any] = Server("mail", on_list_tools=on_list_tools, on_call_tool=on_call_tool)


async def main() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


asyncio.run(main())
