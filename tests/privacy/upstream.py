"""The tool server behind the gateway in these tests: stdio, on the official SDK. Usage: -m tests.privacy.upstream <folder>.

Its schemas mark fields as sensitive. `calls` in the folder has a line per call that reached it, with its arguments;
`profile.json` is what `profile` tells.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from gateway.loading import loading

with loading():
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

FOLDER = Path(sys.argv[1])
SENSITIVE = {"type": "string", "x-sealgate-sensitive": True}
TEXT = {"type": "string"}
LOGIN = {
    "type": "object",
    "properties": {
        "user": TEXT,
        "password": SENSITIVE,
        "device": {"type": "object", "properties": {"label": TEXT, "pin": {"$ref": "#/$defs/pin"}}},
        "answers": {"type": "array", "items": {"allOf": [{"type": "string"}, SENSITIVE]}},
    },
    "$defs": {"pin": {"type": "integer", "x-sealgate-sensitive": True}},
}
PROFILE = {
    "type": "object",
    "properties": {
        "name": TEXT,
        "ssn": SENSITIVE,
        "cards": {"type": "array", "items": {"type": "object", "properties": {"label": TEXT, "number": SENSITIVE}}},
    },
}
TOOLS: list[dict[str, Any]] = [
    {"name": "login", "inputSchema": LOGIN},
    {"name": "drop", "inputSchema": LOGIN},
    {"name": "note", "inputSchema": {"type": "object", "properties": {"text": TEXT}, "additionalProperties": True}},
    {"name": "read", "inputSchema": {"type": "object", "properties": {"text": TEXT}}},
    {"name": "profile", "inputSchema": {"type": "object", "properties": {"of": TEXT}}, "outputSchema": PROFILE},
]


async def on_list_tools(context: Any, params: Any) -> Any:
    return {"tools": TOOLS, "resultType": "complete", "ttlMs": 0, "cacheScope": "private"}


async def on_call_tool(context: Any, params: Any) -> Any:
    arguments = params.arguments or {}
    with (FOLDER / "calls").open("a") as calls:
        calls.write(json.dumps([params.name, arguments]) + "\n")
    if params.name == "profile":
        text = (FOLDER / "profile.json").read_text()
        profile = json.loads(text)
        return {"content": [{"type": "text", "text": text}], "structuredContent": profile, "resultType": "complete"}
    said = f"{params.name} did {json.dumps(arguments)}"
    return {"content": [{"type": "text", "text": said}], "resultType": "complete"}


async def main() -> None:
    server: Server[Any] = Server("desk", on_list_tools=on_list_tools, on_call_tool=on_call_tool)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


asyncio.run(main())
