"""Tools, resources, prompts, completions, logging and subscriptions as one server on the SDK's low-level class."""

from collections.abc import Mapping
from typing import Any

from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import PromptsListChanged, ResourceUpdated, ToolsListChanged
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CompleteRequestParams,
    EmptyResult,
    GetPromptRequestParams,
    ReadResourceRequestParams,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from tests.conformance.everything.asking_tools import ASKING_TOOLS
from tests.conformance.everything.call import Call, Context, InputNeeded
from tests.conformance.everything.offers import PROMPTS, RESOURCES, TEMPLATES, WATCHED, completed, read
from tests.conformance.everything.plain_tools import PLAIN_TOOLS, Tool, ToolFailed, text_block

NAME = "everything"


def build() -> Server[Any]:
    """A server with a state of its own."""
    bus = InMemorySubscriptionBus()
    watched: set[tuple[str | None, str]] = set()
    quiet: set[str | None] = set()

    async def change_tools(call: Call) -> str:
        """Says that the list changed, as a server does whose tools come and go; by then it is as it was."""
        await bus.publish(ToolsListChanged())
        if not _modern(call.context):
            await call.context.session.send_tool_list_changed()
        return "The tools have changed, and changed back."

    async def change_prompts(call: Call) -> str:
        await bus.publish(PromptsListChanged())
        if not _modern(call.context):
            await call.context.session.send_prompt_list_changed()
        return "The prompts have changed, and changed back."

    async def change_resource(call: Call) -> str:
        await bus.publish(ResourceUpdated(uri=WATCHED))
        if (_session(call.context), WATCHED) in watched:
            await call.context.session.send_resource_updated(WATCHED)
        return "The watched resource has changed."

    changing = (
        Tool("test_trigger_tool_change", "Announces that the tools changed.", change_tools),
        Tool("test_trigger_prompt_change", "Announces that the prompts changed.", change_prompts),
        Tool("test_trigger_resource_change", "Announces that the watched resource changed.", change_resource),
    )
    tools = {tool.name: tool for tool in (*PLAIN_TOOLS, *ASKING_TOOLS, *changing)}
    prompts = {prompt.name: prompt for prompt in PROMPTS}

    async def list_tools(context: Context, params: Any) -> Any:
        return _page(context, "tools", [tool.listed() for tool in tools.values()])

    async def call_tool(context: Context, params: CallToolRequestParams) -> Any:
        if params.name not in tools:
            raise MCPError(INVALID_PARAMS, f"There is no tool {params.name}.")
        try:
            said = await tools[params.name].run(Call(context, params, _session(context) in quiet))
        except InputNeeded as needed:
            return needed.result
        except ToolFailed as failed:
            return _complete(context, {"content": [text_block(str(failed))], "isError": True})
        return _complete(context, {"content": [text_block(said)] if isinstance(said, str) else said})

    def input_schema(name: str) -> Mapping[str, Any] | None:
        return tools[name].schema if name in tools else None

    async def list_resources(context: Context, params: Any) -> Any:
        return _page(context, "resources", [dict(resource) for resource in RESOURCES])

    async def list_templates(context: Context, params: Any) -> Any:
        return _page(context, "resourceTemplates", [dict(template) for template in TEMPLATES])

    async def read_resource(context: Context, params: ReadResourceRequestParams) -> Any:
        return _page(context, "contents", [read(str(params.uri))])

    async def subscribe(context: Context, params: SubscribeRequestParams) -> EmptyResult:
        watched.add((_session(context), str(params.uri)))
        return EmptyResult()

    async def unsubscribe(context: Context, params: UnsubscribeRequestParams) -> EmptyResult:
        watched.discard((_session(context), str(params.uri)))
        return EmptyResult()

    async def list_prompts(context: Context, params: Any) -> Any:
        return _page(context, "prompts", [prompt.listed() for prompt in prompts.values()])

    async def get_prompt(context: Context, params: GetPromptRequestParams) -> Any:
        if params.name not in prompts:
            raise MCPError(INVALID_PARAMS, f"There is no prompt {params.name}.")
        try:
            return _complete(context, await prompts[params.name].get(Call(context, params)))
        except InputNeeded as needed:
            return needed.result

    async def complete(context: Context, params: CompleteRequestParams) -> Any:
        return _complete(context, {"completion": completed(params.argument.value)})

    async def set_level(context: Context, params: SetLevelRequestParams) -> EmptyResult:
        """Everything that is logged here is of level info."""
        (quiet.discard if params.level in ("debug", "info") else quiet.add)(_session(context))
        return EmptyResult()

    server: Server[Any] = Server(
        NAME,
        version="1",
        get_tool_input_schema=input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=subscribe,
        on_unsubscribe_resource=unsubscribe,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=list_prompts,
        on_get_prompt=get_prompt,
        on_completion=complete,
    )
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


def _modern(context: Context) -> bool:
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def _session(context: Context) -> str | None:
    """The handshake session, over HTTP; over stdio there is one."""
    headers = getattr(context.request, "headers", None)
    session: str | None = headers.get("mcp-session-id") if headers is not None else None
    return session


def _complete(context: Context, result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "resultType": "complete"} if _modern(context) else result


def _page(context: Context, name: str, items: list[Any]) -> dict[str, Any]:
    """A list that may be kept for a second, by its caller alone (SEP-2549)."""
    return _complete(context, {name: items, **({"ttlMs": 1_000, "cacheScope": "private"} if _modern(context) else {})})
