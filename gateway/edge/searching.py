"""`sealgate__search_tools`: the gateway's own tool. An agent finds tools by it, without having all of them in its context.

It tells nothing that the caller's tools/list would not, definitions included, so it is treated as a list: no entry is made
of it. What it found is called by its name, and that is decided and recorded as ever. How much it answers is bounded.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.capability import RESERVED, SEPARATOR, ApprovalMode
from gateway.core.schema import ArgumentSchema
from gateway.core.search import MAX_QUERY_CHARS, Described, Index
from gateway.edge.meta import MODE

SEARCH = f"{RESERVED}{SEPARATOR}search_tools"
USUAL_RESULTS = 5
MAX_RESULTS = 20
MAX_BYTES = 128 * 1024

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_QUERY_CHARS,
            "description": "What the tool should do, in a few words. Words that stand in its name count most.",
        },
        "limit": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_RESULTS,
            "default": USUAL_RESULTS,
            "description": "How many tools to return at most.",
        },
    },
    "required": ["query"],
    "additionalProperties": False,
}
DEFINITION: dict[str, Any] = {
    "name": SEARCH,
    "title": "Search tools",
    "description": "Finds tools by what they do. Returns their definitions, the best first. Call a tool that was found by"
    " its name, as if it had been listed.",
    "inputSchema": _SCHEMA,
    "outputSchema": {
        "type": "object",
        "properties": {
            "tools": {"type": "array", "items": {"type": "object"}, "description": "Definitions, as tools/list has them."},
            "more": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Names of further tools among the best, whose definitions were too large to come along.",
            },
            "matches": {"type": "integer", "description": "How many tools have a word of the query."},
        },
        "required": ["tools", "more", "matches"],
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
    "_meta": {MODE: ApprovalMode.READ_ONLY.value},
}
_ARGUMENTS = ArgumentSchema(_SCHEMA)


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, and how much of it is wanted."""

    query: str
    limit: int


class Searching:
    """An index that is made when it is first asked for, once, in a thread: of 10,000 tools it takes a while."""

    def __init__(self, tools: Callable[[], Sequence[Described]]) -> None:
        self._tools = tools
        self._making: asyncio.Task[Index] | None = None

    async def index(self) -> Index:
        """The index. Whoever goes away while it is made does not keep the others from it."""
        if self._making is None:
            self._making = asyncio.create_task(asyncio.to_thread(lambda: Index.of(self._tools())))
        return await asyncio.shield(self._making)


def question(arguments: dict[str, Any]) -> Question | dict[str, Any]:
    """What the arguments ask; or the result that says what is wrong with them."""
    problems = _ARGUMENTS.problems(arguments)
    if problems:
        return {"content": [{"type": "text", "text": "\n".join(problems)}], "isError": True}
    return Question(arguments["query"], arguments.get("limit", USUAL_RESULTS))


def found(documents: Sequence[dict[str, Any]], matches: int) -> dict[str, Any]:
    """The result with these definitions. Those past `MAX_BYTES` in all are only named."""
    tools: list[dict[str, Any]] = []
    more: list[str] = []
    held = 0
    for document in documents:
        size = len(orjson.dumps(document))
        if held + size > MAX_BYTES:
            more.append(document["name"])
        else:
            tools.append(document)
            held += size
    said = {"tools": tools, "more": more, "matches": matches}
    return {"content": [{"type": "text", "text": orjson.dumps(said).decode()}], "structuredContent": said}
