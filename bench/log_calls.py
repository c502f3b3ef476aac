"""The records that the log is filled with: intent and outcome of small `local_write` calls, as a gateway writes them."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.core.call import SealedCall, Sealer, ToolRequest
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.commitment import CommitmentKey
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.entry import Kind, Record
from gateway.core.envelope import Status, call_envelope
from gateway.core.ids import uuid7
from gateway.core.run_context import Principal, PrincipalKind, RunContext
from gateway.core.schema import ArgumentSchema

_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def call_body() -> dict[str, Any]:
    """The envelope of a call with three arguments, as the pipeline makes it."""
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("to", "subject", "text")}}
    document = {"name": "send", "description": "Send a message.", "inputSchema": schema}
    capability = Capability(
        ToolDefinition.from_document("mail", document),
        Classification(ApprovalMode.LOCAL_WRITE, TrustLevel.UNTRUSTED, "mail-team", IdempotencyRule.DERIVED),
        ArgumentSchema(schema),
    )
    run = RunContext(
        "default",
        Principal(PrincipalKind.USER, "alice"),
        (Principal(PrincipalKind.AGENT, "assistant"),),
        frozenset({"agent"}),
        os.urandom(16).hex(),
    )
    arguments = {"to": "bob@example.com", "subject": "Minutes", "text": "As we agreed."}
    request = ToolRequest(_id(0), "mail__send", arguments, "key-1", _at(0))
    call = Sealer(CommitmentKey(os.urandom(32)), os.urandom).seal(run, capability, request)
    if not isinstance(call, SealedCall):
        raise TypeError(f"the call was refused: {call}")
    return call_envelope(call, PolicyDecision(_id(1), "embedded", "sha256:" + "a" * 64, Effect.ALLOW, ()))


def call_records(body: Mapping[str, Any], number: int) -> tuple[Record, Record]:
    """Intent and outcome of call `number`; `body` comes from `call_body`."""
    own = {**body, "envelope_id": _id(number)}
    result = {
        "status": Status.COMPLETED.value,
        "commitment": "Zx3bq0nZQyqj5m6s0uWv8T1rY2k4p7c9d0e1f2g3h4i",
        "is_error": False,
        "duration_ms": 11,
        "upstream_protocol": "2026-07-28",
    }
    return (
        Record(Kind.INTENT, own["envelope_id"], _at(number), own),
        Record(Kind.OUTCOME, own["envelope_id"], _at(number), {**own, "result": result}),
    )


def _id(number: int) -> str:
    return uuid7(int(_DAY.timestamp() * 1000) + number, os.urandom(10))


def _at(number: int) -> str:
    return datetime.fromtimestamp(_DAY.timestamp() + number / 1000, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
