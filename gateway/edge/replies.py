"""Outcome → MCP result. What a client is told of a call beside the upstream's answer stands in `_meta`."""

from typing import Any, assert_never

from mcp.shared.exceptions import MCPError
from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY

from gateway.core.delivery import POLICY
from gateway.core.method import Method
from gateway.core.outcome import (
    AwaitingApproval,
    Completed,
    Conflict,
    Denied,
    Failed,
    InDoubt,
    Modified,
    Outcome,
    Reason,
    Receipt,
    Replayed,
    Told,
)
from gateway.edge.meta import (
    EVIDENCE,
    INVALID_PARAMS,
    MODIFIED,
    OUTCOME,
    RECEIPT,
    REDACTED,
    SCAN,
    WITHHELD,
    foreign,
)

NOT_DONE = -32010
"""The gateway did not do it, and says why."""
RESOURCE_NOT_FOUND = -32002
"""In the handshake versions; since 2026-07-28 it is an invalid parameter."""
_MEMBERS = {
    Method.RESOURCE: "contents",
    Method.PROMPT: "messages",
    Method.COMPLETE: "completion",
}
"""What each result is about."""
MAX_NAMED = 16
"""So many changed places are named in a text; `dev.sealgate/modified` has all."""


def reply(outcome: Outcome) -> dict[str, Any]:
    """The result of a tools/call. Raises `MCPError` for an unknown tool, which the protocol wants as an error, and where the
    upstream says that the client lacks a capability, which the client must be able to tell."""
    answer = _reply(outcome)
    error = answer.pop("error", None)
    if isinstance(error, dict) and error.get("code") == MISSING_REQUIRED_CLIENT_CAPABILITY:
        raise _relayed(error, answer)
    if outcome.modified is not None:
        answer["_meta"][MODIFIED] = _modified(outcome.modified)
        named, more = outcome.modified.pointers[:MAX_NAMED], len(outcome.modified.pointers) - MAX_NAMED
        said = f"Policy or a person changed arguments of this call first: {', '.join(named)}"
        said += f", and {more} more." if more > 0 else "."
        answer["content"] = [*answer.get("content", []), {"type": "text", "text": said}]
    return answer


def reply_of(method: Method, outcome: Outcome, asked: dict[str, Any], *, modern: bool) -> dict[str, Any]:
    """The result of a call that is no tool's; `asked`: its arguments. Raises `MCPError` where there is none: these methods
    have no other way to say so."""
    answer = _reply_or_unknown(method, outcome, asked, modern=modern)
    error = answer.pop("error", None)
    if isinstance(error, dict):
        raise _relayed(error, answer)
    if answer.pop("isError", False):
        told = answer["_meta"]
        raise MCPError(NOT_DONE, _text_of(answer), {RECEIPT: told[RECEIPT], OUTCOME: told[OUTCOME]})
    said = answer.pop("content", None)
    if method is not Method.SUBSCRIBE and _MEMBERS[method] not in answer:  # policy withholds it, and says so
        answer.update(_notice(method, asked, _text_of({"content": said or []})))
    if outcome.modified is not None:
        answer["_meta"][MODIFIED] = _modified(outcome.modified)
    return answer


def _reply_or_unknown(method: Method, outcome: Outcome, asked: dict[str, Any], *, modern: bool) -> dict[str, Any]:
    match outcome:
        case Denied((Reason("resource.unknown", message), *_), receipt):
            code = INVALID_PARAMS if modern else RESOURCE_NOT_FOUND
            raise MCPError(code, message, {"uri": asked.get("uri"), RECEIPT: receipt.document()})
        case Denied((Reason("prompt.unknown" | "completion.unknown", message), *_), receipt):
            raise MCPError(INVALID_PARAMS, message, {RECEIPT: receipt.document()})
        case _:
            return _reply(outcome)


def _modified(modified: Modified) -> dict[str, Any]:
    return {"envelope_id": modified.original, "pointers": list(modified.pointers)}


def _relayed(error: dict[str, Any], answer: dict[str, Any]) -> MCPError:
    """An upstream's JSON-RPC error, with the receipt of the call that it ended."""
    data = error.get("data")
    receipt = {RECEIPT: answer["_meta"][RECEIPT]}
    told = {**foreign(data), **receipt} if isinstance(data, dict) else data or receipt
    return MCPError(error["code"], error["message"], told)


def _notice(method: Method, asked: dict[str, Any], text: str) -> dict[str, Any]:
    match method:
        case Method.RESOURCE:
            return {_MEMBERS[method]: [{"uri": asked["uri"], "mimeType": "text/plain", "text": text}]}
        case Method.PROMPT:
            return {_MEMBERS[method]: [{"role": "user", "content": {"type": "text", "text": text}}]}
        case _:
            return {"completion": {"values": []}}


def _text_of(answer: dict[str, Any]) -> str:
    return "\n".join(str(block.get("text", "")) for block in answer.get("content", []))


def _reply(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Completed(result, receipt, told):
            return _result(result, receipt, {"outcome": "completed"}, told)
        case Replayed(result, receipt, note, told, resolved_by, redacted):
            how = {"outcome": "replayed", **({} if resolved_by is None else {"resolved_by": resolved_by})}
            return _result(result, receipt, how, told, redacted, note)
        case Denied((Reason("tool.unknown", message), *_), receipt):
            raise MCPError(INVALID_PARAMS, message, {RECEIPT: receipt.document()})
        case Denied(reasons, receipt):
            return _refusal("denied", reasons, receipt, "Denied; the call did not run.")
        case AwaitingApproval(approval_id, expires_at, reasons, receipt):
            advice = (
                f"This call waits for a person's approval and has not run. Approval id: {approval_id}, until {expires_at}."
                f" Someone who may approve it runs: sealgate approvals approve {approval_id}"
                " — then make exactly the same call again; it resumes this request."
            )
            more = {"approval_id": approval_id, "expires_at": expires_at}
            return _refusal("awaiting_approval", reasons, receipt, advice, more)
        case Conflict(reason, receipt):
            return _refusal("conflict", (reason,), receipt, "Not run.")
        case InDoubt(reason, receipt):
            return _refusal("in_doubt", (reason,), receipt, "In doubt: it may or may not have happened.")
        case Failed(reason, receipt):
            return _refusal("failed", (reason,), receipt, "Failed; it had no effect.")
        case _:
            assert_never(outcome)


def _result(
    document: dict[str, Any],
    receipt: Receipt,
    how: dict[str, Any],
    told: Told,
    redacted: tuple[str, ...] = (),
    note: str | None = None,
) -> dict[str, Any]:
    delivery = told.delivery
    kinds = sorted({*redacted, *([POLICY] if delivery.redacted else [])})
    result = dict(document)
    result["_meta"] = {
        **foreign(document.get("_meta")),
        RECEIPT: receipt.document(),
        OUTCOME: how,
        EVIDENCE: told.evidence.told(),
        **({REDACTED: kinds} if kinds else {}),
        **({SCAN: list(delivery.revealed)} if delivery.revealed else {}),
        **({} if delivery.withheld is None else {WITHHELD: {"max_result_bytes": delivery.withheld}}),
    }
    if note is not None:
        result["content"] = [*result.get("content", []), {"type": "text", "text": note}]
    return result


def _refusal(
    outcome: str, reasons: tuple[Reason, ...], receipt: Receipt, advice: str, more: dict[str, Any] | None = None
) -> dict[str, Any]:
    lines = [advice, *(f"{reason.message} [{reason.code}]" for reason in reasons)]
    told = {"outcome": outcome, "reasons": [reason.code for reason in reasons], **(more or {})}
    return {
        "content": [{"type": "text", "text": "\n".join(lines)}],
        "isError": True,
        "_meta": {RECEIPT: receipt.document(), OUTCOME: told},
    }
