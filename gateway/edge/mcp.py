"""MCP ⇄ core. Built on the SDK's low-level server, which serves both eras.

What a request asks is read in `meta.py`, names are resolved in `routes.py`, lists are made in `listing.py`; what comes out
of the pipeline is worded in `replies.py`. What upstreams tell and ask meanwhile is in `telling.py`, `conversation.py` and
`parking.py`.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.shared.exceptions import MCPDeprecationWarning, MCPError
from mcp_types import (
    CallToolRequestParams,
    CompleteRequestParams,
    GetPromptRequestParams,
    NotificationParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    SetLevelRequestParams,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    UnsubscribeRequestParams,
)

from gateway import __version__
from gateway.core.call import ToolRequest
from gateway.core.capability import SEPARATOR, Capability
from gateway.core.catalog import Catalog
from gateway.core.errors import GatewayError, Overloaded
from gateway.core.method import Method
from gateway.core.outcome import AwaitingApproval, Outcome
from gateway.core.run_context import RunContext
from gateway.edge.auth import ASKING, Caller
from gateway.edge.conversation import HandshakeConversation
from gateway.edge.elicitation import APPROVAL, Elicitation
from gateway.edge.feed import MAX_SUBSCRIPTIONS_PER_CLIENT, Feed
from gateway.edge.letting_go import letting_go
from gateway.edge.levels import Levels
from gateway.edge.listing import Lists, is_own
from gateway.edge.meta import (
    INVALID_PARAMS,
    Context,
    is_modern,
    meta_of,
    request_of,
    run_context,
    session_id_of,
)
from gateway.edge.parking import Parking, Posed
from gateway.edge.replies import reply, reply_of
from gateway.edge.routes import Routes
from gateway.edge.sealed_state import unknown_state
from gateway.edge.telling import Telling
from gateway.pipeline import Gateway

INTERNAL_ERROR = -32603
BUSY = -32000

INSTRUCTIONS = (
    "Tools behind a gateway that decides and records every call. A refused call says why and what to do. When a call"
    " waits for approval, make exactly the same call again after a person approved it."
)

_log = structlog.get_logger("sealgate.mcp")


@dataclass(frozen=True, slots=True)
class Front:
    """The MCP face of one gateway. One per process; each connection may have a server of its own.

    `elicitation` asks the person at the client about calls that wait for an approval; None: it does not. `let_go_seconds`:
    after so long a call lets go of its connection (`letting_go.py`); 0: never.
    """

    gateway: Gateway
    parking: Parking
    feed: Feed
    routes: Callable[[], Routes]
    lists: Lists
    elicitation: Elicitation | None = None
    levels: Levels = field(default_factory=Levels)
    let_go_seconds: float = 0

    def server(self, identify: Callable[[Context], Caller]) -> Server[Any]:
        """An MCP server. `identify` tells who sent a request; it was authenticated before."""
        handlers = _Handlers(self, identify)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)  # handshake clients still set a level
            server: Server[Any] = _Server(
                "sealgate",
                version=__version__,
                title="Sealgate",
                instructions=INSTRUCTIONS,
                get_tool_input_schema=handlers.input_schema,
                on_list_tools=handlers.list_tools,
                on_call_tool=handlers.call_tool,
                on_list_resources=handlers.list_resources,
                on_list_resource_templates=handlers.list_templates,
                on_read_resource=handlers.read_resource,
                on_subscribe_resource=handlers.subscribe,
                on_unsubscribe_resource=handlers.unsubscribe,
                on_subscriptions_listen=handlers.listen,
                on_list_prompts=handlers.list_prompts,
                on_get_prompt=handlers.get_prompt,
                on_completion=handlers.complete,
                on_set_logging_level=handlers.set_level,
            )
        server.add_notification_handler("notifications/initialized", NotificationParams, handlers.initialized)
        return server


class _Server(Server[Any]):
    """One that tells handshake clients that its lists change."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *args: Any, **options: Any
    ) -> Any:
        told = NotificationOptions(prompts_changed=True, resources_changed=True, tools_changed=True)
        return super().create_initialization_options(notification_options or told, *args, **options)


@dataclass(frozen=True, slots=True)
class _Handlers:
    """What the SDK calls for each method."""

    front: Front
    identify: Callable[[Context], Caller]

    # --- lists ---

    async def list_tools(self, context: Context, params: PaginatedRequestParams | None) -> Any:
        return _list(context, self.front.lists.tools(self.identify(context), _cursor(params)))

    async def list_resources(self, context: Context, params: PaginatedRequestParams | None) -> Any:
        return _list(context, self.front.lists.resources(self.identify(context), _cursor(params)))

    async def list_templates(self, context: Context, params: PaginatedRequestParams | None) -> Any:
        return _list(context, self.front.lists.templates(self.identify(context), _cursor(params)))

    async def list_prompts(self, context: Context, params: PaginatedRequestParams | None) -> Any:
        return _list(context, self.front.lists.prompts(self.identify(context), _cursor(params)))

    def input_schema(self, name: str) -> Mapping[str, Any] | None:
        """Of a tool that the caller may know of; the SDK asks before it hands the request on."""
        catalog, caller = self._catalog(), ASKING.get(None)
        if caller is None:
            return None
        capability = catalog.resolve(self.front.routes().tool(catalog, name), globs=caller.tools)
        return dict(capability.definition.document["inputSchema"]) if isinstance(capability, Capability) else None

    # --- calls ---

    async def call_tool(self, context: Context, params: CallToolRequestParams) -> Any:
        if is_own(params.name):
            return _of_era(context, await self.front.lists.search(self.identify(context), params.arguments or {}))
        name = self.front.routes().tool(self._catalog(), params.name)
        outcome = await self._governed(context, Method.TOOL, name, params.arguments or {})
        return outcome if isinstance(outcome, dict) else _of_era(context, reply(outcome))

    async def read_resource(self, context: Context, params: ReadResourceRequestParams) -> Any:
        uri = _uri(context)
        return await self._done(context, Method.RESOURCE, self.front.routes().reader(uri), {"uri": uri})

    async def get_prompt(self, context: Context, params: GetPromptRequestParams) -> Any:
        prompt = self.front.routes().prompts.get(params.name)
        name = params.name if prompt is None else prompt.document["name"]
        asked = {"name": name, **({} if params.arguments is None else {"arguments": dict(params.arguments)})}
        return await self._done(context, Method.PROMPT, None if prompt is None else prompt.upstream, asked)

    async def complete(self, context: Context, params: CompleteRequestParams) -> Any:
        sent: Mapping[str, Any] = context.params or {}
        found = self.front.routes().completer(sent["ref"])
        upstream, ref = (None, sent["ref"]) if found is None else found
        asked = {"ref": ref, **{key: sent[key] for key in ("argument", "context") if key in sent}}
        return await self._done(context, Method.COMPLETE, upstream, asked)

    async def _done(self, context: Context, method: Method, upstream: str | None, asked: dict[str, Any]) -> Any:
        name = method.value if upstream is None else f"{upstream}{SEPARATOR}{method}"
        outcome = await self._governed(context, method, name, asked)
        if isinstance(outcome, dict):
            return outcome
        result = reply_of(method, outcome, asked, modern=is_modern(context))
        stale: dict[str, Any] = {"ttlMs": 0, "cacheScope": "private"} if method is Method.RESOURCE else {}
        return _of_era(context, result, **stale)

    async def _governed(
        self, context: Context, method: Method, name: str, arguments: dict[str, Any]
    ) -> Outcome | dict[str, Any]:
        """The outcome of one call, or the `input_required` result that it is answered with before it ends."""
        front, gateway = self.front, self.front.gateway
        request = request_of(context, gateway.clock, method, name, arguments)
        run = run_context(self.identify(context), meta_of(context), session_id_of(context))
        try:
            outcome = await self._talked(context, run, request)
            if front.elicitation is not None and isinstance(outcome, AwaitingApproval):
                answered = await front.elicitation.answer(context, outcome)
                if isinstance(answered, dict):
                    return {**answered, "_meta": reply(outcome)["_meta"]}
                if answered:
                    again = replace(request, envelope_id=gateway.clock.new_id(), requested_at=gateway.clock.now())
                    again = replace(again, intent=None)  # the run has it by now
                    outcome = await self._talked(context, run, again, anew=True)
        except Overloaded as error:
            raise MCPError(BUSY, "The gateway is busy; nothing was done. Try again shortly.") from error
        except GatewayError as error:
            _log.error("call_failed", code=error.code, cause=error.message, envelope_id=request.envelope_id)
            raise MCPError(INTERNAL_ERROR, f"The gateway cannot serve this call [{error.code}].") from error
        return outcome.document() if isinstance(outcome, Posed) else outcome

    async def _talked(
        self, context: Context, run: RunContext, request: ToolRequest, *, anew: bool = False
    ) -> Outcome | Posed:
        """One governed call, with the client as far as its upstream may talk with it. `anew`: its state was used."""
        front = self.front
        telling = Telling(context, front.levels.of(context))
        conversation = HandshakeConversation(front.gateway, run, context, telling, front.gateway.approval_ttl_seconds)
        if is_modern(context):
            sent: Mapping[str, Any] = context.params or {}
            state = None if anew else sent.get("requestState")
            responses = sent.get("inputResponses")
            supplied = dict(responses) if isinstance(responses, Mapping) else {}
            if front.parking.gave(state):
                return await front.parking.go_on(context, run, request, state, supplied)
            if state is not None and not (front.elicitation is not None and front.elicitation.gave(state)):
                raise unknown_state()
            if "requestState" in sent:
                supplied.pop(APPROVAL, None)  # the answer about the call is none to a question of its upstream
            if conversation.declares(request.name.partition(SEPARATOR)[0]):
                return await front.parking.begin(context, run, request, telling, supplied)
        try:
            async with letting_go(conversation, front.let_go_seconds):
                outcome = await front.gateway.call(run, request, conversation)
        except BaseException:
            telling.drop()
            raise
        await telling.flush()
        return outcome

    # --- what changes ---

    async def initialized(self, context: Context, params: NotificationParams) -> None:
        self.front.feed.joined(context)

    async def set_level(self, context: Context, params: SetLevelRequestParams) -> Any:
        self.front.levels.set(context, params.level)
        return {}

    async def subscribe(self, context: Context, params: SubscribeRequestParams) -> Any:
        uri = _uri(context)
        upstream = self.front.routes().reader(uri)
        done = await self._done(context, Method.SUBSCRIBE, upstream, {"uri": uri})
        if upstream is not None and not self.front.feed.subscribed(context, upstream, uri):
            self.front.feed.release(upstream, uri)
            raise MCPError(INVALID_PARAMS, "This session has as many subscriptions as it may have; end one first.")
        return done

    async def unsubscribe(self, context: Context, params: UnsubscribeRequestParams) -> Any:
        self.front.feed.unsubscribed(context, _uri(context))
        return {}

    async def listen(self, context: Context, params: SubscriptionsListenRequestParams) -> Any:
        """A stream of what changed. Resources that the caller may not be told of are not among what is honoured."""
        honoured: dict[str, str] = {}
        uris = list(dict.fromkeys(params.notifications.resource_subscriptions or ()))
        if len(uris) > MAX_SUBSCRIPTIONS_PER_CLIENT:
            raise MCPError(INVALID_PARAMS, f"One request subscribes to {MAX_SUBSCRIPTIONS_PER_CLIENT} resources at most.")
        try:
            for uri in uris:
                upstream = self.front.routes().reader(uri)
                try:
                    await self._done(context, Method.SUBSCRIBE, upstream, {"uri": uri})
                except MCPError:
                    continue
                if upstream is not None:
                    honoured[uri] = upstream
            wanted = params.notifications.model_copy(update={"resource_subscriptions": list(honoured) or None})
            return await self.front.feed.listen(context, params.model_copy(update={"notifications": wanted}))
        finally:
            for uri, upstream in honoured.items():
                self.front.feed.release(upstream, uri)

    def _catalog(self) -> Catalog:
        return self.front.gateway.catalog.current()


def _uri(context: Context) -> str:
    """The URI as the client wrote it; the SDK checked that there is one."""
    return str((context.params or {})["uri"])


def _cursor(params: PaginatedRequestParams | None) -> str | None:
    return None if params is None else params.cursor


def _list(context: Context, page: dict[str, Any]) -> dict[str, Any]:
    # Stale at once: the catalogue may change at any time.
    return _of_era(context, page, ttlMs=0, cacheScope="private")


def _of_era(context: Context, result: dict[str, Any], **modern: Any) -> dict[str, Any]:
    """`result` with the members that 2026-07-28 requires and the handshake versions do not know."""
    if not is_modern(context):
        return result
    return {**result, **modern, "resultType": "complete"}
