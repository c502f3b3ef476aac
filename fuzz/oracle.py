"""What the strict rules make of a document, written again to be obvious, not fast: with the standard library and rfc8785.

Every part of the campaign holds it against the parser and the canonical form. It takes only the limits from the gateway.
"""

import json
import math
from typing import Any

import rfc8785

from gateway.core import wire


def plainly(data: bytes) -> tuple[Any, str | None]:
    """What the standard library reads, and which of our rules the bytes break: written to be obvious, not fast."""
    problems: list[str] = []
    keys = 0

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal keys
        keys += len(found)
        names = [name for name, _ in found]
        if len(set(names)) != len(names):
            problems.append("duplicate key")
        for name in names:
            _no_surrogate(name, problems)
        return dict(found)

    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=pairs)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        return None, f"not JSON: {error}"
    if keys > wire.MAX_KEYS:
        problems.append("too many keys")
    if _values(found) > wire.MAX_VALUES:
        problems.append("too many values")
    _walk(found, 0, problems)
    return found, problems[0] if problems else None


def _values(value: Any) -> int:
    """Members and elements, at any depth (no deeper than the JSON parser went)."""
    below = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return len(below) + sum(_values(item) for item in below)


def _walk(value: Any, depth: int, problems: list[str]) -> None:
    if depth > wire.MAX_DEPTH:
        problems.append("too deep")
        return
    if isinstance(value, str):
        _no_surrogate(value, problems)
    elif isinstance(value, float):
        if not math.isfinite(value):
            problems.append("not finite")
    elif isinstance(value, int):
        if abs(value) > wire.MAX_SAFE_INTEGER:
            problems.append("integer out of range")
    elif value is not None:
        for below in value.values() if isinstance(value, dict) else value:
            _walk(below, depth + 1, problems)


def _no_surrogate(text: str, problems: list[str]) -> None:
    if any(0xD800 <= ord(char) <= 0xDFFF for char in text):
        problems.append("lone surrogate")


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down: True is not 1, 1.0 is not 1."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def floats_become_integers(document: Any) -> bool:
    """RFC 8785 writes floats from 2^53 up to 1e21 with the digits of an integer, which the strict parser then refuses."""
    if isinstance(document, dict | list):
        return any(map(floats_become_integers, document.values() if isinstance(document, dict) else document))
    return isinstance(document, float) and wire.MAX_SAFE_INTEGER < abs(document) < 1e21


def no_jcs(document: Any) -> bool:
    try:
        rfc8785.dumps(document)
    except (rfc8785.CanonicalizationError, UnicodeError):
        return True
    return False


def message_problem(document: Any) -> str | None:
    """Why a document is no JSON-RPC message of MCP, or None."""
    if not isinstance(document, dict) or document.get("jsonrpc") != "2.0":
        return "it is no object with jsonrpc 2.0"
    if "id" in document:
        given = document["id"]
        if isinstance(given, bool) or not isinstance(given, str | int):
            return "the id is no string or integer"
    answers = {"result", "error"} & document.keys()
    if "method" in document:
        fits = isinstance(document["method"], str) and isinstance(document.get("params", {}), dict) and not answers
    else:
        fits = "id" in document and len(answers) == 1
    return None if fits else "it is neither a request, a notification nor a response"
