"""What the lists show each caller, page by page.

A list is in the order of its keys: names, or URIs. A cursor is the key of the last item that was given, so it stands for
the same place whatever becomes of the catalogue or of what the caller may know of: whoever goes through all pages has got,
once, every item that was there all the time. It holds nothing that the client was not given, and a forged one only begins
elsewhere.

A page ends after `page_size` items or about `MAX_PAGE_BYTES`, whichever comes first. What a caller may know of is worked out
once for each catalogue and each set of globs.
"""

import base64
import binascii
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from mcp.shared.exceptions import MCPError

from gateway.core.capability import SEPARATOR, Capability
from gateway.core.method import Method
from gateway.core.search import Described
from gateway.core.visible import Exposure, Globs, is_visible
from gateway.edge.auth import Caller
from gateway.edge.meta import INVALID_PARAMS, MODE, foreign
from gateway.edge.routes import Listed, Routes
from gateway.edge.searching import DEFINITION, SEARCH, Searching, found, question

PAGE_SIZE = 250
MAX_PAGE_BYTES = 2 * 1024 * 1024
MAX_CURSOR_CHARS = 16 * 1024
MAX_VIEWS = 64

Document = Callable[[str], dict[str, Any]]
"""What the item of a key looks like in the list."""


class Lists:
    """See the module. One per process, owned by its event loop. `exposure`: that of callers with none of their own."""

    def __init__(self, routes: Callable[[], Routes], page_size: int = PAGE_SIZE, exposure: Exposure = Exposure.ALL) -> None:
        self._routes = routes
        self._page_size = page_size
        self._exposure = exposure
        self._of = routes()
        self._views: OrderedDict[Globs, _View] = OrderedDict()

    def tools(self, caller: Caller, cursor: str | None) -> dict[str, Any]:
        """A page of tools/list. Raises `MCPError` where the cursor is none of this list; so do the others.

        The search comes first where it is all that the caller is shown, or where the tools are too many for one page.
        """
        view = self._view(caller)
        searched = (caller.exposure or self._exposure) is Exposure.SEARCH
        own = [DEFINITION] if searched or len(view.tools) > self._page_size else []
        if searched:
            return {"tools": own if _after("tools", cursor) is None else []}
        return self._page("tools", view.tools, view.tool, cursor, own)

    def resources(self, caller: Caller, cursor: str | None) -> dict[str, Any]:
        """A page of resources/list."""
        view = self._view(caller)
        return self._page("resources", view.resources, lambda uri: view.routes.resources[uri].document, cursor)

    def templates(self, caller: Caller, cursor: str | None) -> dict[str, Any]:
        """A page of resources/templates/list."""
        view = self._view(caller)
        return self._page("resourceTemplates", view.templates, lambda uri: view.routes.templates[uri].document, cursor)

    def prompts(self, caller: Caller, cursor: str | None) -> dict[str, Any]:
        """A page of prompts/list."""
        view = self._view(caller)
        return self._page("prompts", view.prompts, lambda name: {**view.routes.prompts[name].document, "name": name}, cursor)

    async def search(self, caller: Caller, arguments: dict[str, Any]) -> dict[str, Any]:
        """The result of a call of the search: of what the caller's tools/list would show, were it exposed."""
        asked = question(arguments)
        if isinstance(asked, dict):
            return asked
        view = self._view(caller)
        places, matches = (await view.searching.index()).find(asked.query, asked.limit)
        return found([view.tool(view.tools[place]) for place in places], matches)

    def _page(
        self, member: str, keys: Sequence[str], document: Document, cursor: str | None, own: Sequence[dict[str, Any]] = ()
    ) -> dict[str, Any]:
        """`own` come before all others, on the first page."""
        after = _after(member, cursor)
        begin = 0 if after is None else bisect_right(keys, after)
        items = list(own) if after is None else []
        held = 0
        place = begin
        while place < len(keys) and (place == begin or (len(items) < self._page_size and held < MAX_PAGE_BYTES)):
            items.append(document(keys[place]))
            held += len(orjson.dumps(items[-1]))
            place += 1
        if place == len(keys):
            return {member: items}
        return {member: items, "nextCursor": _cursor(member, keys[place - 1])}

    def _view(self, caller: Caller) -> "_View":
        routes = self._routes()
        if routes is not self._of:
            self._of = routes
            self._views.clear()
        view = self._views.get(caller.tools)
        if view is None:
            view = self._views[caller.tools] = _View(routes, caller.tools)
            if len(self._views) > MAX_VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(caller.tools)
        return view


class _View:
    """What callers with these globs may know of. The keys of each list are in order."""

    def __init__(self, routes: Routes, globs: Globs) -> None:
        self.routes = routes
        self.tools = sorted(name for name, tool in routes.tools.items() if is_visible(tool.id, globs))
        self.resources = _visible(routes.resources, Method.RESOURCE, globs)
        self.templates = _visible(routes.templates, Method.RESOURCE, globs)
        self.prompts = _visible(routes.prompts, Method.PROMPT, globs)
        self.searching = Searching(self._described)

    def tool(self, name: str) -> dict[str, Any]:
        """A tool as it is listed."""
        return _listed(name, self.routes.tools[name])

    def _described(self) -> list[Described]:
        return [Described.of(name, self.routes.tools[name].definition.document) for name in self.tools]


def is_own(name: str) -> bool:
    """Whether the gateway itself answers a call of this tool."""
    return name == SEARCH


def _visible(items: Mapping[str, Listed], method: Method, globs: Globs) -> list[str]:
    """The keys of what the caller may get by `method`. Whose it is decides, as it does when it is got."""
    seen = {upstream for upstream in {item.upstream for item in items.values()} if _may(upstream, method, globs)}
    return sorted(key for key, item in items.items() if item.upstream in seen)


def _may(upstream: str, method: Method, globs: Globs) -> bool:
    return is_visible(f"{upstream}{SEPARATOR}{method}", globs)


def _listed(name: str, capability: Capability) -> dict[str, Any]:
    document = dict(capability.definition.document)
    document["name"] = name
    document["_meta"] = {**foreign(document.get("_meta")), MODE: capability.mode.value}
    return document


def _cursor(member: str, key: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([member, key])).decode()


def _after(member: str, cursor: str | None) -> str | None:
    """The key that a cursor stands for; None: it is the beginning."""
    if cursor is None:
        return None
    try:
        if len(cursor) > MAX_CURSOR_CHARS:
            raise ValueError("too long")
        of, key = orjson.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        if of != member or not isinstance(key, str):
            raise ValueError("of another list")
    except (ValueError, TypeError, binascii.Error) as error:
        raise MCPError(INVALID_PARAMS, "The cursor is none that this list gave. List anew without one.") from error
    return key
