"""What of a result leaves the gateway: hidden characters made visible, what policy redacts taken out, its size bounded.

In this order, and before anything else sees the result: what is committed to, stored, remembered and answered is the same.
A place that a redaction names in `structuredContent` is often told again in `content`, and the other way round. So the
content is then made anew from what is left of `structuredContent`; where only other places are named, `structuredContent` is
left out. A result without the part that is named cannot be redacted, and is withheld; in one that has the part, a place that
is not there redacts nothing.
"""

import re
from dataclasses import dataclass
from typing import Any

from gateway.core.canonical import canonical
from gateway.core.fields import values_at
from gateway.core.modification import changed
from gateway.core.obligations import Obligations
from gateway.core.redaction import free_name
from gateway.core.scan import Scan
from gateway.core.secret_formats import redacted

POLICY = "policy"
MARK = redacted(POLICY)
STRUCTURED = "structuredContent"
MIN_REPEATED_CHARS = 4
MAX_SPELLED_CHARS = 128
_KINDS = frozenset({"text", "image", "audio", "resource", "resource_link"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result as it leaves, and what was done to it.

    Attributes:
        revealed: the code points that were hidden in it
        redacted: policy took something out
        withheld: the size in bytes that policy allows, where the result is larger
    """

    result: dict[str, Any]
    revealed: tuple[str, ...] = ()
    redacted: bool = False
    withheld: int | None = None


def deliver(document: dict[str, Any], bound: Obligations) -> Delivery:
    """The result of a call, as policy's obligations let it leave. Raises `NotCanonical`."""
    scan = Scan()
    result: dict[str, Any] = scan.of(document)
    if bound.redact:
        result = _redacted(result, bound.redact)
    size = len(canonical(result)) if bound.max_result_bytes is not None else 0
    if bound.max_result_bytes is not None and size > bound.max_result_bytes:
        told = (
            f"The call was done. Its result is withheld: it has more than the {bound.max_result_bytes} bytes that policy"
            " lets through. Ask for less, in a call of its own."
        )
        return Delivery(_notice(told, result), scan.found, bool(bound.redact), bound.max_result_bytes)
    return Delivery(result, scan.found, bool(bound.redact))


def _redacted(result: dict[str, Any], pointers: tuple[str, ...]) -> dict[str, Any]:
    parts = {pointer.split("/")[1] for pointer in pointers}
    structured = STRUCTURED in parts
    if not parts <= result.keys():
        return _notice(MARK, result)
    found = {place: value for pointer in pointers for place, value in values_at(result, pointer)}
    copy = changed(result, dict.fromkeys(sorted(found, key=len, reverse=True), MARK))
    repeated = _patterns({text for value in found.values() for text in _texts(value)})
    if structured:
        left = _without(copy[STRUCTURED], repeated)
        if not isinstance(left, dict):
            return _notice(MARK, result)
        return {"content": [_text(canonical(left).decode())], STRUCTURED: left, **_is_error(result)}
    copy.pop(STRUCTURED, None)
    content = copy.get("content")
    if not isinstance(content, list) or not all(
        isinstance(block, dict) and block.get("type") in _KINDS for block in content
    ):
        return _notice(MARK, result)
    return {**_without(copy, repeated), **_is_error(result)}


def _texts(value: Any) -> list[str]:
    """The strings, names and numbers in what is taken out, as they would stand in another text."""
    if isinstance(value, dict):
        return [*_texts(list(value)), *(text for member in value.values() for text in _texts(member))]
    if isinstance(value, list):
        return [text for element in value for text in _texts(element)]
    text = value if isinstance(value, str) else "" if value is None or isinstance(value, bool) else canonical(value).decode()
    return [text] if len(text) >= MIN_REPEATED_CHARS else []


def _patterns(texts: set[str]) -> list[re.Pattern[str]]:
    """What finds these texts, the longest first: a short one also in other letter case, grouped or not."""
    return [_pattern(text) for text in sorted(texts, key=len, reverse=True)]


def _pattern(text: str) -> re.Pattern[str]:
    signs = [re.escape(char) for char in text if not char.isspace() and char != "-"]
    if len(text) > MAX_SPELLED_CHARS or len(signs) < MIN_REPEATED_CHARS:
        return re.compile(re.escape(text))
    return re.compile(r"[\s-]*".join(signs), re.IGNORECASE)


def _without(value: Any, repeated: list[re.Pattern[str]]) -> Any:
    """`value` without these texts, wherever else they stand in it, also as names."""
    if isinstance(value, dict):
        members: dict[str, Any] = {}
        for name, member in value.items():
            members[free_name(_without(name, repeated), members)] = _without(member, repeated)
        return members
    if isinstance(value, list):
        return [_without(element, repeated) for element in value]
    if isinstance(value, str):
        for pattern in repeated:
            value = pattern.sub(lambda _: MARK, value)
        return value
    if type(value) in (int, float):
        return MARK if any(pattern.fullmatch(canonical(value).decode()) for pattern in repeated) else value
    return value


def _notice(text: str, result: dict[str, Any]) -> dict[str, Any]:
    return {"content": [_text(text)], **_is_error(result)}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _is_error(result: dict[str, Any]) -> dict[str, Any]:
    return {"isError": result["isError"]} if "isError" in result else {}
