"""Sealed calls for policy tests, made by the real Sealer from a few words."""

from dataclasses import dataclass, field, replace
from typing import Any

from gateway.core.call import SealedCall, Sealer, ToolRequest
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.commitment import CommitmentKey
from gateway.core.fields import Fields
from gateway.core.run_context import Delegation, Principal, PrincipalKind, RunContext
from gateway.core.schema import ArgumentSchema

READ_ONLY, LOCAL_WRITE, NETWORK, DELEGATED, DESTRUCTIVE = ApprovalMode
FAR_FUTURE = "2099-01-01T00:00:00.000Z"
PAST = "2020-01-01T00:00:00.000Z"
OWN_DELEGATION = Delegation("alice", ("mail__send",), FAR_FUTURE)


@dataclass(frozen=True, slots=True)
class Case:
    """What a policy test varies; the rest is the same in every call."""

    mode: ApprovalMode = READ_ONLY
    upstream: str = "mail"
    tool: str = "send"
    arguments: dict[str, Any] = field(default_factory=dict)
    egress: tuple[str, ...] = ()
    key: bool = True
    roles: tuple[str, ...] = ("agent",)
    kind: PrincipalKind = PrincipalKind.USER
    ceiling: ApprovalMode = DESTRUCTIVE
    delegation: Delegation | None = None
    recent_calls: int = 0
    tenant: str = "default"
    fields: Fields = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)


def sealed(case: Case) -> SealedCall:
    """The call that `case` describes."""
    schema = {"type": "object", "additionalProperties": True, **case.schema}
    capability = Capability(
        ToolDefinition.from_document(case.upstream, {"name": case.tool, "inputSchema": schema}),
        Classification(
            case.mode,
            TrustLevel.UNTRUSTED,
            "mail-team",
            IdempotencyRule.DERIVED,
            case.egress,
            fields=case.fields,
        ),
        ArgumentSchema(schema),
    )
    run = RunContext(
        tenant_id=case.tenant,
        principal=Principal(case.kind, "alice"),
        actors=(Principal(PrincipalKind.AGENT, "assistant"),),
        roles=frozenset(case.roles),
        trace_id="0" * 32,
        run_id="run-1",
        mode_ceiling=case.ceiling,
        delegation=case.delegation,
    )
    request = ToolRequest("envelope-1", capability.id, case.arguments, None, "2026-11-22T10:00:00.000Z")
    call = Sealer(CommitmentKey(bytes(32)), bytes).seal(run, capability, request)
    assert isinstance(call, SealedCall), call
    return call if case.key else replace(call, idempotency=None)
