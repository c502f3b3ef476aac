"""Names as clients write them ⇄ capabilities. Made anew from each catalogue.

A tool or prompt is called `upstream__name`, so that two upstreams never meet. An upstream whose names are `bare` has them
as they are, but for those that another tool has, or that look like another's: these stay with their prefix. The name with
the prefix always works. Names that begin with `sealgate__` are the gateway's own. Resources are known by their own URIs.
Where two upstreams offer one URI, the one that comes first in the configuration is read: a later one cannot take it over.
All this is the same for every caller, whatever each of them may know of.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mcp.shared.uri_template import InvalidUriTemplate, UriTemplate

from gateway.core.capability import RESERVED, SEPARATOR, Capability
from gateway.core.catalog import Catalog, skeleton
from gateway.core.method import Method
from gateway.core.ports import CatalogSource

MAX_PATTERNS = 500
"""So many templates of one upstream are matched with: this is done in the event loop, for each URI that nothing lists."""
MAX_TEMPLATE_CHARS = 1_024
MAX_VARIABLES = 16
MAX_MATCHED_CHARS = 8_192
"""A longer URI is read from who lists it."""


@dataclass(frozen=True, slots=True)
class Listed:
    """An item of a list as clients see it, and whose it is."""

    upstream: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Routes:
    """See the module. All mappings but `tools` are in the order in which servers list the items."""

    tools: Mapping[str, Capability]
    prompts: Mapping[str, Listed]
    resources: Mapping[str, Listed]
    templates: Mapping[str, Listed]
    _patterns: tuple[tuple[UriTemplate, str], ...]
    _readers: tuple[str, ...]

    @classmethod
    def of(cls, catalog: Catalog, bare: frozenset[str]) -> "Routes":
        """The routes of a catalogue. `bare`: upstreams whose names have no prefix."""
        tools = sorted(catalog.capabilities.values(), key=lambda capability: capability.id)
        names = _names(((tool.upstream, tool.definition.name) for tool in tools), bare)
        prompts = [
            Listed(upstream, document) for upstream, surface in catalog.surfaces.items() for document in surface.prompts
        ]
        called = _names(((prompt.upstream, prompt.document["name"]) for prompt in prompts), bare)
        times = Counter(called)
        templates = _first(catalog, "templates", "uriTemplate")
        return cls(
            tools=dict(sorted(zip(names, tools, strict=True))),
            prompts={name: prompt for name, prompt in zip(called, prompts, strict=True) if times[name] == 1},
            resources=_first(catalog, "resources", "uri"),
            templates=templates,
            _patterns=tuple(_patterns(templates)),
            _readers=tuple(name for name, surface in catalog.surfaces.items() if Method.RESOURCE in surface.methods),
        )

    def tool(self, catalog: Catalog, name: str) -> str:
        """The capability id of the tool that a client calls `name`; `name` itself where there is none."""
        tool = self.tools.get(name)
        return name if tool is None or name in catalog.capabilities else tool.id

    def reader(self, uri: str) -> str | None:
        """The upstream that a resource is read from: one that lists it, one with a template that fits, or the only one."""
        listed = self.resources.get(uri)
        if listed is not None:
            return listed.upstream
        fits = (up for pattern, up in self._patterns if pattern.match(uri, max_uri_length=MAX_MATCHED_CHARS) is not None)
        fitting = next(fits, None)
        if fitting is not None:
            return fitting
        return self._readers[0] if len(self._readers) == 1 else None

    def completer(self, ref: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """The upstream that completes arguments of what `ref` names, and the reference as that one knows it."""
        match ref.get("type"):
            case "ref/prompt":
                prompt = self.prompts.get(str(ref.get("name")))
                return None if prompt is None else (prompt.upstream, {**ref, "name": prompt.document["name"]})
            case "ref/resource":
                uri = str(ref.get("uri"))
                template = self.templates.get(uri)
                upstream = self.reader(uri) if template is None else template.upstream
                return None if upstream is None else (upstream, dict(ref))
            case _:
                return None


class RouteTable:
    """The routes of the catalogue in force. `bare`: upstreams whose names have no prefix."""

    def __init__(self, catalogs: CatalogSource, bare: frozenset[str]) -> None:
        self._catalogs = catalogs
        self._bare = bare
        self._of = catalogs.current()
        self._routes = Routes.of(self._of, bare)

    def current(self) -> Routes:
        """Made anew where the catalogue is another one."""
        catalog = self._catalogs.current()
        if catalog is not self._of:
            self._of, self._routes = catalog, Routes.of(catalog, self._bare)
        return self._routes


def _names(pairs: Iterable[tuple[str, str]], bare: frozenset[str]) -> list[str]:
    """What each (upstream, name) is called: the bare name, where nothing else has it, in front of it or not, nor may."""
    items = [(f"{upstream}{SEPARATOR}{name}", name if upstream in bare else None) for upstream, name in pairs]
    taken = Counter(look for full, name in items for look in {skeleton(full), skeleton(name or full)})
    own = skeleton(RESERVED + SEPARATOR)
    return [
        full if name is None or taken[skeleton(name)] > 1 or skeleton(name).startswith(own) else name for full, name in items
    ]


def _first(catalog: Catalog, kind: str, key: str) -> dict[str, Listed]:
    found: dict[str, Listed] = {}
    for upstream, surface in catalog.surfaces.items():
        for document in getattr(surface, kind):
            found.setdefault(document[key], Listed(upstream, document))
    return found


def _patterns(templates: Mapping[str, Listed]) -> Iterator[tuple[UriTemplate, str]]:
    """The templates that URIs are matched with; others are listed, as their upstream wrote them, and nothing fits them."""
    of_upstream: Counter[str] = Counter()
    for text, listed in templates.items():
        of_upstream[listed.upstream] += 1
        pattern = _pattern(text) if of_upstream[listed.upstream] <= MAX_PATTERNS else None
        if pattern is not None:
            yield pattern, listed.upstream


@lru_cache(maxsize=4 * MAX_PATTERNS)
def _pattern(text: str) -> UriTemplate | None:
    try:
        return UriTemplate.parse(text, max_length=MAX_TEMPLATE_CHARS, max_variables=MAX_VARIABLES)
    except (InvalidUriTemplate, ValueError):
        return None
