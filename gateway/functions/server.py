"""The MCP server of one module. Functions that are not async run in threads, so that one that waits holds up no other."""

import inspect
import json
import os
import sys
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

import anyio
import anyio.to_thread
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, Tool
from pydantic import ValidationError

from gateway import __version__
from gateway.functions.module import FunctionTool, load_module, tools_of
from gateway.functions.signature import Unusable
from sealgate import ToolError


async def serve(name: str) -> None:
    """Until stdin ends. The module is imported when stdout is out of its reach: it would write into the protocol."""
    async with stdio_server() as (read, write):  # whatever prints from here on prints to stderr
        try:
            tools = tools_of(load_module(name))
        except Unusable as error:
            _give_up(f"{name}: {error}\n")
        except Exception:  # noqa: BLE001 - a module may raise anything
            _give_up(traceback.format_exc())
        server = _server(tools)
        await server.run(read, write, server.create_initialization_options())


def _give_up(why: str) -> NoReturn:
    """End the process at once: a thread that waits for stdin would keep it until that ends."""
    sys.stderr.write(why)
    sys.stderr.flush()
    os._exit(1)


def _server(tools: Mapping[str, FunctionTool]) -> Server[Any]:
    listed = ListToolsResult(tools=[Tool.model_validate(tool.definition) for tool in tools.values()])

    async def on_list_tools(context: Any, params: Any) -> ListToolsResult:
        return listed

    async def on_call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(INVALID_PARAMS, "There is no tool of this name.")
        return await _call(tool, params.name, params.arguments or {})

    return Server(
        "sealgate-functions",
        version=__version__,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
        get_tool_input_schema=lambda name: tools[name].definition["inputSchema"] if name in tools else None,
    )


async def _call(tool: FunctionTool, name: str, arguments: dict[str, Any]) -> CallToolResult:
    try:
        given = tool.signature.read(arguments)
    except ValidationError as error:
        where = {"/".join(map(str, problem["loc"])) or "arguments": problem["type"] for problem in error.errors()}
        return _failed("; ".join(f"{place}: {kind}" for place, kind in where.items()))  # values are not quoted
    try:
        if inspect.iscoroutinefunction(tool.function):
            value = await tool.function(**given)
        else:
            value = await anyio.to_thread.run_sync(partial(tool.function, **given))
        written = tool.signature.written(value)
    except ToolError as error:
        return _failed(str(error))
    except Exception:  # noqa: BLE001 - its text may hold what the agent must not see
        traceback.print_exc()
        return _failed(f"{name} failed.")
    text = written if isinstance(written, str) else json.dumps(written, ensure_ascii=False)
    structured = written if tool.signature.output_schema is not None else None
    content = [] if value is None else [TextContent(type="text", text=text)]
    return CallToolResult(content=list(content), structured_content=structured)


def _failed(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=True)
