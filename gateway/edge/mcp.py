"""MCP ⇄ core: the only module that knows both. Built on the SDK's low-level server, which serves both eras.

`_meta` keys of a tools/call that mean something here (all others are passed over):

* `dev.sealgate/idempotency-key` (or `idempotencyKey`): a string of 1 to 255 characters
* `dev.sealgate/compensates`: the envelope id of a call of the same caller that this one undoes
* `dev.sealgate/run`: {"run_id": string, "safety_mode": an approval mode}; it can only narrow
* `dev.sealgate/intent`: what the run is for (`core/intent.py`); it can only narrow, and only before an untrusted result came
* `dev.sealgate/evidence`: refs of results of the same run that the call stands on, each from this key of a result
* `traceparent`, `tracestate` (W3C Trace Context, SEP-414)
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, assert_never

import structlog
from mcp.server import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolRequestParams, PaginatedRequestParams
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway import __version__
from gateway.core.call import ToolRequest
from gateway.core.capability import ApprovalMode, Capability
from gateway.core.delivery import POLICY
from gateway.core.errors import GatewayError, Overloaded
from gateway.core.ids import is_uuid, trace_id_of
from gateway.core.intent import BadIntent, Intent, read_intent
from gateway.core.outcome import (
    AwaitingApproval,
    Completed,
    Conflict,
    Denied,
    Failed,
    InDoubt,
    Outcome,
    Reason,
    Receipt,
    Replayed,
    Told,
)
from gateway.core.run_context import RunContext
from gateway.core.secret_formats import without_secrets
from gateway.edge.auth import Caller
from gateway.edge.elicitation import Elicitation
from gateway.pipeline import Gateway

PREFIX = "dev.sealgate/"
RECEIPT = PREFIX + "receipt"
OUTCOME = PREFIX + "outcome"
MODE = PREFIX + "approval-mode"
IDEMPOTENCY_KEY = PREFIX + "idempotency-key"
COMPENSATES = PREFIX + "compensates"
REDACTED = PREFIX + "redacted"
RUN = PREFIX + "run"
INTENT = PREFIX + "intent"
EVIDENCE = PREFIX + "evidence"
SCAN = PREFIX + "scan"
WITHHELD = PREFIX + "withheld"
MODIFIED = PREFIX + "modified"
MAX_NAMED = 16
"""So many changed places are named in a text; `dev.sealgate/modified` has all."""

INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
BUSY = -32000
MAX_KEY_CHARS = 255
MAX_TRACESTATE_CHARS = 512
MAX_CITED = 32
MAX_REF_CHARS = 512

INSTRUCTIONS = (
    "Tools behind a gateway that decides and records every call. A refused call says why and what to do. When a call"
    " waits for approval, make exactly the same call again after a person approved it."
)

Context = ServerRequestContext[Any, Any]
_log = structlog.get_logger("sealgate.mcp")


def build_server(
    gateway: Gateway, identify: Callable[[Context], Caller], elicitation: Elicitation | None = None
) -> Server[Any]:
    """The MCP server over one gateway. `identify` tells who sent a request; it was authenticated before.

    `elicitation` asks the person at the client about calls that wait for an approval; None: it does not.
    """

    async def list_tools(context: Context, params: PaginatedRequestParams | None) -> Any:
        catalog = gateway.catalog.current()
        tools = [_listed(catalog.capabilities[name]) for name in sorted(catalog.capabilities)]
        # Stale at once: the catalogue may change at any time.
        return _of_era(context, {"tools": tools}, ttlMs=0, cacheScope="private")

    async def call_tool(context: Context, params: CallToolRequestParams) -> Any:
        meta: Mapping[str, Any] = (context.params or {}).get("_meta") or {}
        request = ToolRequest(
            envelope_id=gateway.clock.new_id(),
            name=params.name,
            arguments=params.arguments or {},
            idempotency_key=_idempotency_key(meta),
            requested_at=gateway.clock.now(),
            compensates=_compensates(meta),
            intent=_intent(meta),
            cites=_cites(meta),
        )
        run = run_context(identify(context), meta, _session_id(context))
        try:
            outcome = await gateway.call(run, request)
            if elicitation is not None and isinstance(outcome, AwaitingApproval):
                answered = await elicitation.answer(context, outcome)
                if isinstance(answered, dict):
                    return {**answered, "_meta": reply(outcome)["_meta"]}
                if answered:
                    again = replace(request, envelope_id=gateway.clock.new_id(), requested_at=gateway.clock.now())
                    again = replace(again, intent=None)  # the run has it by now
                    outcome = await gateway.call(run, again)
            return _of_era(context, reply(outcome))
        except Overloaded as error:
            raise MCPError(BUSY, "The gateway is busy; nothing was done. Try again shortly.") from error
        except GatewayError as error:
            _log.error("call_failed", code=error.code, cause=error.message, envelope_id=request.envelope_id)
            raise MCPError(INTERNAL_ERROR, f"The gateway cannot serve this call [{error.code}].") from error

    def input_schema(name: str) -> Mapping[str, Any] | None:
        capability = gateway.catalog.current().capabilities.get(name)
        return None if capability is None else dict(capability.definition.document["inputSchema"])

    return Server(
        "sealgate",
        version=__version__,
        title="Sealgate",
        instructions=INSTRUCTIONS,
        get_tool_input_schema=input_schema,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def run_context(caller: Caller, meta: Mapping[str, Any], session_id: str | None) -> RunContext:
    """Who asks, in which run. Raises `MCPError` where the client's claim about its run is malformed."""
    claimed = meta.get(RUN, {})
    known = {"run_id", "safety_mode"}
    if not isinstance(claimed, dict) or claimed.keys() - known:
        raise MCPError(INVALID_PARAMS, f'_meta["{RUN}"] is an object with run_id and safety_mode, both optional.')
    run_id = claimed.get("run_id")
    if run_id is not None and not _is_token(run_id):
        raise MCPError(INVALID_PARAMS, f'_meta["{RUN}"].run_id is a string of 1 to 255 printable characters.')
    _, secrets = without_secrets(run_id or "")
    if secrets:
        kinds = ", ".join(secrets)
        raise MCPError(
            INVALID_PARAMS, f'_meta["{RUN}"].run_id holds a secret ({kinds}), and run ids are logged. Use another id.'
        )
    try:
        ceiling = ApprovalMode(claimed.get("safety_mode", ApprovalMode.DESTRUCTIVE))
    except ValueError as error:
        modes = ", ".join(ApprovalMode)
        raise MCPError(INVALID_PARAMS, f'_meta["{RUN}"].safety_mode is one of {modes}.') from error
    traceparent, tracestate = meta.get("traceparent"), meta.get("tracestate")
    trace_id = trace_id_of(traceparent) if isinstance(traceparent, str) else None
    traced = trace_id is not None
    keeps_state = traced and isinstance(tracestate, str) and _is_token(tracestate, MAX_TRACESTATE_CHARS)
    return RunContext(
        tenant_id=caller.tenant_id,
        principal=caller.principal,
        actors=caller.actors,
        roles=caller.roles,
        trace_id=trace_id or os.urandom(16).hex(),
        traceparent=traceparent if traced else None,
        tracestate=tracestate if keeps_state else None,
        run_id=run_id,
        session_id=session_id,
        mode_ceiling=ceiling,
        delegation=caller.delegation,
    )


def reply(outcome: Outcome) -> dict[str, Any]:
    """The MCP result of an outcome. Raises `MCPError` for an unknown tool, which the protocol wants as an error."""
    answer = _reply(outcome)
    if outcome.modified is not None:
        told = {"envelope_id": outcome.modified.original, "pointers": list(outcome.modified.pointers)}
        answer["_meta"][MODIFIED] = told
        named, more = outcome.modified.pointers[:MAX_NAMED], len(outcome.modified.pointers) - MAX_NAMED
        said = f"Policy or a person changed arguments of this call first: {', '.join(named)}"
        said += f", and {more} more." if more > 0 else "."
        answer["content"] = [*answer.get("content", []), {"type": "text", "text": said}]
    return answer


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


def _of_era(context: Context, result: dict[str, Any], **modern: Any) -> dict[str, Any]:
    """`result` with the members that 2026-07-28 requires and the handshake versions do not know."""
    if context.protocol_version not in MODERN_PROTOCOL_VERSIONS:
        return result
    return {**result, **modern, "resultType": "complete"}


def _listed(capability: Capability) -> dict[str, Any]:
    document = dict(capability.definition.document)
    document["name"] = capability.id
    document["_meta"] = {**_foreign(document.get("_meta")), MODE: capability.mode.value}
    return document


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
        **_foreign(document.get("_meta")),
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


def _foreign(meta: Any) -> dict[str, Any]:
    """An upstream's `_meta` without what only the gateway or the protocol layer may say."""
    reserved = (PREFIX, "io.modelcontextprotocol/")
    return {key: value for key, value in meta.items() if not key.startswith(reserved)} if isinstance(meta, dict) else {}


def _idempotency_key(meta: Mapping[str, Any]) -> str | None:
    key = meta.get(IDEMPOTENCY_KEY, meta.get("idempotencyKey"))
    if key is None:
        return None
    if not _is_token(key):
        raise MCPError(
            INVALID_PARAMS, f'_meta["{IDEMPOTENCY_KEY}"] is a string of 1 to {MAX_KEY_CHARS} printable characters.'
        )
    return str(key)


def _compensates(meta: Mapping[str, Any]) -> str | None:
    envelope_id = meta.get(COMPENSATES)
    if envelope_id is None:
        return None
    if not isinstance(envelope_id, str) or not is_uuid(envelope_id):
        raise MCPError(INVALID_PARAMS, f'_meta["{COMPENSATES}"] is the envelope id of a call, as its receipt states it.')
    return envelope_id


def _intent(meta: Mapping[str, Any]) -> Intent | None:
    if INTENT not in meta:
        return None
    try:
        return read_intent(meta[INTENT])
    except BadIntent as error:
        raise MCPError(INVALID_PARAMS, f'_meta["{INTENT}"] is no intent: {error}.') from error


def _cites(meta: Mapping[str, Any]) -> tuple[str, ...]:
    refs = meta.get(EVIDENCE, [])
    if not isinstance(refs, list) or len(refs) > MAX_CITED or not all(_is_token(ref, MAX_REF_CHARS) for ref in refs):
        raise MCPError(INVALID_PARAMS, f'_meta["{EVIDENCE}"] is a list of at most {MAX_CITED} refs, as results state them.')
    return tuple(refs)


def _is_token(value: Any, longest: int = MAX_KEY_CHARS) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest and value.isascii() and value.isprintable()


def _session_id(context: Context) -> str | None:
    """The handshake session the SDK found this request to belong to; in 2026-07-28 the header is only a client's word."""
    if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
        return None
    headers = getattr(context.request, "headers", None)
    session_id: str | None = headers.get("mcp-session-id") if headers is not None else None
    return session_id
