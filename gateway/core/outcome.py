"""How a governed call can end: a closed set of values. Each carries the receipt of its durable entry.

The edge must handle every one (`assert_never`); nothing else leaves the pipeline. `modified` is set where the call is not
the one that was made.
"""

from dataclasses import dataclass
from typing import Any

from gateway.core.delivery import Delivery
from gateway.core.entry import Record, SealedEntry
from gateway.core.evidence import EvidenceRef


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, as a stable code and a sentence a person or a model can act on. No argument or result values in it."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the log holds about a call: where, and the signature that proves it (checked with `sealgate log verify`)."""

    envelope_id: str
    kind: str
    log_origin: str
    leaf_index: int
    leaf_hash: str
    keyid: str
    signature: str

    @classmethod
    def of(cls, record: Record, sealed: SealedEntry, log_origin: str) -> "Receipt":
        """The receipt of what was appended."""
        return cls(
            envelope_id=record.id,
            kind=record.kind.value,
            log_origin=log_origin,
            leaf_index=sealed.index,
            leaf_hash=sealed.leaf.hex(),
            keyid=sealed.keyid,
            signature=sealed.signature,
        )

    def document(self) -> dict[str, Any]:
        """The value of `_meta["dev.sealgate/receipt"]`."""
        return {
            "envelope_id": self.envelope_id,
            "kind": self.kind,
            "log_origin": self.log_origin,
            "leaf_index": self.leaf_index,
            "leaf_hash": self.leaf_hash,
            "keyid": self.keyid,
            "signature": self.signature,
        }


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller is told of a result beside the result: what it is worth as evidence, and what was done to it."""

    evidence: EvidenceRef
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class Modified:
    """Another call came of it than the one that was made: that one's envelope id, and which arguments were changed."""

    original: str
    pointers: tuple[str, ...]

    def and_then(self, other: "Modified | None") -> "Modified":
        """Of a call that was changed like this, and then like that."""
        more = () if other is None else other.pointers
        return Modified(self.original, tuple(dict.fromkeys((*self.pointers, *more))))


@dataclass(frozen=True, slots=True)
class Completed:
    """The upstream answered; `result` is the MCP CallToolResult document, which may itself say `isError`."""

    result: dict[str, Any]
    receipt: Receipt
    told: Told
    modified: Modified | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The same call was completed before: its stored result. `note` says how the key came about where it was derived.

    `resolved_by`: the result is not the tool's answer, which was lost: an operator or a reconcile tool told it. `redacted`:
    what was taken out of the result before it was stored.
    """

    result: dict[str, Any]
    receipt: Receipt
    note: str | None
    told: Told
    resolved_by: str | None = None
    redacted: tuple[str, ...] = ()
    modified: Modified | None = None


@dataclass(frozen=True, slots=True)
class Denied:
    """It did not run and left no effect."""

    reasons: tuple[Reason, ...]
    receipt: Receipt
    modified: Modified | None = None


@dataclass(frozen=True, slots=True)
class AwaitingApproval:
    """A person must approve it first; the same call again resumes this request."""

    approval_id: str
    expires_at: str
    reasons: tuple[Reason, ...]
    receipt: Receipt
    modified: Modified | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The key is taken: by a call that still runs, has other arguments, was undone, or whose result is no longer kept."""

    reason: Reason
    receipt: Receipt
    modified: Modified | None = None


@dataclass(frozen=True, slots=True)
class InDoubt:
    """It was started and its end is unknown. It is never run again by itself; an operator resolves it."""

    reason: Reason
    receipt: Receipt
    modified: Modified | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It ended without a result and certainly without an unknown effect."""

    reason: Reason
    receipt: Receipt
    modified: Modified | None = None


Outcome = Completed | Replayed | Denied | AwaitingApproval | Conflict | InDoubt | Failed
