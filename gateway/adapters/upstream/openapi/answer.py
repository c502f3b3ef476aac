"""From an HTTP answer to the CallToolResult document that the pipeline records and hands out.

* status 2xx: the body; a JSON object is structured content as well
* status 3xx: an error: no redirect is followed
* status 4xx and 5xx: an error with the beginning of the body. It is an answer, and does not prove that nothing happened
* 408, 502 and 504 are no answer: whoever said that did not hear from the API in time, and what it did nobody knows
"""

from base64 import b64encode
from http import HTTPStatus
from typing import Any

from gateway.core.wire import MAX_ANSWER_KEYS, Malformed, parse

MAX_ERROR_CHARACTERS = 2_000
NO_ANSWER = frozenset((408, 502, 504))
_TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "application/javascript", "application/x-yaml")


def api_result(status: int, content_type: str, body: bytes) -> dict[str, Any]:
    """The document. `content_type` is without parameters, in lower case."""
    text = _text(content_type, body)
    if not 200 <= status < 300:
        shown = "It redirects, and no redirect is followed." if 300 <= status < 400 else (text or "")[:MAX_ERROR_CHARACTERS]
        return {"content": [_as_text(f"HTTP {status} {_phrase(status)}\n{shown}".strip())], "isError": True}
    if not body:
        return {"content": [_as_text(f"HTTP {status} {_phrase(status)}".strip())]}
    if text is None:
        return {"content": [_binary(content_type, body)]}
    result: dict[str, Any] = {"content": [_as_text(text)]}
    if _is_json(content_type):
        try:
            value = parse(body, max_bytes=len(body), max_keys=MAX_ANSWER_KEYS)
        except Malformed:
            return result  # what not all readers take alike stays text
        if isinstance(value, dict):
            result["structuredContent"] = value
    return result


def _text(content_type: str, body: bytes) -> str | None:
    """The body as text; None where it is none."""
    plain = content_type.startswith("text/") or content_type.endswith("+xml") or content_type in _TEXT_TYPES
    if not plain and not _is_json(content_type):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _is_json(content_type: str) -> bool:
    return content_type == "application/json" or content_type.endswith("+json")


def _binary(content_type: str, body: bytes) -> dict[str, Any]:
    for kind in ("image", "audio"):
        if content_type.startswith(f"{kind}/"):
            return {"type": kind, "data": b64encode(body).decode(), "mimeType": content_type}
    return _as_text(f"(an answer of {len(body)} bytes of type {content_type or 'unknown'}, which is not shown)")


def _as_text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
