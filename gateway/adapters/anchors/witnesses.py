"""Showing a checkpoint to a witness (C2SP tlog-witness, `add-checkpoint`), and what can come of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import aiohttp

from gateway.adapters.anchors.asking import Answer, ask
from gateway.core.checkpoint import read_checkpoint
from gateway.core.cosignature import Cosignature, cosignatures
from gateway.core.dsse import NotVerified
from gateway.core.errors import Unreachable
from gateway.core.verifier_key import VerifierKey
from gateway.core.witness import SIZE_TYPE, submission

_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_TRIES = 3
"""A witness that moves on while we ask is asked again; it moves on only if somebody else shows it our log, too."""


class Asked(NamedTuple):
    """A witness that can be asked: its name in the policy, its key, its submission prefix without a slash at the end."""

    name: str
    key: VerifierKey
    url: str


class Standing(StrEnum):
    """How a witness stands to our log."""

    UNKNOWN = "unknown"
    """Not asked yet."""
    COSIGNED = "cosigned"
    UNAVAILABLE = "unavailable"
    """It does not answer, or not with a cosignature: it says neither yes nor no."""
    AHEAD = "ahead"
    """It cosigned a longer log than ours."""
    CONTRADICTS = "contradicts"
    """It cosigned another log than ours under our log's name."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a witness said to a checkpoint of `size`. `reason` is for people."""

    standing: Standing
    size: int = 0
    reason: str = ""
    cosignature: Cosignature | None = None


Proof = Callable[[int, int], list[bytes]]
"""The consistency proof between two sizes of our log."""


async def show(session: aiohttp.ClientSession, witness: Asked, note: str, since: int, proof: Proof) -> Shown:
    """Ask `witness` to cosign `note`. `since`: the size it cosigned last, as far as we know."""
    signed = read_checkpoint(note)
    size = signed.checkpoint.size
    for _ in range(_TRIES):
        try:
            body = submission(since, proof(since, size), note).body()
            answer = await ask(session, f"{witness.url}/add-checkpoint", body, "text/plain; charset=utf-8")
        except Unreachable as error:
            return Shown(Standing.UNAVAILABLE, reason=error.message)
        match answer.status:
            case 200:
                return _cosigned(witness, note, answer)
            case 409 if since == size and _size(answer) in (size, None):  # the size is right, so it is the root
                return Shown(Standing.CONTRADICTS, since, f"it cosigned another log of {since} entries")
            case 409 if (known := _size(answer)) is not None:
                since = known
                if since > size:
                    return Shown(Standing.AHEAD, since, f"it cosigned a checkpoint of {since} entries")
            case 422:
                return Shown(Standing.CONTRADICTS, since, f"it cosigned another log of {since} entries: {_told(answer)}")
            case _:
                return Shown(Standing.UNAVAILABLE, reason=f"it answers {answer.status}: {_told(answer)}")
    return Shown(Standing.UNAVAILABLE, reason="its newest checkpoint is another one whenever we ask")


def _cosigned(witness: Asked, note: str, answer: Answer) -> Shown:
    try:
        signed = read_checkpoint(note + answer.body.decode())
        found = next(cosignatures(signed, (witness.key,)), None)
    except (NotVerified, UnicodeDecodeError) as error:
        return Shown(Standing.UNAVAILABLE, reason=f"its answer does not hold: {error}")
    if found is None:
        return Shown(Standing.UNAVAILABLE, reason=f"its answer carries no cosignature by {witness.key.id}")
    return Shown(Standing.COSIGNED, signed.checkpoint.size, cosignature=found)


def _size(answer: Answer) -> int | None:
    """The size that a 409 tells."""
    found = _SIZE.fullmatch(answer.body) if answer.content_type == SIZE_TYPE else None
    return None if found is None else int(found[1])


def _told(answer: Answer) -> str:
    return answer.body[:200].decode(errors="replace").strip() or "nothing more"
