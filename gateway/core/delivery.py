"""What of a result leaves the gateway: hidden characters made visible, what policy redacts taken out, its size bounded.

In this order, and before anything else sees the result: what is committed to, stored, remembered and answered is the same.
A place that a redaction names in `structuredContent` is often told again in `content`, and the other way round. So the
content is then made anew from what is left of `structuredContent`; where only other places are named, `structuredContent` is
left out. A result without the part that is named cannot be redacted, and is withheld; in one that has the part, a place that
is not there redacts nothing. What is taken out is looked for in all of the rest, and a result in which that would take too
long is withheld, too: the server chooses both.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from gateway.core.canonical import canonical
from gateway.core.fields import values_at
from gateway.core.modification import changed
from gateway.core.obligations import Obligations
from gateway.core.repeated import TooMuch, without
from gateway.core.scan import Scan
from gateway.core.secret_formats import redacted

POLICY = "policy"
MARK = redacted(POLICY)
TOO_MUCH = (
    f"{MARK} The call was done. Policy takes more out of its result than can be looked for in the rest, so all of it is"
    " withheld. Ask for less, in a call of its own."
)
STRUCTURED = "structuredContent"
MAX_PLACES = 4096
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
    if not parts <= result.keys():
        return _notice(MARK, result)
    found = dict(
        islice(((place, value) for pointer in pointers for place, value in values_at(result, pointer)), MAX_PLACES + 1)
    )
    if len(found) > MAX_PLACES:
        return _notice(TOO_MUCH, result)
    copy = changed(result, dict.fromkeys(sorted(found, key=len, reverse=True), MARK))
    try:
        return _rest(result, copy, found.values(), structured=STRUCTURED in parts)
    except TooMuch:
        return _notice(TOO_MUCH, result)


def _rest(result: dict[str, Any], copy: dict[str, Any], taken: Iterable[Any], *, structured: bool) -> dict[str, Any]:
    """What may leave of a copy in which the places are marked. Raises `TooMuch`."""
    if structured:
        left = without(copy[STRUCTURED], taken, MARK)
        if not isinstance(left, dict):
            return _notice(MARK, result)
        return {"content": [_text(canonical(left).decode())], STRUCTURED: left, **_is_error(result)}
    copy.pop(STRUCTURED, None)
    content = copy.get("content")
    if not isinstance(content, list) or not all(
        isinstance(block, dict) and block.get("type") in _KINDS for block in content
    ):
        return _notice(MARK, result)
    return {**without(copy, taken, MARK), **_is_error(result)}


def _notice(text: str, result: dict[str, Any]) -> dict[str, Any]:
    return {"content": [_text(text)], **_is_error(result)}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _is_error(result: dict[str, Any]) -> dict[str, Any]:
    return {"isError": result["isError"]} if "isError" in result else {}
