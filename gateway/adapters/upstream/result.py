"""From an upstream's answer to the result document the pipeline records and hands out.

* an error is a result with `isError`: it is an answer, and does not prove that nothing happened. The JSON-RPC error itself
  is its member `error`, which is taken out of everything else: so it always is one
* a tool's result is a CallToolResult; of other methods each has its own shape
* `_meta` keys of this gateway are taken out: an upstream must not forge a receipt
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from mcp_types import INTERNAL_ERROR, CallToolResult, CompleteResult, EmptyResult, GetPromptResult, ReadResourceResult
from pydantic import BaseModel, ValidationError

from gateway.adapters.upstream.rpc import MALFORMED, Answer, Fault, HttpRefusal, RpcError
from gateway.core.conversation import Ask
from gateway.core.method import ASKED, Method

OWN_META_PREFIX = "dev.sealgate/"
MAX_ERROR_CHARACTERS = 2_000
MAX_ERROR_DATA_BYTES = 8_192
MAX_ASKS = 16
"""Requests for input in one answer."""

INPUT_REQUIRED = "input_required"
MAY_ASK = frozenset({Method.TOOL, Method.RESOURCE, Method.PROMPT})
"""Methods that may be answered with a request for input (2026-07-28)."""

UNANSWERED = "The upstream asked for input in the middle of the call, and nobody answered."
UNASKABLE = "The upstream asked for input in the middle of the call; this is not supported."
ENDLESS = "The upstream asked for input in the middle of the call again and again; it was given up."

_SHAPES: Mapping[Method, type[BaseModel]] = {
    Method.TOOL: CallToolResult,
    Method.RESOURCE: ReadResourceResult,
    Method.PROMPT: GetPromptResult,
    Method.COMPLETE: CompleteResult,
    Method.SUBSCRIBE: EmptyResult,
}


@dataclass(frozen=True, slots=True)
class InputRequired:
    """The upstream wants these answered, and the request again, with `state` as it is. Nothing asked: just again."""

    asks: Mapping[str, Ask]
    state: str | None


def input_required(method: Method, answer: Answer) -> InputRequired | None:
    """What the upstream asks for instead of answering. Raises `Fault` where it has not the protocol's shape."""
    if isinstance(answer, RpcError | HttpRefusal) or answer.get("resultType") != INPUT_REQUIRED or method not in MAY_ASK:
        return None
    requests, state = answer.get("inputRequests") or {}, answer.get("requestState")
    if not isinstance(requests, dict) or len(requests) > MAX_ASKS or not isinstance(state, str | None):
        raise Fault(MALFORMED)
    if not requests and state is None:
        raise Fault(MALFORMED)
    return InputRequired({key: _ask(request) for key, request in requests.items()}, state)


def _ask(request: Any) -> Ask:
    params = request.get("params", {}) if isinstance(request, dict) else None
    if not isinstance(params, dict) or request.get("method") not in ASKED:
        raise Fault(MALFORMED)
    return Ask(Method(request["method"]), params)


def result_document(method: Method, answer: Answer) -> dict[str, Any]:
    """The document, as it came. Raises `Fault` where the answer is no result of that method: nobody could be handed it."""
    if isinstance(answer, RpcError):
        return _rpc_error(method, answer)
    if isinstance(answer, HttpRefusal):
        if method is Method.TOOL:
            return failed(method, f"upstream error {answer.status}: HTTP status")
        return failed(method, f"The upstream refused the request with HTTP status {answer.status}.")
    if answer.get("resultType", "complete") != "complete":
        return failed(method, UNASKABLE)
    try:
        _SHAPES[method].model_validate(answer, by_alias=True, by_name=False)
    except ValidationError:
        raise Fault(MALFORMED) from None  # its text quotes the answer
    if method is Method.TOOL and type(answer.get("isError", False)) is not bool:
        raise Fault(MALFORMED)
    meta = answer.get("_meta", {})
    if not isinstance(meta, dict):
        raise Fault(MALFORMED)
    taken = {"error"} if method is Method.TOOL else {"error", "isError"}
    if any(key.startswith(OWN_META_PREFIX) for key in meta):
        answer = {**answer, "_meta": {key: value for key, value in meta.items() if not key.startswith(OWN_META_PREFIX)}}
    return {key: value for key, value in answer.items() if key not in taken} if taken & answer.keys() else answer


def failed(method: Method, text: str) -> dict[str, Any]:
    """A result that says that there is none, of our own words."""
    if method is Method.TOOL:
        return {"content": [{"type": "text", "text": text}], "isError": True}
    return {"isError": True, "error": {"code": INTERNAL_ERROR, "message": text}}


def _rpc_error(method: Method, error: RpcError) -> dict[str, Any]:
    message = error.message[:MAX_ERROR_CHARACTERS]
    document: dict[str, Any] = {"isError": True, "error": {"code": error.code, "message": message}}
    if error.data is not None and len(orjson.dumps(error.data)) <= MAX_ERROR_DATA_BYTES:
        document["error"]["data"] = error.data
    if method is Method.TOOL:
        document["content"] = [{"type": "text", "text": f"upstream error {error.code}: {message}"}]
    return document
