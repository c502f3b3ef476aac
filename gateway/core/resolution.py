"""How a doubt ends: somebody found out whether the call was done, and says so, once.

An operator says it, or a tool of the same upstream that was registered to be asked (`tools[].reconcile`). The verdict is an
entry of its own; a `completed` one may bring the result that later calls under the key get.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.core.call import ToldResult
from gateway.core.idempotency import CallRow, State, undid
from gateway.core.outcome import Reason

NOT_IN_DOUBT = Reason("resolution.not_in_doubt", "This call is not in doubt; a verdict counts once.")


class Method(StrEnum):
    """Who found out."""

    OPERATOR = "operator"
    RECONCILE = "reconcile"


@dataclass(frozen=True, slots=True)
class Resolution:
    """One verdict on the call of `envelope_id`.

    `by` is an operator's own word or the principal of the reconciling call, whose envelope is `evidence_id`. `result` came
    with the verdict; the log gets its commitment.
    """

    envelope_id: str
    verdict: State
    method: Method
    by: str
    reason: str
    result: ToldResult | None = None
    evidence_id: str | None = None

    def __post_init__(self) -> None:
        if self.verdict not in (State.COMPLETED, State.FAILED):
            raise ValueError(f"a verdict is completed or failed, not {self.verdict}")
        if self.result is not None and self.verdict is not State.COMPLETED:
            raise ValueError("what was not done has no result")

    @property
    def undid(self) -> bool:
        """Whether the call, if it is to undo another, did so by this verdict."""
        return undid(self.verdict, is_error=self.result is not None and self.result.is_error) is True

    def body(self) -> dict[str, Any]:
        """As it stands in a `resolution` entry."""
        told: dict[str, Any] = {
            "envelope_id": self.envelope_id,
            "verdict": self.verdict.value,
            "method": self.method.value,
            "by": self.by,
            "reason": self.reason,
        }
        if self.result is not None:
            told["result_commitment"] = self.result.disclosure.digest
            told["is_error"] = self.result.is_error
        if self.evidence_id is not None:
            told["evidence_envelope_id"] = self.evidence_id
        return {"resolution": told}


def doubt(row: CallRow | None) -> CallRow | Reason:
    """The row, where there can be a verdict on its call; else why not."""
    if row is None:
        return Reason("resolution.unknown", "No call with an effect has this envelope id.")
    return row if row.state is State.IN_DOUBT else NOT_IN_DOUBT


def resolver_of(row: CallRow) -> str | None:
    """By which method a call was resolved, if it was."""
    prefix, _, method = (row.reason or "").partition(".")
    return method if prefix == "resolution" else None
