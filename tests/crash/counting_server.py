"""An upstream whose effects can be counted: each call appends its key to a file, durably, and only then answers.

    python counting_server.py PORT FILE

`slow_effect` does so and answers only when FILE.go is there. It is a process of its own, so that it lives on when the
gateway is killed.
"""

import asyncio
import os
import sys
from typing import Any

import uvicorn
from mcp.server.lowlevel import Server
from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool

SCHEMA = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"], "additionalProperties": False}


def main(port: int, path: str) -> None:
    effects = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
        names = ("effect", "slow_effect")
        return ListToolsResult(
            tools=[Tool(name=name, description="Once, one hopes.", input_schema=SCHEMA) for name in names]
        )

    async def call_tool(_context: Any, params: Any) -> CallToolResult:
        await asyncio.sleep(0.002)
        os.write(effects, f"{params.arguments['key']}\n".encode())
        os.fsync(effects)
        while params.name == "slow_effect" and not os.path.exists(f"{path}.go"):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.002)
        return CallToolResult(content=[TextContent(type="text", text=f"done {params.arguments['key']}")])

    server: Server[Any] = Server("count", on_list_tools=list_tools, on_call_tool=call_tool)
    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
