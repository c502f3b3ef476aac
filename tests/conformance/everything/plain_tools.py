"""Tools that answer without asking anyone: each kind of content, an error, logs, progress, a stream that is cut."""

import asyncio
import base64
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_types import CreateMessageRequest

from tests.conformance.everything.call import Call

NO_ARGUMENTS: Mapping[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
PAUSE_SECONDS = 0.02
RECONNECT_SECONDS = 2
"""Longer than a client waits that was told to come back in a tenth of a second, and than a gateway holds a connection."""
LONGEST_SECONDS = 1


@dataclass(frozen=True)
class Tool:
    """What tools/list tells, and what a call does: it returns content blocks, or text."""

    name: str
    description: str
    run: Callable[[Call], Awaitable[list[dict[str, Any]] | str]]
    schema: Mapping[str, Any] = field(default_factory=lambda: NO_ARGUMENTS)

    def listed(self) -> dict[str, Any]:
        return {"name": self.name, "description": self.description, "inputSchema": dict(self.schema)}


class ToolFailed(Exception):
    """Reported in the result, as `isError`."""


def png() -> str:
    """A PNG of one transparent pixel, base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(b"\x00" + b"\x00" * 4)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 6, 0, 0, 0))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")).decode()


def wav() -> str:
    """A WAV of no samples (PCM, mono, 8 kHz, 16 bit), base64."""
    form = struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", 0)
    return base64.b64encode(b"RIFF" + struct.pack("<I", len(body)) + body).decode()


def image_block() -> dict[str, Any]:
    return {"type": "image", "data": png(), "mimeType": "image/png"}


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def resource_block(uri: str, text: str, kind: str = "text/plain") -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}


async def simple_text(call: Call) -> str:
    return "A plain answer of one line."


async def image(call: Call) -> list[dict[str, Any]]:
    return [image_block()]


async def audio(call: Call) -> list[dict[str, Any]]:
    return [{"type": "audio", "data": wav(), "mimeType": "audio/wav"}]


async def embedded_resource(call: Call) -> list[dict[str, Any]]:
    return [resource_block("test://embedded-resource", "A resource inside of a result.")]


async def several_kinds(call: Call) -> list[dict[str, Any]]:
    told = resource_block("test://mixed-content-resource", '{"kinds": 3}', "application/json")
    return [text_block("Three kinds of content:"), image_block(), told]


async def fails(call: Call) -> str:
    raise ToolFailed("This tool always fails.")


async def echo_schema(call: Call) -> str:
    return f"{len(call.arguments)} arguments"


async def region(call: Call) -> str:
    return f"region={call.arguments.get('region')}"


async def logs(call: Call) -> str:
    for step in ("started", "working", "ended"):
        await call.log(f"The tool has {step}.")
        await asyncio.sleep(PAUSE_SECONDS)
    return "Logged three times."


async def reports_progress(call: Call) -> str:
    for done in (0, 50, 100):
        await call.progress(done, 100, f"{done} of 100")
        await asyncio.sleep(PAUSE_SECONDS)
    return "Done."


async def cuts_its_stream(call: Call) -> str:
    """The response stream ends in the middle, and the answer is for who comes back for it (SEP-1699).

    In 2026-07-28 there is no coming back. There the call only takes long, for a gateway with an older version in front.
    """
    await call.log("The stream is going to end.")
    if call.context.close_sse_stream is not None:
        await call.context.close_sse_stream()
    await asyncio.sleep(RECONNECT_SECONDS)
    return "Fetched by who came back."


async def greets(call: Call) -> str:
    return f"Hello, {call.arguments['name']}!"


async def computes(call: Call) -> str:
    """What the suite would run as a task. There are no tasks here, so that a long one is refused."""
    seconds = float(call.arguments["seconds"])
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise ToolFailed(f"This server has no tasks, and computes for at most {LONGEST_SECONDS} s.")
    await asyncio.sleep(seconds)
    return f"Computed {call.arguments.get('label', 'it')}."


async def needs_sampling(call: Call) -> str:
    call.require(CreateMessageRequest)
    return "The client can sample."


SCHEMA_2020_12: Mapping[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"enum": ["phone", "email"], "type": "string"},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"required": ["contactMethod"], "properties": {"contactMethod": {"const": "phone"}}},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"city": {"type": "string"}, "street": {"type": "string"}},
        }
    },
    "additionalProperties": False,
}
GREETED: Mapping[str, Any] = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
COMPUTED: Mapping[str, Any] = {
    "type": "object",
    "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
    "required": ["seconds"],
}
MIRRORED: Mapping[str, Any] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    "additionalProperties": False,
}

PLAIN_TOOLS = (
    Tool("test_simple_text", "Answers with text.", simple_text),
    Tool("test_image_content", "Answers with an image.", image),
    Tool("test_audio_content", "Answers with a sound.", audio),
    Tool("test_embedded_resource", "Answers with a resource.", embedded_resource),
    Tool("test_multiple_content_types", "Answers with text, an image and a resource.", several_kinds),
    Tool("test_error_handling", "Fails.", fails),
    Tool("json_schema_2020_12_tool", "Has keywords of JSON Schema 2020-12.", echo_schema, SCHEMA_2020_12),
    Tool("test_x_mcp_header", "Has an argument that a header repeats (SEP-2243).", region, MIRRORED),
    Tool("test_tool_with_logging", "Logs while it works.", logs),
    Tool("test_logging_tool", "Logs while it works, where the request asks for logs.", logs),
    Tool("test_tool_with_progress", "Reports its progress.", reports_progress),
    Tool("test_reconnection", "Ends its response stream before it answers.", cuts_its_stream),
    Tool("greet", "Greets.", greets, GREETED),
    Tool("slow_compute", "Takes its time.", computes, COMPUTED),
    Tool("test_missing_capability", "Refuses a client that cannot sample.", needs_sampling),
)
