"""What policy said, and the input document it sees.

Input follows AuthZEN 1.0 (subject, action, resource, context). The answer document is
`{effect: allow|ask|deny, reasons: [{code, message}], obligations: {...}}`. Whatever is not exactly that is a deny:
undefined, an error, an unknown effect, an obligation this gateway does not know.

A policy may quote an argument. So where the log keeps its words in clear they have a narrow form: a code that of a name, an
approver that of a principal. All it says is looked at for secrets as arguments are.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from gateway.core.call import SealedCall
from gateway.core.circumstances import Circumstances
from gateway.core.fields import BadField, read_fields
from gateway.core.obligations import NONE, BadObligation, Obligations, read_obligations
from gateway.core.outcome import Reason
from gateway.core.redaction import moved

ENTRY_POINT = "data.sealgate.authz.decision"

REDACTED_CODE = "policy.redacted"
"""Stands for a reason code that held a sensitive value or a secret. No reason to ask has it: a yes is for the reasons that
were shown, by their codes, and all of these would be the same."""

_CODE = re.compile(r"[a-z0-9_.-]{1,64}")

POLICY_ERROR = Reason("policy.error", "Policy could not decide this call, so it is denied. Tell the operator.")


UNNAMED = Reason(
    REDACTED_CODE,
    "Policy wants a person to approve this call, and the name of a reason holds one of the call's sensitive arguments, or a"
    " secret. Nobody can be asked so: use another value, or tell the operator.",
)


class Effect(StrEnum):
    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    """One decision. `bundle_revision` names the policy text that made it; `cause` is for the operator, never the wire.

    `input` is the document it was made on, as it may be stored (`shown_input`); empty where nothing is to be kept.
    """

    decision_id: str
    engine: str
    bundle_revision: str
    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: Obligations = NONE
    cause: str | None = None
    input: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The readable part of an answer document."""

    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: Obligations = NONE
    cause: str | None = None


def read_verdict(document: Any, told: Callable[[str], str]) -> Verdict:
    """The verdict in an engine's answer; `POLICY_ERROR` and a cause where it is not one. A cause quotes no value.

    `told` takes out of a text what must not be stored of the call (`SealedCall.told`).
    """
    try:
        effect = Effect(document["effect"])
        reasons = tuple(_reason(item["code"], item["message"], told) for item in document["reasons"])
        obligations = document.get("obligations", {})
        if not isinstance(obligations, dict):
            raise TypeError("obligations are an object")
    except ValueError:  # its text quotes the value, which may be an argument's
        return failed_verdict("not a decision document: effect is none of allow, ask and deny")
    except (KeyError, TypeError, AttributeError) as error:
        return failed_verdict(f"not a decision document: {error!r}")
    if effect is Effect.ASK and any(reason.code == REDACTED_CODE for reason in reasons):
        return Verdict(
            Effect.DENY, (UNNAMED,), cause="a reason to ask has a code that holds a sensitive argument or a secret"
        )
    if effect is Effect.DENY:  # it binds nobody to anything, and stays a deny whatever it carries
        return Verdict(effect, reasons)
    try:
        read = read_obligations(obligations, told, asks=effect is Effect.ASK)
    except BadObligation as error:
        return failed_verdict(str(error))
    return Verdict(effect, reasons, read)


def _reason(code: Any, message: Any, told: Callable[[str], str]) -> Reason:
    if not isinstance(code, str) or not isinstance(message, str):
        raise TypeError("code and message of a reason are strings")
    if _CODE.fullmatch(code) is None:
        raise TypeError(f"the code of a reason is of the form {_CODE.pattern}")
    return Reason(code if told(code) == code else REDACTED_CODE, told(message))


def failed_verdict(cause: str) -> Verdict:
    """Deny, because policy could not be asked."""
    return Verdict(Effect.DENY, (POLICY_ERROR,), cause=cause)


def policy_input(call: SealedCall, around: Circumstances, *, dev: bool, now: str) -> bytes:
    """The input document as JSON bytes. `arguments` are the very bytes that were digested and will be forwarded.

    A call that undoes none has no member `compensates`.
    """
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
                "fields": {role.value: values for role, values in call.fields.items()},  # orjson takes no enum as a key
                "run": {
                    "id": run.run_id,
                    "mode_ceiling": run.mode_ceiling,
                    "calls": around.run_calls,
                    "effects": around.run_effects,
                },
                "recent_calls": around.recent_calls,
                "provenance": around.provenance.document(),
                "intent": around.intent and around.intent.document(),
                "cited": around.cited,
                "dev": dev,
                "time": now,
                **({} if around.compensated is None else {"compensates": around.compensated.document()}),
            },
        }
    )


def shown_input(call: SealedCall, document: bytes) -> bytes:
    """The input document as it may be stored: the same bytes, or where the arguments are redacted, a copy with these."""
    if call.redacted_arguments is None:
        return document
    told = orjson.loads(document)
    told["context"]["arguments"] = shown = orjson.loads(call.shown_arguments)
    told["context"]["fields"] = fields = {}
    for leaf in told["context"]["provenance"]["leaves"]:
        leaf["pointer"] = moved(leaf["pointer"], call.moved_pointers)
    for role, pointers in call.capability.classification.fields.items():  # read anew: a value has another form in them
        values = read_fields(shown, {role: pointers})
        if not isinstance(values, BadField):
            fields.update({found.value: listed for found, listed in values.items()})
    return orjson.dumps(told)
