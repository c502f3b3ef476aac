"""What policy said, and the input document it sees.

Input follows AuthZEN 1.0 (subject, action, resource, context). The answer document is
`{effect: allow|ask|deny, reasons: [{code, message}], obligations: {...}}`. Whatever is not exactly that is a deny:
undefined, an error, an unknown effect, an obligation this gateway does not know.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from gateway.core.call import SealedCall
from gateway.core.outcome import Reason

ENTRY_POINT = "data.sealgate.authz.decision"

APPROVER = "approver"
"""Obligation: only this principal's approval counts (`user:alice`)."""

KNOWN_OBLIGATIONS = frozenset({APPROVER})

POLICY_ERROR = Reason("policy.error", "Policy could not decide this call, so it is denied. Tell the operator.")


class Effect(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """One decision. `bundle_revision` names the policy text that made it; `cause` is for the operator, never the wire."""

    decision_id: str
    engine: str
    bundle_revision: str
    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The readable part of an answer document."""

    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None


def read_verdict(document: Any) -> Verdict:
    """The verdict in an engine's answer; `POLICY_ERROR` and a cause where it is not one."""
    try:
        effect = Effect(document["effect"])
        reasons = tuple(Reason(str(item["code"]), str(item["message"])) for item in document["reasons"])
        obligations = document.get("obligations", {})
        if not isinstance(obligations, dict):
            raise TypeError("obligations are an object")
    except ValueError:  # its text quotes the value, which may be an argument's
        return failed_verdict("not a decision document: effect is none of allow, ask and deny")
    except (KeyError, TypeError, AttributeError) as error:
        return failed_verdict(f"not a decision document: {error!r}")
    unknown = sorted(obligations.keys() - KNOWN_OBLIGATIONS)
    if unknown and effect is not Effect.DENY:
        return failed_verdict(f"unknown obligation {unknown[0]!r}")
    if not isinstance(obligations.get(APPROVER, ""), str):
        return failed_verdict("obligation approver is not a string")
    return Verdict(effect, reasons, obligations)


def failed_verdict(cause: str) -> Verdict:
    """Deny, because policy could not be asked."""
    return Verdict(Effect.DENY, (POLICY_ERROR,), cause=cause)


def policy_input(call: SealedCall, *, dev: bool, recent_calls: int, now: str) -> bytes:
    """The input document as JSON bytes. `arguments` are the very bytes that were digested and will be forwarded."""
    capability, run = call.capability, call.run
    delegation = run.delegation
    return orjson.dumps(
        {
            "subject": {
                "type": run.principal.kind,
                "id": run.principal.id,
                "properties": {
                    "tenant": run.tenant_id,
                    "roles": sorted(run.roles),
                    "actors": [str(actor) for actor in run.actors],
                    "delegation": delegation
                    and {
                        "subject": delegation.subject,
                        "scopes": delegation.scopes,
                        "expires_at": delegation.expires_at,
                    },
                },
            },
            "action": {"name": "tools/call"},
            "resource": {
                "type": "capability",
                "id": capability.id,
                "properties": {
                    "upstream": capability.upstream,
                    "tool": capability.definition.name,
                    "mode": capability.mode,
                    "owner": capability.classification.owner,
                    "trust_level": capability.classification.trust_level,
                    "definition_digest": capability.definition.digest,
                    "egress": capability.classification.egress,
                },
            },
            "context": {
                "arguments": orjson.Fragment(call.arguments),
                "idempotency": {
                    "key": call.idempotency is not None,
                    "derived": call.idempotency is not None and call.idempotency.derived,
                },
                "run": {"id": run.run_id, "mode_ceiling": run.mode_ceiling},
                "recent_calls": recent_calls,
                "dev": dev,
                "time": now,
            },
        }
    )
