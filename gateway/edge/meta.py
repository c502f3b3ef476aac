"""What a request says in `_meta`, as far as it means something here (all other keys are passed over):

* `dev.sealgate/idempotency-key` (or `idempotencyKey`): a string of 1 to 255 characters
* `dev.sealgate/compensates`: the envelope id of a call of the same caller that this one undoes
* `dev.sealgate/run`: {"run_id": string, "safety_mode": an approval mode}; it can only narrow
* `dev.sealgate/intent`: what the run is for (`core/intent.py`); it can only narrow, and only before an untrusted result came
* `dev.sealgate/evidence`: refs of results of the same run that the call stands on, each from this key of a result
* `traceparent`, `tracestate` (W3C Trace Context, SEP-414)

All readers raise `MCPError` where a value is malformed.
"""

import os
from collections.abc import Mapping
from typing import Any

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from gateway.core.call import ToolRequest
from gateway.core.capability import ApprovalMode
from gateway.core.ids import is_uuid, trace_id_of
from gateway.core.intent import BadIntent, Intent, read_intent
from gateway.core.method import Method
from gateway.core.ports import Clock
from gateway.core.run_context import RunContext
from gateway.core.secret_formats import without_secrets
from gateway.edge.auth import Caller

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

INVALID_PARAMS = -32602
MAX_KEY_CHARS = 255
MAX_TRACESTATE_CHARS = 512
MAX_CITED = 32
MAX_REF_CHARS = 512

Context = ServerRequestContext[Any, Any]


def meta_of(context: Context) -> Mapping[str, Any]:
    """`_meta` of a request as it came."""
    meta: Mapping[str, Any] = (context.params or {}).get("_meta") or {}
    return meta


def is_modern(context: Context) -> bool:
    """Whether the request is of 2026-07-28 or later."""
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS


def request_of(context: Context, clock: Clock, method: Method, name: str, arguments: dict[str, Any]) -> ToolRequest:
    """The call that a request makes of the capability `name`."""
    meta = meta_of(context)
    return ToolRequest(
        envelope_id=clock.new_id(),
        name=name,
        arguments=arguments,
        idempotency_key=_idempotency_key(meta),
        requested_at=clock.now(),
        compensates=_compensates(meta),
        intent=_intent(meta),
        cites=_cites(meta),
        method=method,
    )


def run_context(caller: Caller, meta: Mapping[str, Any], session_id: str | None) -> RunContext:
    """Who asks, in which run."""
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
        credential=caller.credential,
        tools=caller.tools,
    )


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


def session_id_of(context: Context) -> str | None:
    """The handshake session the SDK found this request to belong to; in 2026-07-28 the header is only a client's word."""
    if is_modern(context):
        return None
    headers = getattr(context.request, "headers", None)
    session_id: str | None = headers.get("mcp-session-id") if headers is not None else None
    return session_id


def foreign(meta: Any) -> dict[str, Any]:
    """An upstream's `_meta` without what only the gateway or the protocol layer may say."""
    reserved = (PREFIX, "io.modelcontextprotocol/")
    return {key: value for key, value in meta.items() if not key.startswith(reserved)} if isinstance(meta, dict) else {}
