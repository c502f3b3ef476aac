"""A person's yes, bound to one call.

An ApprovalRequest names the call digest, the definition and the policy revision; it is single-use and expires. Approvers
answer it with signatures of their own over exactly that request (`answer.py`). A Grant is the only thing the executor
accepts, and it cannot be made from a decision that did not allow, or from an approval of another call.

Rules for an answer:

* signed by a registered approver's key, over this request as it was shown
* it came by a route that policy and the call's mode allow: an approver's own key signs, out of band, above `network`, and
  where policy wants an approver or a quorum and does not name elicitation
* the request is pending and has not expired
* the approver is no acting party of the call, and of a destructive call not its principal either
* where policy names an approver or a circle of them, it is one of those; nobody answers twice, with another key neither
* `modify` names the request that is to be asked instead, which the gateway made for it (`offer.py`); an own key signs it
* only a yes is for a whole run, and only where policy allows that
* its comment, which enters the log in clear, is one short line that can be seen, and holds no secret of a known format

Nobody is asked about arguments that hold a secret of a known format: it could not be shown, and the caller would choose by
it what an approver does not see (`hidden.py`).

A request ends with the first no, or with as many yeses as policy wants. `modify` is a no, with another question.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.answer import Answer, Approver, SignedAnswer, answer_payload, bad_comment, open_answer
from gateway.core.call import Compensated, SealedCall
from gateway.core.capability import ApprovalMode
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.dsse import NotVerified
from gateway.core.hidden import Hidden
from gateway.core.obligations import ApproveFor, Obligations, Quorum, Route
from gateway.core.outcome import Reason
from gateway.core.secret_formats import without_secrets
from gateway.core.sshsig import SshKey

OUT_OF_BAND = frozenset({Route.CLI, Route.WEBHOOK})
"""Routes by which an approver's own key signs. Elicitation is none: the client that answers may be the agent itself."""

OWN_KEY = frozenset({ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE})
"""Modes in which each call needs an approver's own signature."""


class ApprovalState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    MODIFIED = "modified"
    EXPIRED = "expired"
    CONSUMED = "consumed"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What a person is asked. Times are RFC 3339 UTC. `advisory`: a development approval, which proves nothing.

    Attributes:
        compensates: the call that this one undoes, if it undoes one
        quorum: how many different approvers must say yes, and who they may be; None: one, and anybody registered
        routes: how an answer may come; empty: see `open_routes`
        approve_for: the widest yes that may be given; `run_id` is then the run that it would hold for
        modified_from: the request in whose place it is asked, about that one's call with arguments that a person changed;
            `envelope_id` is still the call that was made. A yes holds once, whatever `approve_for` is
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
    quorum: Quorum | None = None
    routes: frozenset[Route] = frozenset()
    approve_for: ApproveFor = ApproveFor.ONCE
    run_id: str | None = None
    modified_from: str | None = None

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
        reach = _reach(call, decision.obligations)
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
            quorum=decision.obligations.quorum,
            routes=decision.obligations.routes,
            approve_for=reach,
            run_id=call.run.run_id if reach is ApproveFor.RUN else None,
            modified_from=call.changed_in,
        )

    def is_for(self, call: SealedCall, decision: PolicyDecision) -> bool:
        """Whether an answer to this request is an answer to what is asked now: same call, mode, policy and approvers, and no
        doubt that the request did not name."""
        wanted = decision.obligations
        return (
            self.call_digest == call.call_digest
            and self.mode == call.capability.mode.value
            and self.policy_revision == decision.bundle_revision
            and self.required_approver == wanted.approver
            and {reason.code for reason in decision.reasons} <= {reason.code for reason in self.reasons}
            and (self.quorum, self.routes, self.approve_for) == (wanted.quorum, wanted.routes, _reach(call, wanted))
        )

    def reaches(self, call: SealedCall, ask: "ApprovalRequest") -> bool:
        """Whether a yes for the whole run is one for `call`, about which `ask` would be filed: all but arguments and key
        are the same, and policy doubts it for the same reasons."""
        return (
            self.widest is ask.widest is ApproveFor.RUN
            and call.compensates is None
            and self.compensates is None
            and (self.tenant_id, self.principal_chain, self.run_id) == (ask.tenant_id, ask.principal_chain, ask.run_id)
            and (self.capability_id, self.definition_digest, self.mode)
            == (ask.capability_id, ask.definition_digest, ask.mode)
            and (self.policy_revision, self.required_approver, self.quorum, self.routes)
            == (ask.policy_revision, ask.required_approver, ask.quorum, ask.routes)
            and {reason.code for reason in ask.reasons} == {reason.code for reason in self.reasons}
        )

    @property
    def widest(self) -> ApproveFor:
        """The widest yes that counts: to a changed call, one for that call. The others of its run were not changed."""
        return self.approve_for if self.modified_from is None else ApproveFor.ONCE

    @property
    def needed(self) -> int:
        """How many yeses it takes."""
        return 1 if self.quorum is None else self.quorum.count

    @property
    def open_routes(self) -> frozenset[Route]:
        """The routes by which an answer counts. Where policy wants somebody by name or number, it must name elicitation
        itself: a client's word is a person's only to whoever says so."""
        of_mode = OUT_OF_BAND if ApprovalMode(self.mode) in OWN_KEY else frozenset(Route)
        if self.routes:
            return of_mode & self.routes
        wants_people = self.required_approver is not None or self.quorum is not None
        return OUT_OF_BAND if wants_people else of_mode

    def unanswerable(self) -> Reason | None:
        """Why nobody could ever approve it, whoever is registered; None where somebody may."""
        circle = set(self.quorum.of) if self.quorum is not None else set()
        if self.required_approver is not None:
            circle = circle & {self.required_approver} if circle else {self.required_approver}
        if not self.open_routes:
            return Reason("approval.no_route", "Policy allows no route by which this call could be approved.")
        named = self.required_approver is not None or (self.quorum is not None and bool(self.quorum.of))
        if named and len(circle - self._barred) < self.needed:
            return Reason("approval.no_approver", "Policy wants an approval that nobody can give. Tell the operator.")
        return None

    @property
    def acting_parties(self) -> frozenset[str]:
        """Who acts: the actors, or the principal where nobody acts for them."""
        return frozenset(self.principal_chain[1:] or self.principal_chain)

    @property
    def _barred(self) -> frozenset[str]:
        """Who may not approve: whoever acts; of a destructive call whoever is responsible for it, too."""
        destructive = self.mode == ApprovalMode.DESTRUCTIVE.value
        return self.acting_parties | frozenset(self.principal_chain[:1] if destructive else ())

    def refuses(self, approver: str, route: Route) -> Reason | None:
        """Why an answer of this principal by this route does not count, whatever it says."""
        if route not in self.open_routes:
            return Reason("approval.route", f"An answer to this request does not count by {route}.")
        if approver in self._barred:
            return Reason("approval.self", f"{approver} acts in this call or answers for it, and cannot approve it.")
        if self.required_approver not in (None, approver):
            return Reason("approval.wrong_approver", f"Policy wants the approval of {self.required_approver}.")
        if self.quorum is not None and self.quorum.of and approver not in self.quorum.of:
            return Reason("approval.wrong_approver", f"Policy wants approvals of {', '.join(self.quorum.of)}.")
        return None

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
            **({} if self.quorum is None else {"quorum": {"count": self.quorum.count, "of": list(self.quorum.of)}}),
            **({} if not self.routes else {"routes": sorted(self.routes)}),
            **({} if self.approve_for is ApproveFor.ONCE else {"approve_for": self.approve_for.value}),
            **({} if self.run_id is None else {"run_id": self.run_id}),
            **({} if self.modified_from is None else {"modified_from": self.modified_from}),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ApprovalRequest":
        """The inverse of `document`."""
        fields = dict(document)
        fields["principal_chain"] = tuple(fields["principal_chain"])
        fields["reasons"] = tuple(Reason(item["code"], item["message"]) for item in fields["reasons"])
        if "compensates" in fields:
            fields["compensates"] = Compensated(**fields["compensates"])
        if "quorum" in fields:
            fields["quorum"] = Quorum(fields["quorum"]["count"], tuple(fields["quorum"]["of"]))
        fields["routes"] = frozenset(map(Route, fields.get("routes", ())))
        fields["approve_for"] = ApproveFor(fields.get("approve_for", ApproveFor.ONCE))
        return cls(**fields)


NOT_OFFERED = Reason(
    "approval.not_offered", "The gateway knows no such change of this call, or has forgotten it. Make the change anew."
)


class NotGranted(RuntimeError):
    """Someone tried to make a Grant without the right to: a bug, so the call does not run."""


def _reach(call: SealedCall, obligations: Obligations) -> ApproveFor:
    """How far a yes may reach: to the end of a run only where there is one, and never where an own key must sign."""
    if call.run.run_id is None or call.capability.mode in OWN_KEY:
        return ApproveFor.ONCE
    return obligations.approve_for


@dataclass(frozen=True, slots=True)
class Approved:
    """A request with its checked answers, all yes and as many as it takes: ready to be consumed once.

    `instead_of` is the request that need not be filed, where all the answers are for the whole run and reach it.
    """

    request: ApprovalRequest
    answers: tuple[SignedAnswer, ...]
    instead_of: ApprovalRequest | None = None

    def __post_init__(self) -> None:
        request, answers = self.request, self.answers
        different = len({one.approver for one in answers}) == len({one.keyid for one in answers}) == len(answers)
        if not different or len(answers) < request.needed:
            raise NotGranted("too few different approvers")
        for one in answers:
            if one.answer is not Answer.APPROVE or one.approval_id != request.approval_id:
                raise NotGranted("an answer that is no yes to this request")
            if request.refuses(one.approver, one.route) is not None:
                raise NotGranted("an answer that does not count")
            if self.instead_of is not None and one.reach is not ApproveFor.RUN:
                raise NotGranted("a yes for one call only")

    def covers(self, call: SealedCall, decision: PolicyDecision) -> bool:
        """Whether it is about this call, decided like this."""
        if self.instead_of is None:
            return self.request.is_for(call, decision)
        return self.instead_of.is_for(call, decision) and self.request.reaches(call, self.instead_of)


def check_answer(
    request: ApprovalRequest,
    state: ApprovalState,
    envelope: Mapping[str, Any],
    approvers: Mapping[str, Approver],
    now: str,
    *,
    route: Route = Route.CLI,
    earlier: tuple[SignedAnswer, ...] = (),
    attestors: Mapping[str, Ed25519PublicKey] | None = None,
    offered: ApprovalRequest | None = None,
) -> SignedAnswer | Reason:
    """Apply the rules above to an answer that came by `route`.

    Args:
        approvers: by key id
        now: RFC 3339 UTC like the request's times
        earlier: the answers that the request has already
        attestors: the gateway's own keys, by id: what counts for an answer to an elicitation, and for nothing else
        offered: what `modify` may be an answer with: the request that the gateway made of the changes it was sent
    """
    keys: Mapping[str, Ed25519PublicKey | SshKey] = {keyid: approver.key for keyid, approver in approvers.items()}
    if route is Route.ELICITATION:
        keys = attestors or {}
    try:
        verified = open_answer(envelope, keys)
        payload = orjson.loads(verified.payload)
        answer, comment = Answer(payload["answer"]), str(payload["comment"])
        signed_route, reach = Route(payload.get("route", Route.CLI)), ApproveFor(payload.get("approve_for", ApproveFor.ONCE))
    except NotVerified as error:
        return Reason("approval.signature", f"The answer was not signed by a registered approver: {error}.")
    except (KeyError, TypeError, ValueError, AttributeError):
        return Reason("approval.malformed", "The signed answer is not an approval answer.")
    if signed_route is not route:
        return Reason("approval.route", f"The answer was signed for {signed_route} and came by {route}.")
    approver = request.principal_chain[0] if route is Route.ELICITATION else approvers[verified.keyid].principal
    into = None
    if answer is Answer.MODIFY:
        if route is Route.ELICITATION:
            return Reason("approval.route", f"A call is not changed by {route}.")
        if offered is None or offered.modified_from != request.approval_id:
            return NOT_OFFERED
        into = offered.document()
    if verified.payload != answer_payload(request.document(), answer, approver, comment, route, reach, into=into):
        return Reason("approval.other_request", "The signed answer belongs to another request or another call.")
    if state is not ApprovalState.PENDING:
        return Reason("approval.already_answered", f"This request is {state}; an answer counts once.")
    if now >= request.expires_at:
        return Reason("approval.expired", f"This request expired at {request.expires_at}; the call must be made again.")
    refused = request.refuses(approver, route)
    if refused is not None:
        return refused
    if any(approver == one.approver or verified.keyid == one.keyid for one in earlier):
        return Reason("approval.already_answered", f"{approver} has answered; another approver must say yes, too.")
    if reach is not ApproveFor.ONCE and answer is not Answer.APPROVE:
        return Reason("approval.reach", "Only a yes can be for a whole run.")
    if reach is not ApproveFor.ONCE and reach is not request.widest:
        return Reason("approval.reach", "Policy allows a yes for this one call only.")
    unfit = bad_comment(comment)
    if unfit is not None:
        return unfit
    _, secrets = without_secrets(comment)
    if secrets:
        return Reason("approval.secret", f"The comment holds a secret ({', '.join(secrets)}), and comments are logged.")
    signed = SignedAnswer(request.approval_id, answer, approver, verified.keyid, comment, dict(envelope), route, reach)
    return signed if into is None else replace(signed, modified_into=into["approval_id"])


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """What is kept of a request: its state, the key whose call waits for it, the answers it has so far, and what of the
    arguments approvers are not shown."""

    request: ApprovalRequest
    reservation: str
    state: ApprovalState
    answers: tuple[SignedAnswer, ...]
    hidden: tuple[Hidden, ...] = ()

    @property
    def missing(self) -> int:
        """How many yeses are still to come; 0 where none is waited for."""
        return self.request.needed - len(self.answers) if self.state is ApprovalState.PENDING else 0

    def document(self) -> dict[str, Any]:
        """As approvers are told of it."""
        answers = [
            {
                "answer": one.answer,
                "approver": one.approver,
                "comment": one.comment,
                "route": one.route,
                **({} if one.modified_into is None else {"modified_into": one.modified_into}),
            }
            for one in self.answers
        ]
        hidden = [one.document() for one in self.hidden]
        told = {"request": self.request.document(), "state": self.state, "answers": answers, "missing": self.missing}
        return {**told, "hidden": hidden}


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
            case Effect.ASK, Approved() as approved if approved.covers(self.call, self.decision) and not self.call.secrets:
                return
        raise NotGranted(f"{self.decision.effect} without a matching approval")

    @property
    def needs_intent(self) -> bool:
        """Whether the call must be begun durably: it has an effect, or it uses up an approval."""
        return self.call.capability.mode.has_effect or self.approved is not None
