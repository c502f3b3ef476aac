"""A person's change of a call that waits: the request that is asked in place of the one about the call as it was made.

It is made here, by the gateway, from what is stored and from the changes, and from nothing else that anybody sends. The
rules, in this order:

* the call waits for its answer, its tool is callable, and both are still as they were when the call was made
* the stored arguments are the call's own, as its digest proves: of what was redacted nobody knows what it would become
* the changes are of places that are there, one by one; what comes of them is within the bounds of what a client may send,
  fits the tool's schema and fields, and is another call
* nothing in it is secret: what is stored and shown must be what runs

The call digest of the new request is that of the changed call: who signs that request signs what will run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from gateway.core import wire
from gateway.core.approval import ApprovalRequest, ApprovalRow, ApprovalState
from gateway.core.call import Covered, Fitting, Sealer, fitting
from gateway.core.capability import Capability
from gateway.core.fields import EVERY
from gateway.core.modification import NotApplicable, changed
from gateway.core.outcome import Reason

MOST_MODIFIED = 16
"""How often a call may be changed before somebody must say yes or no."""


@dataclass(frozen=True, slots=True)
class Offer:
    """`request` is what is asked instead, about these canonical arguments. `asked`: about the call as it was."""

    asked: ApprovalRequest
    request: ApprovalRequest
    arguments: bytes

    def document(self) -> dict[str, Any]:
        """As approvers are told of it: in the form of a request that waits."""
        row = ApprovalRow(self.request, "", ApprovalState.PENDING, ())
        return {**row.document(), "arguments": orjson.loads(self.arguments)}


@dataclass(frozen=True, slots=True)
class Waits:
    """What is kept of a call that waits: its request, the JSON bytes of its arguments, how often it was changed before."""

    row: ApprovalRow
    arguments: bytes
    modified: int


def make_offer(
    waits: Waits,
    changes: Mapping[str, Any],
    capability: Capability | Reason,
    sealer: Sealer,
    *,
    approval_id: str,
    now: str,
) -> Offer | Reason:
    """Apply the rules above; the Reason where they forbid it. `changes` are of the form of `read_changes`."""
    asked = waits.row.request
    ended = _ended(waits, now)
    if ended is not None:
        return ended
    if isinstance(capability, Reason):
        return capability
    if (capability.definition.digest, capability.mode.value) != (asked.definition_digest, asked.mode):
        return Reason("approval.tool_changed", "The tool is not what it was when this call was made. Reject the call.")
    undone = None if asked.compensates is None else asked.compensates.envelope_id
    covered = Covered(
        asked.tenant_id, asked.principal_chain, asked.capability_id, asked.definition_digest, waits.row.reservation, undone
    )
    if sealer.call_digest(covered, waits.arguments) != asked.call_digest:
        return Reason(
            "approval.arguments_redacted",
            "The arguments of this call are not stored as they are: they hold something secret, or were erased. So nobody"
            " can say what the changed call would be. Approve or reject it as it is.",
        )
    fit = _changed(capability, orjson.loads(waits.arguments), changes)
    if isinstance(fit, Reason):
        return fit
    if fit.arguments == waits.arguments:
        return Reason("approval.nothing_changed", "The changes change nothing. Use approve or reject.")
    if not sealer.stores_whole(capability, orjson.loads(fit.arguments)):
        return Reason("approval.secret", "The changed arguments would hold something secret, which cannot be stored.")
    request = replace(
        asked,
        approval_id=approval_id,
        call_digest=sealer.call_digest(covered, fit.arguments),
        requested_at=now,
        modified_from=asked.approval_id,
    )
    return Offer(asked, request, fit.arguments)


def _ended(waits: Waits, now: str) -> Reason | None:
    state, expires_at = waits.row.state, waits.row.request.expires_at
    if state is not ApprovalState.PENDING:
        return Reason("approval.already_answered", f"This request is {state}; an answer counts once.")
    if now >= expires_at:
        return Reason("approval.expired", f"This request expired at {expires_at}; the call must be made again.")
    if waits.modified >= MOST_MODIFIED:
        return Reason("approval.modified_often", f"This call was changed {MOST_MODIFIED} times. Approve or reject it.")
    return None


def _changed(capability: Capability, arguments: dict[str, Any], changes: Mapping[str, Any]) -> Fitting | Reason:
    if any(EVERY in pointer.split("/") for pointer in changes):
        return Reason("approval.change", "A change names one place: an element of a list by its number.")
    try:
        fit = fitting(capability, changed(arguments, changes))
    except NotApplicable as error:
        return Reason("approval.change", f"This cannot be changed: {error}.")
    if not isinstance(fit, Fitting):
        told = " ".join(reason.message for reason in fit)
        return Reason("approval.change", f"The tool does not take what would come of it: {told}")
    try:
        wire.parse(fit.arguments)
    except wire.Malformed as error:
        return Reason("approval.change", f"What would come of it is no acceptable document: {error.message}.")
    return fit
