"""What changed, told to the clients that listen: lists of tools, resources and prompts, and subscribed resources.

2026-07-28 clients listen with `subscriptions/listen`; handshake clients are told on their session's own stream. An
upstream's word that a list changed is passed on as it comes, though not more often than `GAP_SECONDS`; a change that the
gateway sees for itself (a tool was approved, an upstream is gone) as well.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from enum import StrEnum
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary, finalize

from mcp.server.connection import Connection
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
)

from gateway.core.catalog import Catalog
from gateway.edge.levels import connection_of
from gateway.edge.meta import Context
from gateway.edge.routes import Routes

GAP_SECONDS = 0.25
MAX_SUBSCRIPTIONS_PER_CLIENT = 256


class Listing(StrEnum):
    """A list that clients may listen to."""

    TOOLS = "tools"
    RESOURCES = "resources"
    PROMPTS = "prompts"


_EVENTS: dict[Listing, Callable[[], ServerEvent]] = {
    Listing.TOOLS: ToolsListChanged,
    Listing.RESOURCES: ResourcesListChanged,
    Listing.PROMPTS: PromptsListChanged,
}

_SURFACE = {"prompts": Listing.PROMPTS, "resources": Listing.RESOURCES, "templates": Listing.RESOURCES}
"""What of a surface is told of under which name."""

Unsubscribe = Callable[[str, str], Coroutine[Any, Any, None]]
"""Told (upstream, uri) once for each client that needs its updates no more."""


class Feed:
    """See the module. One per process, owned by its event loop. `routes` tells whose a resource is."""

    def __init__(self, routes: Callable[[], Routes], unsubscribe: Unsubscribe) -> None:
        self._routes = routes
        self._unsubscribe = unsubscribe
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        self._clients: WeakKeyDictionary[Connection, dict[str, str]] = WeakKeyDictionary()
        self._told: dict[Listing, float] = {}
        self._due: set[Listing] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._unsaid: dict[tuple[Connection, str], bool] = {}

    def joined(self, context: Context) -> None:
        """A handshake client finished its handshake."""
        connection = connection_of(context)
        if connection not in self._clients:
            uris: dict[str, str] = {}
            self._clients[connection] = uris
            # Whichever thread collects it: the books are the event loop's.
            loop = asyncio.get_running_loop()
            finalize(connection, loop.call_soon_threadsafe, self._left, uris).atexit = False

    def subscribed(self, context: Context, upstream: str, uri: str) -> bool:
        """A handshake client is to be told of updates of a resource of this upstream. False where it may have no more."""
        self.joined(context)
        uris = self._clients[connection_of(context)]
        if uri in uris:  # the call that subscribed once more is one too many
            self.release(upstream, uri)
            return True
        if len(uris) >= MAX_SUBSCRIPTIONS_PER_CLIENT:
            return False
        uris[uri] = upstream
        return True

    def unsubscribed(self, context: Context, uri: str) -> None:
        """It is not any more."""
        uris = self._clients.get(connection_of(context), {})
        upstream = uris.pop(uri, None)
        if upstream is not None:
            self.release(upstream, uri)

    def catalog_changed(self, before: Catalog, now: Catalog) -> None:
        """The catalogue in force is another one."""
        if _tools(before) != _tools(now):
            self.changed(Listing.TOOLS)
        for kind, member in (
            (Listing.PROMPTS, "prompts"),
            (Listing.RESOURCES, "resources"),
            (Listing.RESOURCES, "templates"),
        ):
            if _surface(before, member) != _surface(now, member):
                self.changed(kind)

    def changed(self, kind: Listing) -> None:
        """A list changed, or its upstream says so."""
        if kind in self._due:
            return
        wait = self._told.get(kind, 0.0) + GAP_SECONDS - time.monotonic()
        if wait > 0:
            self._due.add(kind)
            asyncio.get_running_loop().call_later(wait, self._tell, kind)
        else:
            self._tell(kind)

    def updated(self, upstream: str, uri: str) -> None:
        """An upstream says that a resource of its own changed."""
        if self._routes().reader(uri) != upstream:
            return
        self._start(self._bus.publish(ResourceUpdated(uri)))
        for connection, uris in list(self._clients.items()):
            if uri in uris:
                self._say(connection, uri, partial(connection.send_resource_updated, uri))

    def _tell(self, kind: Listing) -> None:
        self._due.discard(kind)
        self._told[kind] = time.monotonic()
        self._start(self._bus.publish(_EVENTS[kind]()))
        for connection in list(self._clients):
            self._say(connection, kind, partial(_list_changed, connection, kind))

    def _left(self, uris: dict[str, str]) -> None:
        """A client is gone with its session."""
        for uri, upstream in uris.items():
            self.release(upstream, uri)

    def release(self, upstream: str, uri: str) -> None:
        """One of those who subscribed to this resource at that upstream, whosever it is by now, needs no updates more."""
        self._start(self._unsubscribe(upstream, uri))

    def _say(self, connection: Connection, what: str, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Tell a client that this changed. While it does not take that, however often it changes again, it is owed it once
        more: a client that reads slowly, or an upstream that says much, costs no memory."""
        key = (connection, what)
        if key in self._unsaid:
            self._unsaid[key] = True
        else:
            self._unsaid[key] = True
            self._start(self._saying(key, send))

    async def _saying(self, key: tuple[Connection, str], send: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            while self._unsaid[key]:
                self._unsaid[key] = False
                await send()
        finally:
            del self._unsaid[key]

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)


def _list_changed(connection: Connection, kind: Listing) -> Coroutine[Any, Any, None]:
    match kind:
        case Listing.TOOLS:
            return connection.send_tool_list_changed()
        case Listing.RESOURCES:
            return connection.send_resource_list_changed()
        case Listing.PROMPTS:
            return connection.send_prompt_list_changed()


def _tools(catalog: Catalog) -> dict[str, str]:
    return {name: capability.definition.digest for name, capability in catalog.capabilities.items()}


def _surface(catalog: Catalog, member: str) -> list[Any]:
    return [getattr(surface, member) for surface in catalog.surfaces.values()]
