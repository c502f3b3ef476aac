"""All pages of what an upstream lists, as on the wire: a tool's digest covers fields that no SDK model knows."""

import logging
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.adapters.upstream.requests import page
from gateway.adapters.upstream.rpc import FLOOD, MALFORMED, Fault, HttpRefusal, RpcError
from gateway.adapters.upstream.session import Session
from gateway.core.capability import ToolDefinition
from gateway.core.catalog import readable_definitions
from gateway.core.method import Method
from gateway.core.surface import Surface

logger = logging.getLogger("sealgate.upstream")

MAX_ITEMS = 20_000
MAX_PAGES = 2_000
MAX_LIST_BYTES = 16 << 20
"""Of all pages of one list, as JSON: each page alone may have `max_result_bytes`, and all are held at once."""


class ListingRefused(Exception):
    """The upstream answered a list request with an error."""


async def list_tools(session: Session, upstream: str) -> tuple[list[ToolDefinition], int]:
    """The readable definitions, and how many items were none.

    Raises:
        Fault: no usable answer, or more tools, pages or bytes than the caps allow.
        ListingRefused: see there.
    """
    return readable_definitions(upstream, await _pages(session, "tools/list", "tools"))


async def list_surface(session: Session) -> Surface:
    """What the upstream offers beside its tools.

    A list that cannot be had is empty: what is wrong with it must not take the tools along. Raises `Fault` where the session
    is gone.
    """
    resources: tuple[dict[str, Any], ...] = ()
    templates = prompts = resources
    if "resources" in session.capabilities:
        resources = await _objects(session, "resources/list", "resources")
        templates = await _objects(session, "resources/templates/list", "resourceTemplates")
    if "prompts" in session.capabilities:
        prompts = await _objects(session, "prompts/list", "prompts")
    return Surface(methods(session.capabilities), resources, templates, prompts)


def methods(capabilities: Mapping[str, Any]) -> frozenset[Method]:
    """Which methods beside tools/call these ServerCapabilities mean."""
    resources = capabilities.get("resources")
    declared = {
        Method.RESOURCE: resources is not None,
        Method.SUBSCRIBE: isinstance(resources, Mapping) and resources.get("subscribe") is True,
        Method.PROMPT: "prompts" in capabilities,
        Method.COMPLETE: "completions" in capabilities,
    }
    return frozenset(method for method, offered in declared.items() if offered)


async def _objects(session: Session, method: str, member: str) -> tuple[dict[str, Any], ...]:
    try:
        return tuple(item for item in await _pages(session, method, member) if isinstance(item, dict))
    except ListingRefused:
        return ()  # many servers have resources and never heard of templates
    except Fault as fault:
        if fault.code not in (MALFORMED, FLOOD) or session.link.ended is not None:
            raise
        logger.warning("an upstream's answer to %s cannot be used: %s", method, fault.code)
        return ()


async def _pages(session: Session, method: str, member: str) -> list[Any]:
    documents: list[Any] = []
    size = 0
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        answer = await session.link.request(page(session.era, method, cursor, session.declares))
        if isinstance(answer, RpcError | HttpRefusal):
            raise ListingRefused(method)
        items, cursor = answer.get(member), answer.get("nextCursor")
        if not isinstance(items, list) or not (cursor is None or isinstance(cursor, str)):
            raise Fault(MALFORMED)
        documents.extend(items)
        size += len(orjson.dumps(items))
        if len(documents) > MAX_ITEMS or size > MAX_LIST_BYTES:
            raise Fault(FLOOD)
        if cursor is None:
            return documents
    raise Fault(FLOOD)
