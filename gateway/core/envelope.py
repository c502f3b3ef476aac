"""The ToolEnvelope: the typed record of one call (predicate of an entry). Field names follow the ContextOS schema.

Argument and result values never enter it: commitments do (`commitment.py`). Reasons enter by code, since a policy's
sentence may quote an argument. What a client says in clear, such as `tracestate`, enters without secrets of known formats; a
run's id that holds one was refused before.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.core.approval import Approved
from gateway.core.call import SealedCall, ToolRequest
from gateway.core.capability import Capability
from gateway.core.commitment import Disclosure
from gateway.core.decision import PolicyDecision
from gateway.core.evidence import EvidenceRef
from gateway.core.obligations import ApproveFor
from gateway.core.outcome import Reason
from gateway.core.run_context import RunContext
from gateway.core.secret_formats import plain

NO_NAME = "[not a tool name]"
_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")

ENVELOPE_VERSION = "sealgate.tool_envelope.v1"


class Status(StrEnum):
    """How a call that may have run ended."""

    COMPLETED = "completed"
    REPLAYED = "replayed"
    FAILED = "failed"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True)
class Answered:
    """The upstream answered. `result` is the MCP document as it will be replied, `disclosure` its commitment."""

    result: dict[str, Any]
    is_error: bool
    protocol: str
    disclosure: Disclosure
    evidence: EvidenceRef


@dataclass(frozen=True, slots=True)
class NotDone:
    """It ended with certainly no effect: never sent, or refused by the upstream's protocol layer."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was sent and its end is not known."""

    reason: Reason


Ending = Answered | NotDone | Unknown


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that ended before it could run: what was known of it by then. `modified_into`: the call that runs instead."""

    run: RunContext
    request: ToolRequest
    reasons: tuple[Reason, ...]
    capability: Capability | None = None
    call: SealedCall | None = None
    decision: PolicyDecision | None = None
    approval_id: str | None = None
    modified_into: str | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """A call that was answered with the stored result of `of`, another envelope; `evidence` is that result."""

    call: SealedCall
    decision: PolicyDecision
    of: str
    evidence: EvidenceRef


def call_envelope(call: SealedCall, decision: PolicyDecision, approved: Approved | None = None) -> dict[str, Any]:
    """The envelope of a sealed and decided call."""
    return {
        **_head(call.envelope_id, call.run, call.capability),
        "call": {
            "arguments": {disclosure.name: disclosure.digest for disclosure in call.disclosures},
            "call_digest": call.call_digest,
            "requested_at": call.requested_at,
        },
        "idempotency": call.idempotency
        and {
            "reservation": call.idempotency.reservation,
            "key": call.idempotency.commitment,
            "scope": call.idempotency.scope,
            "derived": call.idempotency.derived,
        },
        **({} if call.compensates is None else {"compensates": call.compensates}),
        **({} if call.modified_from is None else {"modified_from": call.modified_from}),
        "flow": call.scope,
        **({} if call.intent is None else {"intent": call.intent}),
        **({"evidence_refs": evidence_in(call)} if call.cited else {}),
        "policy": _policy(decision),
        "approval": approved and _approval(approved),
    }


def _approval(approved: Approved) -> dict[str, Any]:
    """Which request, and whose yeses. Route, approver and key are those of the answer that was the last it took."""
    last = approved.answers[-1]
    return {
        "approval_id": approved.request.approval_id,
        "route": last.route.value,
        "answer": last.answer.value,
        "approver": last.approver,
        "keyid": last.keyid,
        "expires_at": approved.request.expires_at,
        "advisory": approved.request.advisory,
        "answers": [{"approver": one.approver, "keyid": one.keyid, "route": one.route.value} for one in approved.answers],
        **({} if approved.instead_of is None else {"approve_for": ApproveFor.RUN.value}),
    }


def refusal_envelope(refusal: Refusal) -> dict[str, Any]:
    """The envelope of a refused call, with as much as was known; `reasons` say why."""
    if refusal.call is not None and refusal.decision is not None:
        envelope = call_envelope(refusal.call, refusal.decision)
    else:
        envelope = _head(refusal.request.envelope_id, refusal.run, refusal.capability)
        envelope["call"] = {"requested_name": _requested(refusal.request.name), "requested_at": refusal.request.requested_at}
        if refusal.decision is not None:
            envelope["policy"] = _policy(refusal.decision)
    envelope["reasons"] = [reason.code for reason in refusal.reasons]
    if refusal.approval_id is not None:
        envelope["approval"] = {"approval_id": refusal.approval_id}
    if refusal.modified_into is not None:
        envelope["modified_into"] = refusal.modified_into
    return envelope


def evidence_in(call: SealedCall) -> list[dict[str, Any]]:
    """The results that the call stands on."""
    return [{**cited.document(), "use": "in"} for cited in call.cited]


def replay_fields(replay: Replay) -> dict[str, Any]:
    """`result` and `evidence_refs` of a call that was answered with a stored result."""
    return {
        "result": {"status": Status.REPLAYED.value, "replay_of": replay.of},
        "evidence_refs": [*evidence_in(replay.call), replay.evidence.document()],
    }


def result_fields(call: SealedCall, ending: Ending, duration_ms: int) -> dict[str, Any]:
    """`result` of a call that was begun, and its `evidence_refs` where it was answered."""
    match ending:
        case Answered():
            result = {
                "status": Status.COMPLETED.value,
                "commitment": ending.disclosure.digest,
                "is_error": ending.is_error,
                "duration_ms": duration_ms,
                "upstream_protocol": ending.protocol,
            }
            return {"result": result, "evidence_refs": [*evidence_in(call), ending.evidence.document()]}
        case NotDone(reason):
            return {"result": {"status": Status.FAILED.value, "reason": reason.code, "duration_ms": duration_ms}}
        case Unknown(reason):
            return {"result": {"status": Status.IN_DOUBT.value, "reason": reason.code, "duration_ms": duration_ms}}


def _head(envelope_id: str, run: RunContext, capability: Capability | None) -> dict[str, Any]:
    return {
        "envelope_version": ENVELOPE_VERSION,
        "envelope_id": envelope_id,
        "run": {
            "run_id": run.run_id,
            "trace_id": run.trace_id,
            "session_id": run.session_id,
            "tenant_id": run.tenant_id,
            "principal_chain": run.principal_chain,
            "credential": run.credential,
            "safety_mode": run.mode_ceiling.value,
        },
        "traceparent": run.traceparent,
        "tracestate": None if run.tracestate is None else plain(run.tracestate),
        "capability": capability
        and {
            "capability_id": capability.id,
            "definition_digest": capability.definition.digest,
            "upstream": capability.upstream,
        },
        "approval_mode_requested": capability and capability.mode.value,
        "approval_mode_effective": capability and capability.mode.value,
        "approval_mode_highest": capability and capability.mode.value,
    }


def _policy(decision: PolicyDecision) -> dict[str, Any]:
    return {
        "decision_id": decision.decision_id,
        "engine": decision.engine,
        "bundle_revision": decision.bundle_revision,
        "effect": decision.effect.value,
        "reasons": [reason.code for reason in decision.reasons],
        "obligations": list(decision.obligations.names),
    }


def _requested(name: str) -> str:
    """A name that some client sent. What has not the form of a tool's name may be anything, so it is not written down."""
    return plain(name) if _NAME.fullmatch(name) else NO_NAME
