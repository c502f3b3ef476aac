"""What stands outside the log and speaks for it: cosignatures of witnesses and time stamps over its checkpoints.

With one, the log can no longer be shortened or rewritten up to there without somebody noticing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.checkpoint import Checkpoint, open_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.errors import VerificationFailed
from gateway.core.trust import TrustedKeys


class AnchorKind(StrEnum):
    """What the proof is: a signature line of a note (C2SP tlog-cosignature), or a DER TimeStampResp (RFC 3161)."""

    COSIGNATURE = "cosignature"
    RFC3161 = "rfc3161"


@dataclass(frozen=True, slots=True)
class Anchor:
    """One proof over the log's checkpoint of `size`: from whom, and when we stored it (RFC 3339)."""

    size: int
    kind: AnchorKind
    who: str
    at: str
    proof: bytes


@dataclass(frozen=True, slots=True)
class AnchoredCheckpoint:
    """A checkpoint of the log as it was signed, and what speaks for it."""

    note: str
    anchors: tuple[Anchor, ...]

    @property
    def cosigned(self) -> str:
        """The note with the cosignature lines under it."""
        return cosigned_note(self.note, self.anchors)


def cosigned_note(note: str, anchors: Iterable[Anchor]) -> str:
    """The signed checkpoint `note` with the cosignature lines among `anchors` under it, each once."""
    return note + "".join(anchor.proof.decode() for anchor in anchors if anchor.kind is AnchorKind.COSIGNATURE)


def check_kept(note: str, where: str, keys: TrustedKeys, size: int, root_at: Callable[[int], bytes]) -> Checkpoint:
    """That a log of `size` entries, whose root at any smaller size is `root_at`, is one that `note` speaks for.

    Args:
        note: an anchored checkpoint that was kept at `where`

    Raises:
        VerificationFailed: the log is shorter, or another one; or the note is not one of this log at all.
    """
    try:
        kept = open_checkpoint(note, keys.origin, [period.key for period in keys.log_keys.values()])
    except NotVerified as error:
        raise VerificationFailed(
            f"the anchored checkpoint kept at {where} is not one of this log: {error}",
            hint="A state folder from before a rotation of the log's key looks like this: put the newest copy of it back."
            " If it is the newest, find out who changed the file.",
            code="log.anchor_unreadable",
        ) from error
    if kept.size > size:
        raise rolled_back(f"it has {size} entries, and {where} keeps an anchored checkpoint of {kept.size}")
    if root_at(kept.size) != kept.root:
        raise rolled_back(f"its first {kept.size} entries are not those of the anchored checkpoint kept at {where}")
    return kept


def rolled_back(what: str) -> VerificationFailed:
    """The log is not what was anchored: an old copy was put back, or another log in its place."""
    return VerificationFailed(
        f"the log was rolled back or replaced: {what}",
        hint="Put the newest copy of the state folder back. Effects done since the old copy are not known to it.",
        code="log.rolled_back",
    )
