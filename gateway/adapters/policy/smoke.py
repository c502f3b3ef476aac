"""Calls that every policy must be able to decide before it is put to work.

regorus finds an unknown function, a bad pattern or a rule that calls itself only when it evaluates the rule. So each
bundle first decides, for every approval mode, a call that has all it could need and calls that lack something, in a clean
run and in one that has read what is not to be believed.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from gateway.adapters.policy.process import Fault, PolicyProcess
from gateway.core.call import Compensated, SealedCall, Sealer, ToolRequest
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.circumstances import Circumstances, IntentTold, Leaf, Origin, Provenance
from gateway.core.commitment import CommitmentKey
from gateway.core.decision import policy_input, read_verdict
from gateway.core.errors import ConfigError
from gateway.core.fields import FieldRole
from gateway.core.run_context import Delegation, Principal, PrincipalKind, RunContext
from gateway.core.schema import ArgumentSchema

NOW = "2026-01-01T00:00:00.000Z"
COMPLETE = RunContext(
    tenant_id="default",
    principal=Principal(PrincipalKind.USER, "smoke"),
    actors=(Principal(PrincipalKind.AGENT, "smoke"),),
    roles=frozenset({"agent"}),
    trace_id="0" * 32,
    run_id="smoke",
    delegation=Delegation("smoke", ("smoke__test", "smoke__*"), "2027-01-01T00:00:00.000Z"),
)
BARE = replace(COMPLETE, actors=(), roles=frozenset(), run_id=None, delegation=None)
UNDELEGATED = replace(COMPLETE, delegation=None)
OUTDATED = replace(COMPLETE, delegation=Delegation("other", (), "2025-01-01T00:00:00.000Z"))
UNKNOWN_TENANT = replace(COMPLETE, tenant_id="other", roles=frozenset({"agent", "approver", "auditor", "admin"}))

ARGUMENTS = {"path": "/srv/smoke/a", "host": "host.example", "amount": 1.5, "recipient": ["a@host.example"], "text": "smoke"}
FIELDS = {
    FieldRole.PATH: ("/path",),
    FieldRole.HOST: ("/host",),
    FieldRole.AMOUNT: ("/amount",),
    FieldRole.RECIPIENT: ("/recipient/*",),
    FieldRole.CONTENT: ("/text",),
}
VOUCHED = (
    Leaf("/path", FieldRole.PATH, frozenset({Origin.INTENT})),
    Leaf("/host", FieldRole.HOST, frozenset({Origin.DEFINITION, Origin.UNTRUSTED})),
    Leaf("/amount", FieldRole.AMOUNT, frozenset({Origin.TRUSTED})),
    Leaf("/text", FieldRole.CONTENT, frozenset({Origin.UNTRUSTED})),
)
FROM_NOWHERE = (*VOUCHED, Leaf("/recipient/0", FieldRole.RECIPIENT, frozenset()), Leaf("/other", None, frozenset()))
NAMED = IntentTold(("smoke__test",), fulfilled=True)
RUNS = {
    "first": Circumstances(),
    "late": Circumstances(
        recent_calls=1_000_000, run_calls=1_000_000, run_effects=1_000_000, cited=("untrusted", "trusted")
    ),
    "tainted": Circumstances(provenance=Provenance(tainted=True, leaves=VOUCHED)),
    "covered": Circumstances(provenance=Provenance(tainted=True, leaves=VOUCHED), intent=NAMED),
    "covered by its task": Circumstances(provenance=Provenance(tainted=True), intent=IntentTold(None, fulfilled=True)),
    "doubtful": Circumstances(provenance=Provenance(tainted=True, leaves=FROM_NOWHERE), intent=NAMED),
    "half known": Circumstances(provenance=Provenance(tainted=True, complete=False, leaves=VOUCHED), intent=NAMED),
    "unnamed": Circumstances(intent=IntentTold(("smoke__other",), fulfilled=True)),
    "unfulfilled": Circumstances(intent=IntentTold(("smoke__test",), fulfilled=False)),
}


async def smoke(process: PolicyProcess, seconds: float) -> None:
    """Let `process` decide every call below, each within `seconds`. Raises `ConfigError` where it cannot."""
    process.patience = seconds
    loop = asyncio.get_running_loop()
    for what, document in smoke_inputs():
        answer = await process.ask(b"D", document, loop.time() + seconds)
        cause = answer.where() if isinstance(answer, Fault) else read_verdict(orjson.loads(answer), str).cause
        if cause is not None:
            raise ConfigError(
                f"the policies cannot decide {what}: {cause}",
                hint="Correct the policy; every call must get {effect, reasons, obligations}.",
            )


def smoke_inputs() -> Iterator[tuple[str, bytes]]:
    """What is tried, and the input document."""
    for mode in ApprovalMode:
        for what, run in (("complete", COMPLETE), ("bare", BARE), ("undelegated", UNDELEGATED), ("outdated", OUTDATED)):
            yield f"a {what} {mode} call", _input(_sealed(mode, ("host.example",), run), Circumstances())
        keyless = replace(_sealed(mode, (), COMPLETE), idempotency=None)
        yield f"a {mode} call without key and egress", _input(keyless, Circumstances(recent_calls=1_000_000))
        full = _sealed(mode, ("host.example",), COMPLETE, ARGUMENTS)
        for what, around in RUNS.items():
            yield f"a {mode} call with fields in a run that is {what}", _input(full, around)
        unknown = _sealed(mode, ("host.example",), UNKNOWN_TENANT, ARGUMENTS)
        yield f"a {mode} call of another tenant", _input(unknown, Circumstances())
        if mode.has_effect:
            undone = Compensated("undone", "smoke__test", "hmac-sha256:00")
            yield f"a {mode} call that undoes another", _input(_sealed(mode, (), COMPLETE), Circumstances(0, undone))


def smoke_call() -> SealedCall:
    """One call that has all it could need: for asking an engine whether it decides at all."""
    return _sealed(ApprovalMode.LOCAL_WRITE, ("host.example",), COMPLETE)


def _sealed(
    mode: ApprovalMode, egress: tuple[str, ...], run: RunContext, arguments: dict[str, Any] | None = None
) -> SealedCall:
    schema = {"type": "object", "additionalProperties": True}
    definition = ToolDefinition.from_document("smoke", {"name": "test", "inputSchema": schema})
    declared = FIELDS if arguments else {}
    classification = Classification(mode, TrustLevel.UNTRUSTED, "smoke", IdempotencyRule.DERIVED, egress, fields=declared)
    capability = Capability(definition, classification, ArgumentSchema(schema))
    sealed = Sealer(CommitmentKey(bytes(32)), bytes).seal(
        run, capability, ToolRequest("smoke", capability.id, arguments or {}, None, NOW)
    )
    if not isinstance(sealed, SealedCall):
        raise TypeError(f"the smoke call cannot be sealed: {sealed}")
    return sealed


def _input(call: SealedCall, around: Circumstances) -> bytes:
    return policy_input(call, around, dev=False, now=NOW)
