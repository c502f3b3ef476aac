"""All pages of an upstream's tools/list, as on the wire: the digest covers fields that no SDK model knows."""

from typing import Any

from gateway.adapters.upstream.rpc import FLOOD, MALFORMED, Era, Fault, Link, RpcError, tools_list
from gateway.core.capability import ToolDefinition
from gateway.core.catalog import readable_definitions

MAX_TOOLS = 1_000
MAX_PAGES = 100


class ListingRefused(Exception):
    """The upstream answered tools/list with an error."""


async def list_tools(link: Link, era: Era, upstream: str) -> tuple[list[ToolDefinition], int]:
    """The readable definitions, and how many items were none.

    Raises:
        Fault: no usable answer, or more tools or pages than the caps allow.
        ListingRefused: see there.
    """
    documents: list[Any] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        answer = await link.request(tools_list(era, cursor))
        if isinstance(answer, RpcError):
            raise ListingRefused
        tools, cursor = answer.get("tools"), answer.get("nextCursor")
        if not isinstance(tools, list) or not (cursor is None or isinstance(cursor, str)):
            raise Fault(MALFORMED)
        documents.extend(tools)
        if len(documents) > MAX_TOOLS:
            raise Fault(FLOOD)
        if cursor is None:
            return readable_definitions(upstream, documents)
    raise Fault(FLOOD)
