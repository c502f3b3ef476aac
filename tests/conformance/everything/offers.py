"""The resources, prompts and completions of the server."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from tests.conformance.everything.call import Call
from tests.conformance.everything.plain_tools import image_block, png, resource_block, text_block

WATCHED = "test://watched-resource"
TEMPLATE = "test://template/{id}/data"
_FROM_TEMPLATE = re.compile(r"test://template/([^/]+)/data")
CONTEXT = {"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}
WORDS = ("paris", "park", "party", "test one", "test two")

RESOURCES: tuple[Mapping[str, str], ...] = (
    {"uri": "test://static-text", "name": "static text", "description": "Never changes.", "mimeType": "text/plain"},
    {"uri": "test://static-binary", "name": "static binary", "description": "One pixel.", "mimeType": "image/png"},
    {"uri": WATCHED, "name": "watched", "description": "Can be subscribed to.", "mimeType": "text/plain"},
)
TEMPLATES: tuple[Mapping[str, str], ...] = (
    {"uriTemplate": TEMPLATE, "name": "template", "description": "One for each id.", "mimeType": "application/json"},
)


def read(uri: str) -> dict[str, Any]:
    """The contents of a resource. Raises `MCPError` -32602 with the URI where there is none (SEP-2164)."""
    if uri == "test://static-text":
        return {"uri": uri, "mimeType": "text/plain", "text": "What this resource always says."}
    if uri == "test://static-binary":
        return {"uri": uri, "mimeType": "image/png", "blob": png()}
    if uri == WATCHED:
        return {"uri": uri, "mimeType": "text/plain", "text": "What is being watched."}
    if made := _FROM_TEMPLATE.fullmatch(uri):
        return {"uri": uri, "mimeType": "application/json", "text": json.dumps({"id": made[1]})}
    raise MCPError(INVALID_PARAMS, "There is no such resource.", {"uri": uri})


@dataclass(frozen=True)
class Prompt:
    """What prompts/list tells, and the content blocks of the user's messages that prompts/get gives."""

    name: str
    description: str
    run: Callable[[Call], Awaitable[list[dict[str, Any]]]]
    arguments: tuple[str, ...] = ()

    def listed(self) -> dict[str, Any]:
        arguments = [{"name": name, "description": f"The {name}.", "required": True} for name in self.arguments]
        return {"name": self.name, "description": self.description, "arguments": arguments}

    async def get(self, call: Call) -> dict[str, Any]:
        missing = [name for name in self.arguments if name not in call.arguments]
        if missing:
            raise MCPError(INVALID_PARAMS, f"Missing arguments: {', '.join(missing)}.")
        return {"messages": [{"role": "user", "content": block} for block in await self.run(call)]}


async def simple(call: Call) -> list[dict[str, Any]]:
    return [text_block("A prompt without arguments.")]


async def with_arguments(call: Call) -> list[dict[str, Any]]:
    return [text_block(f"Compare {call.arguments['arg1']} with {call.arguments['arg2']}.")]


async def with_resource(call: Call) -> list[dict[str, Any]]:
    told = resource_block(call.arguments["resourceUri"], "What the resource says.")
    return [told, text_block("Use the resource above.")]


async def with_image(call: Call) -> list[dict[str, Any]]:
    return [image_block(), text_block("Describe the image above.")]


async def with_input(call: Call) -> list[dict[str, Any]]:
    answer = await call.elicit("user_context", "What is it about?", CONTEXT)
    return [text_block(f"It is about {(answer.content or {}).get('context')}.")]


PROMPTS = (
    Prompt("test_simple_prompt", "No arguments.", simple),
    Prompt("test_prompt_with_arguments", "Two arguments.", with_arguments, ("arg1", "arg2")),
    Prompt("test_prompt_with_embedded_resource", "Holds a resource.", with_resource, ("resourceUri",)),
    Prompt("test_prompt_with_image", "Holds an image.", with_image),
    Prompt("test_input_required_result_prompt", "Asks before it answers.", with_input),
)


def completed(typed: str) -> dict[str, Any]:
    """The words that begin with what was typed."""
    words = [word for word in WORDS if word.startswith(typed)]
    return {"values": words, "total": len(words), "hasMore": False}
