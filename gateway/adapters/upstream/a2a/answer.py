"""From what an agent answers to the CallToolResult document that the pipeline records and hands out.

* parts: text is text; data is its JSON, and structured content where it is the only data and an object; bytes are an image,
  sound, or an embedded resource; a URL is a link, which nobody here follows
* a task that failed, was rejected or canceled, or asks for something, is an error that the caller reads. To go on, it calls
  again with the ids that the text names
* ids of task and context are in `_meta`, under `a2a`
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson

from gateway.adapters.upstream.a2a.shapes import Message, Part, Task, TaskState
from gateway.adapters.upstream.result import result_document
from gateway.adapters.upstream.rpc import MALFORMED, Fault
from gateway.core.method import Method

META = "a2a"
EMPTY = "The agent answered with nothing."
MAX_NAME_CHARACTERS = 256
_SAID = {
    TaskState.FAILED: "The agent's task failed.",
    TaskState.CANCELED: "The agent's task was canceled.",
    TaskState.REJECTED: "The agent rejected the task.",
    TaskState.INPUT_REQUIRED: "The agent asks for input. To go on, call this tool again with the answer as message and {}.",
    TaskState.AUTH_REQUIRED: "The agent asks for an authorization, which must be given to it directly, not by this tool. "
    "Then call this tool again with {}.",
}


def message_result(message: Message) -> dict[str, Any]:
    """The document. Raises `Fault`."""
    return _document(message.parts, _ids(message.task_id, message.context_id), None)


def task_result(task: Task) -> dict[str, Any]:
    """The document of a task that does not go on by itself. Raises `Fault`."""
    parts = [part for artifact in task.artifacts for part in artifact.parts]
    parts += task.status.message.parts if task.status.message is not None else ()
    ids = _ids(task.id, task.context_id)
    sentence = _SAID.get(task.status.state)
    if sentence is not None:
        sentence = sentence.format(" and ".join(f"{name} {value}" for name, value in ids.items()))
    return _document(parts, {**ids, "state": task.status.state.value}, sentence)


def _ids(task_id: str | None, context_id: str | None) -> dict[str, str]:
    return {name: value for name, value in (("task_id", task_id), ("context_id", context_id)) if value is not None}


def _document(parts: Sequence[Part], meta: dict[str, str], error: str | None) -> dict[str, Any]:
    content = [_text(error)] if error is not None else []
    content += [_content(part) for part in parts]
    document: dict[str, Any] = {"content": content or [_text(EMPTY)]}
    data = [part.data for part in parts if part.data is not None]
    if len(data) == 1 and isinstance(data[0], dict):
        document["structuredContent"] = data[0]
    if error is not None:
        document["isError"] = True
    if meta:
        document["_meta"] = {META: meta}
    return result_document(Method.TOOL, document)


def _content(part: Part) -> dict[str, Any]:
    if sum(value is not None for value in (part.text, part.raw, part.url, part.data)) != 1:
        raise Fault(MALFORMED)
    name = part.filename[:MAX_NAME_CHARACTERS]
    mime = {"mimeType": part.media_type} if part.media_type else {}
    if part.text is not None:
        return _text(part.text)
    if part.url is not None:
        return {"type": "resource_link", "uri": part.url, "name": name or "link", **mime}
    if part.raw is None:
        return _text(orjson.dumps(part.data).decode())
    blob = _standard_base64(part.raw)
    kind = part.media_type.partition("/")[0]
    if kind in ("image", "audio"):
        return {"type": kind, "data": blob, **mime}
    return {"type": "resource", "resource": {"uri": f"a2a:{quote(name or 'part', safe='')}", "blob": blob, **mime}}


def _standard_base64(text: str) -> str:
    """Protobuf's JSON has either alphabet, with or without padding; MCP one."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return b64encode(b64decode(plain + "=" * (-len(plain) % 4), validate=True)).decode()
    except (binascii.Error, ValueError):
        raise Fault(MALFORMED) from None


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
