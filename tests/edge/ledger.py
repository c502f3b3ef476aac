"""A tool server on the official SDK, whose effects can be counted, looked up and undone. -m tests.edge.ledger <folder>.

`pay` and `refund` write a line `<tool> <order>` to the file `rows`; then what the order's name begins with counts:
`hang-…` is never answered, `refuse-…` is answered with the tool's own error. `status` tells from the file whether a lost
call was done, with the result it would have had; `hang-vague-…` it does not know, about `hang-odd-…` it says something else,
and of `hang-refuse-…` that it was answered with an error. `asked` has a line for each question.
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
ORDER = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}
LOST = {"type": "object", "properties": {"tool": {"type": "string"}, "arguments": {"type": "object"}}}
BLIND = {"type": "object", "properties": {"envelope_id": {"type": "string"}}}
PAYING = {"pay": ORDER, "refund": ORDER, "book": ORDER, "charge": ORDER}
TOOLS = PAYING | {"status": LOST, "blind_status": BLIND, "kept_status": LOST}


def note(file: str, line: str) -> None:
    with (FOLDER / file).open("a") as out:
        out.write(line + "\n")


async def on_list_tools(context: Any, params: Any) -> Any:
    tools = [{"name": name, "inputSchema": schema} for name, schema in TOOLS.items()]
    return {"tools": tools, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def on_call_tool(context: Any, params: Any) -> Any:
    said = params.arguments or {}
    if params.name.endswith("status"):
        note("asked", json.dumps(said, sort_keys=True))
        return status(said)
    order = said["order"]
    note("rows", f"{params.name} {order}")
    if "hang-" in order:
        await anyio.sleep_forever()
    return done(params.name, order) | ({"isError": True} if order.startswith("refuse-") else {})


def status(said: dict[str, Any]) -> dict[str, Any]:
    order = said.get("arguments", {}).get("order", "")
    if order.startswith("hang-vague-") or "tool" not in said:
        return told({"status": "unknown"})
    if order.startswith("hang-odd-"):
        return told({"status": "completed", "result": {"content": "no list"}})
    line = f"{said['tool']} {order}"
    if line in (FOLDER / "rows").read_text().splitlines() and not order.startswith("hang-not-"):
        error = {"isError": True} if order.startswith("hang-refuse-") else {}
        return told({"status": "completed", "result": done(said["tool"], order) | error})
    return told({"status": "failed"})


def told(structured: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "text", "text": json.dumps(structured)}
    return {"content": [text], "structuredContent": structured, "resultType": "complete"}


def done(tool: str, order: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": f"{tool}: {order}"}], "resultType": "complete"}


server: Server[Any] = Server("ledger", on_list_tools=on_list_tools, on_call_tool=on_call_tool)


async def main() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


asyncio.run(main())
