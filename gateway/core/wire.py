"""One parser for every byte a client or an upstream sends (DESIGN: strict in, canonical out).

Rules, all of them before anything else sees the document:

* valid UTF-8, one JSON value, nothing after it; at most 1 MiB
* no duplicate object key, also not through escapes
* numbers are finite; integers lie within ±(2^53−1), so that policy, digest and upstream see the same number
* no lone surrogate; depth at most 64
* at most 10,000 object keys, and 50,000 values: members of objects and elements of arrays together (ten times both in an
  upstream's answer: it may list many tools)
* a JSON-RPC 2.0 message: one object, never a batch; an id is a string or an integer, never null

Sources: RFC 8259, RFC 7493 (I-JSON), JSON-RPC 2.0, MCP 2026-07-28 "Base protocol".
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jiter

MAX_BYTES = 1 << 20
MAX_DEPTH = 64
MAX_KEYS = 10_000
MAX_ANSWER_KEYS = 100_000
VALUES_PER_KEY = 5
MAX_VALUES = VALUES_PER_KEY * MAX_KEYS
MAX_SAFE_INTEGER = 2**53 - 1

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
INVALID_PARAMS = -32602

RequestId = str | int


class Malformed(Exception):
    """Bytes that are refused: the JSON-RPC error to answer with, and the request's id where one can be recovered."""

    def __init__(self, code: int, message: str, request_id: RequestId | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.request_id = request_id

    def reply(self) -> dict[str, Any]:
        """The JSON-RPC error response; id is null where none was recovered (JSON-RPC 2.0 section 5)."""
        error = {"code": self.code, "message": self.message}
        return {"jsonrpc": "2.0", "id": self.request_id, "error": error}


def parse(data: bytes, *, max_bytes: int = MAX_BYTES, max_keys: int = MAX_KEYS) -> Any:
    """The JSON value in `data`. Raises `Malformed` where a rule above is broken."""
    if len(data) > max_bytes:
        raise Malformed(INVALID_REQUEST, f"message is larger than {max_bytes} bytes")
    try:
        document = jiter.from_json(data, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise Malformed(PARSE_ERROR, f"not acceptable JSON: {_cause(error)}", _recover_id(data)) from error
    problem = document_problem(document, max_keys)
    if problem is not None:
        raise Malformed(INVALID_REQUEST, problem, _recover_id(data))
    return document


def document_problem(document: Any, max_keys: int = MAX_KEYS) -> str | None:
    """What breaks the number, depth and size rules in a parsed document, or None. Iterative: depth cannot overflow.

    The cap on values follows that on keys: `VALUES_PER_KEY` times as many.
    """
    keys = values = 0
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is dict:
                keys += len(value)
                below.extend(value.values())
            elif kind is list:
                below.extend(value)
            elif kind is int and not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
                return "an integer is outside ±(2^53−1); send it as a string"
            elif kind is float and not math.isfinite(value):
                return "a number is not finite"
        if keys > max_keys:
            return f"more than {max_keys} object keys"
        values += len(below)
        if values > max_keys * VALUES_PER_KEY:
            return f"more than {max_keys * VALUES_PER_KEY} values in objects and arrays"
        if not below:
            return None
        level = below
    return f"nested deeper than {MAX_DEPTH} levels"


def message(data: bytes, *, max_bytes: int = MAX_BYTES, max_keys: int = MAX_KEYS) -> dict[str, Any]:
    """The JSON-RPC message in `data`: a request, a notification or a response. Raises `Malformed`."""
    return check_message(parse(data, max_bytes=max_bytes, max_keys=max_keys))


def check_message(document: Any) -> dict[str, Any]:
    """`document` if it is one JSON-RPC 2.0 message; raises `Malformed` otherwise."""
    if isinstance(document, list):
        raise Malformed(INVALID_REQUEST, "batches are not accepted: send one message at a time")
    if not isinstance(document, dict):
        raise Malformed(INVALID_REQUEST, "a message is a JSON object")
    request_id = document.get("id")
    recovered = request_id if _is_id(request_id) else None
    if document.get("jsonrpc") != "2.0":
        raise Malformed(INVALID_REQUEST, 'member "jsonrpc" must be "2.0"', recovered)
    if "id" in document and recovered is None:
        raise Malformed(INVALID_REQUEST, "an id is a string or an integer")
    if "method" in document:
        if not isinstance(document["method"], str):
            raise Malformed(INVALID_REQUEST, 'member "method" must be a string', recovered)
        if not isinstance(document.get("params", {}), dict):
            raise Malformed(INVALID_REQUEST, 'member "params" must be an object', recovered)
        if "result" in document or "error" in document:
            raise Malformed(INVALID_REQUEST, "a message is a request or a response, not both", recovered)
    elif recovered is None or ("result" in document) == ("error" in document):
        raise Malformed(INVALID_REQUEST, "neither a request, a notification nor a response", recovered)
    return document


@dataclass(frozen=True, slots=True)
class Overlong:
    """A line that grew past the cap and was dropped up to its end."""

    max_bytes: int


class LineSplitter:
    """Newline-delimited frames from a byte stream, with a cap on what is held: a flood costs no memory.

    Not thread-safe; one per stream.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._dropping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | Overlong]:
        """The frames that `chunk` completes; an `Overlong` is reported as soon as the cap is passed."""
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if self._dropping:
                self._dropping = False
                continue
            self._held += line
            frame = bytes(self._held)
            self._held.clear()
            if len(frame) > self._max_bytes:
                yield Overlong(self._max_bytes)
            elif frame.strip():
                yield frame
        if self._dropping:
            return
        self._held += rest
        if len(self._held) > self._max_bytes:
            self._held.clear()
            self._dropping = True
            yield Overlong(self._max_bytes)


def _is_id(value: Any) -> bool:
    return type(value) is str or (type(value) is int and abs(value) <= MAX_SAFE_INTEGER)


def _recover_id(data: bytes) -> RequestId | None:
    """The id of a refused frame, if there is exactly one at the top level. Only the error path comes here."""
    top_level: list[tuple[str, Any]] = []

    def keep(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal top_level
        top_level = pairs  # the outermost object is finished last
        return {}

    try:
        text = data.decode(errors="replace")
        outermost = json.loads(text, strict=False, object_pairs_hook=keep, parse_int=_short_integer)
    except (ValueError, RecursionError):
        return None
    if not isinstance(outermost, dict):
        return None
    ids = [value for key, value in top_level if key == "id"]
    return ids[0] if len(ids) == 1 and _is_id(ids[0]) and _whole(ids[0]) else None


def _whole(request_id: RequestId) -> bool:
    """Whether the id can be sent back as it came: no lone surrogate in it, and nothing that stands for wrong UTF-8."""
    return isinstance(request_id, int) or (request_id.isprintable() and "\ufffd" not in request_id)


def _short_integer(text: str) -> int | None:
    """An integer that may be an id. Python refuses to read very long ones, which would hide the id beside them."""
    return int(text) if len(text) <= 20 else None


def _cause(error: ValueError) -> str:
    """The parser's reason without the client's own text, which jiter quotes for a duplicate key."""
    text = str(error)
    return "duplicate object key" if text.startswith("Detected duplicate key") else text
