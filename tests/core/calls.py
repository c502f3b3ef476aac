"""Calls, decisions and approvals for tests, made by the real rules from a few words."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.adapters.keys import FileSigner
from gateway.core.answer import PAYLOAD_TYPE, Answer, Approver, answer_payload
from gateway.core.approval import ApprovalRequest
from gateway.core.call import Compensated, SealedCall, Sealer, ToolRequest
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.commitment import CommitmentKey
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.dsse import envelop
from gateway.core.ids import uuid7
from gateway.core.obligations import read_obligations
from gateway.core.outcome import Reason
from gateway.core.run_context import Principal, PrincipalKind, RunContext
from gateway.core.schema import ArgumentSchema

NOW = "2026-11-22T10:00:00.000Z"
LATER = "2026-11-22T10:10:00.000Z"
MUCH_LATER = "2026-11-22T10:20:00.000Z"
KEY = bytes(range(32))
ALICE = Principal(PrincipalKind.USER, "alice")
ASSISTANT = Principal(PrincipalKind.AGENT, "assistant")


@dataclass(frozen=True, slots=True)
class Call:
    """What a test varies about a call; the rest is the same in every one."""

    arguments: dict[str, Any] = field(default_factory=lambda: {"text": "hello"})
    key: str | None = "key-1"
    envelope: int = 1
    tool: str = "send"
    description: str = "Send it."
    declares: tuple[str, ...] = ("text", "a", "b")
    tenant: str = "acme"
    principal: Principal = ALICE
    actors: tuple[Principal, ...] = (ASSISTANT,)
    run_id: str | None = None
    trace_id: str = "0" * 32
    requested_at: str = NOW
    mode: ApprovalMode = ApprovalMode.LOCAL_WRITE
    rule: IdempotencyRule = IdempotencyRule.DERIVED
    compensates: str | None = None

    def but(self, **changed: Any) -> "Call":
        """The same with these fields changed."""
        return replace(self, **changed)


def envelope_id(number: int) -> str:
    """A UUIDv7 for a small number."""
    return uuid7(1_700_000_000_000, number.to_bytes(10, "big"))


def capability(call: Call) -> Capability:
    """The tool that `call` names; it declares some arguments and takes any."""
    schema = {"type": "object", "properties": {name: {} for name in call.declares}, "additionalProperties": True}
    document = {"name": call.tool, "description": call.description, "inputSchema": schema}
    return Capability(
        ToolDefinition.from_document("mail", document),
        Classification(call.mode, TrustLevel.UNTRUSTED, "mail-team", call.rule),
        ArgumentSchema(schema),
    )


def request_of(call: Call) -> ToolRequest:
    """`call` as it came in."""
    name = f"mail__{call.tool}"
    return ToolRequest(envelope_id(call.envelope), name, call.arguments, call.key, call.requested_at, call.compensates)


def run_of(call: Call) -> RunContext:
    """Who makes `call`."""
    return RunContext(call.tenant, call.principal, call.actors, frozenset({"agent"}), call.trace_id, run_id=call.run_id)


def seal(call: Call, *, key: bytes = KEY, random: Callable[[int], bytes] = bytes) -> SealedCall:
    """`call`, sealed."""
    sealed = Sealer(CommitmentKey(key), random).seal(run_of(call), capability(call), request_of(call))
    assert isinstance(sealed, SealedCall), sealed
    return sealed


def decide(
    effect: Effect,
    *,
    revision: str = "policy-1",
    obligations: dict[str, Any] | None = None,
    because: tuple[str, ...] = ("because",),
) -> PolicyDecision:
    """A decision of that effect, for reasons of these codes."""
    reasons = () if effect is Effect.ALLOW else tuple(Reason(code, "It is so.") for code in because)
    read = read_obligations(obligations or {}, str, asks=effect is Effect.ASK)
    return PolicyDecision("decision-1", "embedded", revision, effect, reasons, read)


ALLOW, ASK, DENY = decide(Effect.ALLOW), decide(Effect.ASK), decide(Effect.DENY)


@dataclass(frozen=True, slots=True)
class Person:
    """An approver with their own key."""

    principal: str
    signer: FileSigner

    @property
    def approver(self) -> Approver:
        return Approver(self.principal, self.signer.keyid, Ed25519PublicKey.from_public_bytes(self.signer.public_key))

    def sign(
        self,
        request: ApprovalRequest,
        answer: Answer = Answer.APPROVE,
        comment: str = "",
        *,
        into: ApprovalRequest | None = None,
    ) -> dict[str, Any]:
        """Their signed answer to `request`, as the daemon receives it. `into`: what is to be asked instead."""
        instead = None if into is None else into.document()
        return signed_answer(self.signer, answer_payload(request.document(), answer, self.principal, comment, into=instead))


def person(principal: str) -> Person:
    """A new key for `principal`."""
    return Person(principal, FileSigner(Ed25519PrivateKey.generate()))


def signed_answer(signer: FileSigner, payload: bytes) -> dict[str, Any]:
    """A DSSE envelope over `payload`, parsed."""
    document: dict[str, Any] = orjson.loads(envelop(PAYLOAD_TYPE, payload, signer)[0])
    return document


def ask_for(
    call: SealedCall, decision: PolicyDecision = ASK, *, approval_id: str = "approval-1", expires_at: str = LATER
) -> ApprovalRequest:
    """The request that `decision` on `call` makes."""
    return ApprovalRequest.for_call(
        call,
        decision,
        compensated=None if call.compensates is None else Compensated(call.compensates, "mail__send", "hmac-sha256:00"),
        approval_id=approval_id,
        now=NOW,
        expires_at=expires_at,
        advisory=False,
    )
