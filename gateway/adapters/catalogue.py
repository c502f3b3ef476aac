"""The catalogue in force: what the upstreams list, what the operator says of it, what `gateway.lock` pins.

`gateway.lock` is a JSON file beside `gateway.yaml`, meant for version control: capability id → digest and the whole
approved definition, so that a drifted tool can be shown as a diff. Whoever can write it can approve tools.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import structlog
from mcp_types.methods import serialize_server_result
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
from pydantic import ValidationError

from gateway.core.canonical import digest
from gateway.core.capability import ToolDefinition
from gateway.core.catalog import Catalog, Hidden, Rule, Usable, build_catalog
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.seed import Believed
from gateway.core.surface import NOTHING, Surface, readable

_log = structlog.get_logger("sealgate.catalogue")


class Lock:
    """The pins on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tools = self._read()

    @property
    def pins(self) -> Mapping[str, str]:
        """Capability id → approved definition digest."""
        return {name: tool["digest"] for name, tool in self._tools.items()}

    def definition(self, capability_id: str) -> dict[str, Any] | None:
        """The approved definition."""
        tool = self._tools.get(capability_id)
        return None if tool is None else dict(tool["definition"])

    def approve(self, tools: Iterable[ToolDefinition]) -> None:
        """Pin these definitions, durably, all or none."""
        merged = dict(self._tools)
        for tool in tools:
            merged[tool.capability_id] = {"digest": tool.digest, "definition": tool.document}
        document = {"version": 1, "tools": dict(sorted(merged.items()))}
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            with temporary.open("wb") as file:
                file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError as error:
            raise GatewayError(f"cannot write {self._path}: {error.strerror}", code="lock.unwritable") from error
        self._tools = merged

    def _read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        try:
            document = orjson.loads(self._path.read_bytes())
            tools: dict[str, Any] = document["tools"]
            for name, tool in tools.items():
                if tool["digest"] != digest(tool["definition"]):
                    raise ValueError(f"the digest of {name} is not that of its definition")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{self._path} is not a lock file: {error}", hint="Restore it from version control, or approve anew."
            ) from error
        return tools


OnChange = Callable[[Catalog, Catalog], None]
"""Told of the catalogue that was in force, and of the one that is."""


class Catalogue:
    """Implements `core.ports.CatalogSource`. Owned by the event loop; rebuilt as a whole, never changed in place."""

    def __init__(
        self,
        rules: Iterable[Rule],
        lock: Lock,
        on_change: OnChange | None = None,
        upstreams: Iterable[str] = (),
        *,
        believed: Mapping[str, Believed] = {},
    ) -> None:
        """`upstreams`: their names, in the order of the configuration: where two offer one resource, the first is read.

        `believed`: those whose definitions say themselves what they are.
        """
        self._rules = tuple(rules)
        self._believed = dict(believed)
        self._lock = lock
        self._listed: dict[str, list[ToolDefinition]] = {}
        self._surfaces: dict[str, Surface] = dict.fromkeys(upstreams, NOTHING)
        self._on_change = on_change
        self._compiled: dict[str, Usable] = {}
        self._catalog = build_catalog((), self._rules, lock.pins, surfaces=self._surfaces)

    def current(self) -> Catalog:
        return self._catalog

    def listed(self, upstream: str, definitions: list[ToolDefinition]) -> None:
        """An upstream listed its tools: all of them."""
        self._listed[upstream] = definitions
        self._rebuild()

    def offered(self, upstream: str, surface: Surface) -> None:
        """An upstream offers this beside its tools: all of it."""
        kept, dropped = readable(surface, surface_problem)
        if dropped:
            _log.warning("surface_items_left_out", upstream=upstream, count=dropped)
        if kept != self._surfaces.get(upstream):
            self._surfaces = {**self._surfaces, upstream: kept}
            self._rebuild()

    def pinned_definition(self, capability_id: str) -> dict[str, Any] | None:
        """The approved definition, to compare with the listed one."""
        return self._lock.definition(capability_id)

    def approvable(self, shown: Mapping[str, str]) -> list[ToolDefinition]:
        """What these tools are listed as now, but for those pinned so already. Raises `GatewayError` where one cannot be."""
        blocked = {tool.definition.capability_id: tool for tool in self._catalog.hidden}
        chosen: list[ToolDefinition] = []
        for name, digest_shown in shown.items():
            if name in self._catalog.capabilities:
                continue
            tool = blocked.get(name)
            if tool is None:
                raise GatewayError(
                    f"no upstream lists a tool {name}", hint="sealgate tools list shows all of them.", code="tool.unknown"
                )
            if tool.why not in (Hidden.UNPINNED, Hidden.DRIFTED):
                raise GatewayError(f"{name} cannot be approved: {tool.explanation}", code=f"tool.{tool.why}")
            if tool.definition.digest != digest_shown:
                raise GatewayError(
                    f"{name} changed after it was shown to you", hint="Look at it again, then approve.", code="tool.changed"
                )
            chosen.append(tool.definition)
        return chosen

    def pin(self, definitions: Iterable[ToolDefinition]) -> None:
        """Pin these definitions, durably: they can be called from now on, as long as they are listed like this."""
        self._lock.approve(definitions)
        self._rebuild()

    def _rebuild(self) -> None:
        definitions = [tool for tools in self._listed.values() for tool in tools]
        catalog = build_catalog(
            definitions,
            self._rules,
            self._lock.pins,
            believed=self._believed,
            shape=shape_problem,
            compiled=self._compiled,
            surfaces=self._surfaces,
        )
        before = self._catalog
        changed = catalog.revision != before.revision or catalog.surfaces != before.surfaces
        self._catalog = catalog
        if changed and self._on_change is not None:
            self._on_change(before, catalog)


def shape_problem(document: dict[str, Any]) -> str | None:
    """Why the SDK would refuse to list this tool, to clients of either era, or None. No value is quoted."""
    result = {"tools": [document]}
    modern = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
    try:
        serialize_server_result("tools/list", LATEST_HANDSHAKE_VERSION, result)
        serialize_server_result("tools/list", LATEST_MODERN_VERSION, {**result, **modern})
    except ValidationError as error:
        members = {str(problem["loc"][2]) for problem in error.errors() if len(problem["loc"]) > 2}
        return f"wrong type or value of {', '.join(sorted(members)) or 'a member'}"
    except ValueError:
        return "it cannot be written as JSON"
    return None


_LISTED = {"resources": "resources/list", "templates": "resources/templates/list", "prompts": "prompts/list"}
_MEMBER = {"resources": "resources", "templates": "resourceTemplates", "prompts": "prompts"}


def surface_problem(kind: str, document: dict[str, Any]) -> str | None:
    """Why the SDK would refuse to list this resource, template or prompt, to clients of either era, or None."""
    result = {_MEMBER[kind]: [document]}
    modern = {"ttlMs": 0, "cacheScope": "private", "resultType": "complete"}
    try:
        serialize_server_result(_LISTED[kind], LATEST_HANDSHAKE_VERSION, result)
        serialize_server_result(_LISTED[kind], LATEST_MODERN_VERSION, {**result, **modern})
    except (ValidationError, ValueError):
        return "it has not the protocol's shape"
    return None
