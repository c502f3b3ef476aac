"""A person's yes, bound to one call.

An ApprovalRequest names the call digest, the definition and the policy revision; it is single-use and expires. The answer
is a DSSE envelope the approver signs with their own key over exactly that request. A Grant is the only thing the executor
accepts, and it cannot be made from a decision that did not allow, or from an approval of another call.

Rules for an answer:

* signed by a registered approver's key, over this request as it was shown
* the request is pending and has not expired
* the approver is no acting party of the call; where policy names an approver, it is that one
* its comment, which enters the log in clear, holds no secret of a known format
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.call import Compensated, SealedCall
from gateway.core.canonical import canonical, digest
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.dsse import NotVerified, open_envelope
from gateway.core.outcome import Reason
from gateway.core.secret_formats import without_secrets

PAYLOAD_TYPE = "application/vnd.sealgate.approval.v1+json"


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CONSUMED = "consumed"
    VOID = "void"


class Answer(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What a person is asked. Times are RFC 3339 UTC. `advisory`: a development approval, which proves nothing.

    `compensates` is the call that this one undoes, if it undoes one.
    """

    approval_id: str
    envelope_id: str
    call_digest: str
    capability_id: str
    definition_digest: str
    mode: str
    tenant_id: str
    principal_chain: tuple[str, ...]
    policy_revision: str
    required_approver: str | None
    reasons: tuple[Reason, ...]
    requested_at: str
    expires_at: str
    advisory: bool
    compensates: Compensated | None = None

    @classmethod
    def for_call(
        cls,
        call: SealedCall,
        decision: PolicyDecision,
        *,
        compensated: Compensated | None,
        approval_id: str,
        now: str,
        expires_at: str,
        advisory: bool,
    ) -> "ApprovalRequest":
        """The request that an `ask` decision makes."""
        return cls(
            approval_id=approval_id,
            envelope_id=call.envelope_id,
            call_digest=call.call_digest,
            capability_id=call.capability.id,
            definition_digest=call.capability.definition.digest,
            mode=call.capability.mode.value,
            tenant_id=call.run.tenant_id,
            principal_chain=tuple(call.run.principal_chain),
            policy_revision=decision.bundle_revision,
            required_approver=decision.obligations.approver,
            reasons=tuple(Reason(reason.code, call.told(reason.message)) for reason in decision.reasons),
            requested_at=now,
            expires_at=expires_at,
            advisory=advisory,
            compensates=compensated,
        )

    def is_for(self, call: SealedCall, decision: PolicyDecision) -> bool:
        """Whether an answer to this request is an answer to what is asked now: same call, mode, policy and approver."""
        return (
            self.call_digest == call.call_digest
            and self.mode == call.capability.mode.value
            and self.policy_revision == decision.bundle_revision
            and self.required_approver == decision.obligations.approver
        )

    @property
    def acting_parties(self) -> frozenset[str]:
        """Who acts: the actors, or the principal where nobody acts for them."""
        return frozenset(self.principal_chain[1:] or self.principal_chain)

    def document(self) -> dict[str, Any]:
        """As it is stored, shown and digested."""
        return {
            "approval_id": self.approval_id,
            "envelope_id": self.envelope_id,
            "call_digest": self.call_digest,
            "capability_id": self.capability_id,
            "definition_digest": self.definition_digest,
            "mode": self.mode,
            "tenant_id": self.tenant_id,
            "principal_chain": list(self.principal_chain),
            "policy_revision": self.policy_revision,
            "required_approver": self.required_approver,
            "reasons": [{"code": reason.code, "message": reason.message} for reason in self.reasons],
            "requested_at": self.requested_at,
            "expires_at": self.expires_at,
            "advisory": self.advisory,
            **({} if self.compensates is None else {"compensates": self.compensates.document()}),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ApprovalRequest":
        """The inverse of `document`."""
        fields = dict(document)
        fields["principal_chain"] = tuple(fields["principal_chain"])
        fields["reasons"] = tuple(Reason(item["code"], item["message"]) for item in fields["reasons"])
        if "compensates" in fields:
            fields["compensates"] = Compensated(**fields["compensates"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Approver:
    """A person who may approve: `user:alice` and their public key."""

    principal: str
    keyid: str
    key: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class SignedAnswer:
    """An answer whose signature and rules were checked. `envelope` is the approver's DSSE envelope, kept as proof."""

    approval_id: str
    answer: Answer
    approver: str
    keyid: str
    comment: str
    envelope: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Approved:
    """A request with its checked answer, ready to be consumed once."""

    request: ApprovalRequest
    answer: SignedAnswer


def answer_payload(request: Mapping[str, Any], answer: Answer, approver: str, comment: str) -> bytes:
    """What an approver signs: the answer, and the digest of the request document they were shown.

    Reasons enter by code: a policy's sentence may quote an argument, and this digest is not keyed.
    """
    digested = {**request, "reasons": [reason["code"] for reason in request["reasons"]]}
    return canonical(
        {
            "answer": answer.value,
            "approval_id": request["approval_id"],
            "approver": approver,
            "call_digest": request["call_digest"],
            "comment": comment,
            "request_digest": digest(digested),
        }
    )


def check_answer(
    request: ApprovalRequest, state: ApprovalState, envelope: dict[str, Any], approvers: Mapping[str, Approver], now: str
) -> SignedAnswer | Reason:
    """Apply the rules above. `approvers` are by key id; `now` is RFC 3339 UTC like the request's times."""
    try:
        verified = open_envelope(envelope, PAYLOAD_TYPE, {keyid: approver.key for keyid, approver in approvers.items()})
        payload = orjson.loads(verified.payload)
        answer, comment = Answer(payload["answer"]), str(payload["comment"])
        approver = approvers[verified.keyid]
        expected = answer_payload(request.document(), answer, approver.principal, comment)
    except NotVerified as error:
        return Reason("approval.signature", f"The answer was not signed by a registered approver: {error}.")
    except (KeyError, TypeError, ValueError):
        return Reason("approval.malformed", "The signed answer is not an approval answer.")
    if verified.payload != expected:
        return Reason("approval.other_request", "The signed answer belongs to another request or another call.")
    if state is not ApprovalState.PENDING:
        return Reason("approval.already_answered", f"This request is {state}; an answer counts once.")
    if now >= request.expires_at:
        return Reason("approval.expired", f"This request expired at {request.expires_at}; the call must be made again.")
    if approver.principal in request.acting_parties:
        return Reason("approval.self", f"{approver.principal} acts in this call and cannot approve it.")
    if request.required_approver not in (None, approver.principal):
        return Reason("approval.wrong_approver", f"Policy wants the approval of {request.required_approver}.")
    _, secrets = without_secrets(comment)
    if secrets:
        return Reason("approval.secret", f"The comment holds a secret ({', '.join(secrets)}), and comments are logged.")
    return SignedAnswer(request.approval_id, answer, approver.principal, verified.keyid, comment, envelope)


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """What is kept of a request: its state, the key whose call waits for it, and the answer where there is one."""

    request: ApprovalRequest
    reservation: str
    state: ApprovalState
    answer: SignedAnswer | None


class NotGranted(RuntimeError):
    """Someone tried to make a Grant without the right to: a bug, so the call does not run."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to run one sealed call. Making one checks that the right is there."""

    call: SealedCall
    decision: PolicyDecision
    approved: Approved | None = None

    def __post_init__(self) -> None:
        match self.decision.effect, self.approved:
            case Effect.ALLOW, None:
                return
            case Effect.ASK, Approved(request, answer) if (
                answer.answer is Answer.APPROVE
                and answer.approval_id == request.approval_id
                and request.is_for(self.call, self.decision)
            ):
                return
        raise NotGranted(f"{self.decision.effect} without a matching approval")

    @property
    def needs_intent(self) -> bool:
        """Whether the call must be begun durably: it has an effect, or it uses up an approval."""
        return self.call.capability.mode.has_effect or self.approved is not None
