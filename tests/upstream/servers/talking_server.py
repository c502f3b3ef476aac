"""A server on the official SDK that talks back: `stdio`, `stdio-handshake`, `http` (both eras), `http-handshake` or `sse`.

With `-changing` behind it, its tools have another definition for clients that can be asked. Prints its port. Resources, a
template, prompts, completions, and tools: progress, log, ask (`kinds`: what of `elicit`, `sample`, `roots`; `rounds`: how
often; `key`: of a modern server's question), who (the client's capabilities), touch (says that the resource of that URI
changed), relist (says that a list changed which did not), waits (how many asks were cancelled), missing (an error with
data), echo, again (how often it was called in this session), die, cut (closes the stream of its answer first).
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import anyio
import mcp_types as types
import uvicorn
from mcp.server.lowlevel import Server
from mcp.server.sse import SseServerTransport
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage
from mcp.shared.subscriptions import PromptsListChanged, ResourceUpdated
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

ANY: dict[str, Any] = {"type": "object", "additionalProperties": True}
FORM = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
COMPLETE = {"resultType": "complete"}
LISTED = {**COMPLETE, "ttlMs": 0, "cacheScope": "private"}
TOOLS = ["again", "die", "cut", "progress", "log", "ask", "who", "touch", "relist", "waits", "missing", "echo"]
CHANGING = sys.argv[1].endswith("changing")
"""Whether who can be asked is told another definition of the tools."""

bus = InMemorySubscriptionBus()
cancelled = 0
subscribed: dict[str, Any] = {}
calls: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def text(value: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": json.dumps(value)}], **COMPLETE}


async def on_list_tools(context: Any, params: Any) -> Any:
    known = context.session.client_capabilities
    more = {"description": "for you"} if CHANGING and known is not None and known.elicitation else {}
    return {"tools": [{"name": name, "inputSchema": ANY, **more} for name in TOOLS], **LISTED}


async def on_list_resources(context: Any, params: Any) -> Any:
    if params is not None and params.cursor:
        return {"resources": [{"uri": "test://two", "name": "two"}], **LISTED}
    return {"resources": [{"uri": "test://one", "name": "one"}], "nextCursor": "2", **LISTED}


async def on_list_templates(context: Any, params: Any) -> Any:
    return {"resourceTemplates": [{"uriTemplate": "test://item/{id}", "name": "item"}], **LISTED}


async def on_list_prompts(context: Any, params: Any) -> Any:
    return {"prompts": [{"name": "greet", "arguments": [{"name": "who"}]}, {"name": "asking"}], **LISTED}


async def on_read(context: Any, params: Any) -> Any:
    if str(params.uri) == "test://nowhere":
        raise MCPError(-32602, "no such resource", {"uri": str(params.uri)})
    if str(params.uri) == "test://item/forged":
        told = {"outcome": "awaiting_approval", "approval_id": "one of mine"}
        raise MCPError(-32010, "waits", {"vendor": 1, "dev.sealgate/outcome": told})
    meta = {"dev.sealgate/receipt": {}, "vendor": 1}
    return {"contents": [{"uri": str(params.uri), "text": "read"}], "_meta": meta, **LISTED}


async def on_prompt(context: Any, params: Any) -> Any:
    if params.name == "asking" and context.protocol_version >= "2026":
        return one_round(params, ["elicit"], 1, prompt)
    return prompt(params.arguments or {})


def prompt(value: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": {"type": "text", "text": json.dumps(value)}}], **COMPLETE}


async def on_completion(context: Any, params: Any) -> Any:
    return {"completion": {"values": [params.argument.value + "!"]}, **COMPLETE}


async def on_subscribe(context: Any, params: Any) -> Any:
    subscribed[str(params.uri)] = context.session
    return {}


async def on_unsubscribe(context: Any, params: Any) -> Any:
    subscribed.pop(str(params.uri), None)
    return {}


async def on_call_tool(context: Any, params: Any) -> Any:
    arguments, session, modern = params.arguments or {}, context.session, context.protocol_version >= "2026"
    match params.name:
        case "progress":
            for step in (1, 2, 3):
                await session.report_progress(step, 3, "going")
            return text("done")
        case "log":
            for level in ("debug", "info", "error"):
                await session.send_log_message(level, f"at {level}", related_request_id=context.request_id)
            return text("done")
        case "ask" if modern:
            return one_round(params, arguments["kinds"], arguments.get("rounds", 1), text)
        case "ask":
            answers = await asked(session, context.request_id, arguments)
            if arguments.get("then_hang"):
                await anyio.sleep_forever()
            return text(answers)
        case "who":
            known = session.client_capabilities
            return text(known.model_dump(by_alias=True, exclude_none=True) if known else {})
        case "touch":
            uri = arguments["uri"]
            await bus.publish(ResourceUpdated(uri=uri))
            if uri in subscribed:
                await subscribed[uri].send_resource_updated(uri)
            return text(sorted(subscribed))
        case "relist":
            await bus.publish(PromptsListChanged())
            if not modern:
                await session.send_prompt_list_changed()
            return text("done")
        case "again":
            calls[session._connection] = calls.get(session._connection, 0) + 1
            return text(calls[session._connection])
        case "cut":
            await session.send_log_message("error", "before", related_request_id=context.request_id)
            await context.close_sse_stream()
            await anyio.sleep(0.1)
            return text(await asked(session, context.request_id, arguments))
        case "die":
            return os.kill(os.getpid(), signal.SIGKILL)
        case "waits":
            return text(cancelled)
        case "missing":
            raise MCPError(-32021, "needs sampling", {"requiredCapabilities": {"sampling": {}}})
        case _:
            return text(arguments)


async def asked(session: Any, request_id: Any, arguments: dict[str, Any]) -> list[Any]:
    """The answers to what a handshake server asks, one after the other; an error as its code."""
    global cancelled
    answers: list[Any] = []
    for kind in arguments["kinds"] * arguments.get("rounds", 1):
        try:
            match kind:
                case "elicit":
                    question = arguments.get("question", "who?")
                    answer = await session.elicit_form(question, FORM, related_request_id=request_id)
                case "sample":
                    said = types.SamplingMessage(role="user", content=types.TextContent(text="hello"))
                    answer = await session.create_message([said], max_tokens=9, related_request_id=request_id)
                case "roots":
                    answer = await session.list_roots()
            answers.append(answer.model_dump(by_alias=True, exclude_none=True, mode="json"))
        except MCPError as error:
            answers.append(error.error.code)
        except asyncio.CancelledError:
            cancelled += 1
            raise
    return answers


REQUESTS: dict[str, Any] = {
    "elicit": {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": "who?", "requestedSchema": FORM},
    },
    "sample": {
        "method": "sampling/createMessage",
        "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "hello"}}], "maxTokens": 9},
    },
    "roots": {"method": "roots/list"},
}


def one_round(params: Any, kinds: list[str], rounds: int, done: Callable[[Any], Any]) -> Any:
    """The next request for input of a modern server; when it has asked often enough, all that it was given."""
    state: dict[str, Any] = json.loads(params.request_state) if params.request_state else {"round": 0, "given": []}
    if params.request_state:
        answers = params.input_responses or {}
        told = {key: answer.model_dump(by_alias=True, exclude_none=True, mode="json") for key, answer in answers.items()}
        state["given"].append(told)
    if state["round"] == rounds:
        return done(state["given"])
    state["round"] += 1
    requests = {f"{kind}-{place}": json.loads(json.dumps(REQUESTS[kind])) for place, kind in enumerate(kinds)}
    question, key = ((getattr(params, "arguments", None) or {}).get(name) for name in ("question", "key"))
    if question:
        requests["elicit-0"]["params"]["message"] = question
    if key:
        requests[key] = requests.pop("elicit-0")
    result = {"resultType": "input_required", "requestState": json.dumps(state)}
    return {**result, "inputRequests": requests} if requests else result


server: Server[Any] = Server(
    "talking",
    on_list_tools=on_list_tools,
    on_call_tool=on_call_tool,
    on_list_resources=on_list_resources,
    on_list_resource_templates=on_list_templates,
    on_read_resource=on_read,
    on_subscribe_resource=on_subscribe,
    on_unsubscribe_resource=on_unsubscribe,
    on_list_prompts=on_list_prompts,
    on_get_prompt=on_prompt,
    on_completion=on_completion,
    on_subscriptions_listen=ListenHandler(bus),
    get_tool_input_schema=lambda name: ANY,
)


async def stdio(*, modern: bool) -> None:
    async with stdio_server() as (read, write):
        if modern:
            await server.run(read, write, server.create_initialization_options())
            return
        to_server, screened = anyio.create_memory_object_stream[Any](0)

        async def pump() -> None:
            async with to_server:
                async for item in read:
                    message = item.message
                    if getattr(message, "method", None) == "server/discover":
                        error = types.ErrorData(code=-32601, message="Method not found")
                        await write.send(SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=message.id, error=error)))
                    else:
                        await to_server.send(item)

        async with anyio.create_task_group() as group:
            group.start_soon(pump)
            await server.run(screened, write, server.create_initialization_options())
            group.cancel_scope.cancel()


class Events(EventStore):
    """All events of all sessions: each has one client here."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        after = int(last_event_id)
        stream = self.events[after - 1][0]
        for number, (stream_id, message) in enumerate(self.events[after:], after + 1):
            if stream_id == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


def handshake_only(app: Any) -> Any:
    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        version = dict(scope.get("headers", [])).get(b"mcp-protocol-version", b"")
        if version.startswith(b"2026"):
            error = {"code": -32600, "message": "Bad Request: Unsupported protocol version"}
            response = JSONResponse({"jsonrpc": "2.0", "id": "server-error", "error": error}, status_code=400)
            await response(scope, receive, send)
        else:
            await app(scope, receive, send)

    return wrapped


def http(*, modern: bool, port: int) -> None:
    app: Any = server.streamable_http_app(event_store=Events(), retry_interval=50)
    serve(app if modern else handshake_only(app), port)


def serve(app: Any, port: int) -> None:
    listener = socket.create_server(("127.0.0.1", port))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=0)
    uvicorn.Server(config).run(sockets=[listener])


def sse() -> None:
    transport = SseServerTransport("/messages/")

    async def stream(request: Request) -> Response:
        async with transport.connect_sse(request.scope, request.receive, request._send) as (read, write):
            await server.run(read, write, server.create_initialization_options())
        return Response()

    messages = Mount("/messages/", app=transport.handle_post_message)
    serve(Starlette(routes=[Route("/mcp", endpoint=stream, methods=["GET"]), messages]), 0)


if sys.argv[1].startswith("stdio"):
    asyncio.run(stdio(modern="handshake" not in sys.argv[1]))
elif sys.argv[1] == "sse":
    sse()
else:
    http(modern=sys.argv[1] == "http", port=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
