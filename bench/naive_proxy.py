"""What one would write in an afternoon: the SDK's low-level Server in front of one connected SDK Client.

It governs nothing. Two things are better than a first draft would have them, so that the comparison is fair: the client
is connected once and reused, and the tools are listed once (else the SDK lists them again for every call).
Run it as `python -m bench.naive_proxy PORT UPSTREAM_URL`.
"""

import sys
from collections.abc import Mapping
from typing import Any

import uvicorn
import uvloop
from mcp import Client
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, PaginatedRequestParams


async def main(port: int, upstream: str) -> None:
    """Serve until stopped."""
    async with Client(upstream) as client:
        listed = await client.list_tools()
        schemas: dict[str, Mapping[str, Any]] = {tool.name: tool.input_schema for tool in listed.tools}

        async def list_tools(context: ServerRequestContext[Any], params: PaginatedRequestParams | None) -> ListToolsResult:
            return listed

        async def call_tool(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
            return await client.call_tool(params.name, params.arguments)

        server: Server[Any] = Server(
            "naive", get_tool_input_schema=schemas.get, on_list_tools=list_tools, on_call_tool=call_tool
        )
        app = server.streamable_http_app()
        await uvicorn.Server(uvicorn.Config(app, port=port, http="httptools", log_level="warning", access_log=False)).serve()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
