"""From an upstream's answer to the CallToolResult document the pipeline records and hands out.

* an error is a result with `isError`: it is an answer, and does not prove that nothing happened
* a result that is not complete (the upstream asks for input) is not supported and becomes such an error
* `_meta` keys of this gateway are taken out: an upstream must not forge a receipt
"""

from typing import Any

from mcp_types import CallToolResult
from pydantic import ValidationError

from gateway.adapters.upstream.rpc import MALFORMED, Answer, Fault, RpcError

OWN_META_PREFIX = "dev.sealgate/"
MAX_ERROR_CHARACTERS = 2_000


def call_result(answer: Answer) -> dict[str, Any]:
    """The document, as it came. Raises `Fault` where the answer is no CallToolResult: nobody could be handed it."""
    if isinstance(answer, RpcError):
        return _error(f"upstream error {answer.code}: {answer.message[:MAX_ERROR_CHARACTERS]}")
    if answer.get("resultType", "complete") != "complete":
        return _error("The upstream asked for input in the middle of the call; this is not supported.")
    try:
        CallToolResult.model_validate(answer, by_alias=True, by_name=False)
    except ValidationError:
        raise Fault(MALFORMED) from None  # its text quotes the answer
    if type(answer.get("isError", False)) is not bool:
        raise Fault(MALFORMED)
    meta = answer.get("_meta", {})
    if not isinstance(meta, dict):
        raise Fault(MALFORMED)
    if not any(key.startswith(OWN_META_PREFIX) for key in meta):
        return answer
    return {**answer, "_meta": {key: value for key, value in meta.items() if not key.startswith(OWN_META_PREFIX)}}


def _error(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": True}
