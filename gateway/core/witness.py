"""The rules of a C2SP tlog-witness: what `add-checkpoint` asks for, and whether the witness may cosign it.

The witness remembers for each log the newest checkpoint it cosigned, and cosigns only what continues it. The rules are
applied in the order of https://c2sp.org/tlog-witness; each refusal has the status that page names. Narrower than that
page in two things: no checkpoint with extension lines, and none of more than 2**63 - 1 entries, is taken.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.checkpoint import Checkpoint, SignedNote, open_checkpoint, read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.merkle import EMPTY_ROOT
from gateway.core.proof import verify_consistency
from gateway.core.verifier_key import VerifierKey

MAX_PROOF_LINES = 63
MAX_REQUEST_BYTES = 128 * 1024
MAX_SIZE = 2**63 - 1
SIZE_TYPE = "text/x.tlog.size"

_OLD = re.compile("old (0|[1-9][0-9]{0,18})")

LogKeys = Mapping[str, tuple[VerifierKey, ...]]
"""The keys of each log that a witness knows, by the log's origin."""


@dataclass(frozen=True, slots=True)
class Submission:
    """An `add-checkpoint` request: what the log asks to have cosigned. Nothing of it is checked but its form."""

    old_size: int
    proof: tuple[bytes, ...]
    note: str
    signed: SignedNote

    def body(self) -> bytes:
        """The request as it is sent."""
        lines = [f"old {self.old_size}", *(b64encode(node).decode() for node in self.proof), "", self.note]
        return "\n".join(lines).encode()


class Refused(Exception):
    """The witness does not cosign. `status` is the HTTP status; `size`, for 409 only, that of its newest checkpoint."""

    def __init__(self, status: int, reason: str, *, size: int | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.size = size


def read_submission(body: bytes) -> Submission:
    """The request in `body`. Raises `Refused` (400) where it is not one."""
    try:
        head, blank, note = body.decode().partition("\n\n")
        first, *proof_lines = head.split("\n")
        old = _OLD.fullmatch(first)
        if not blank or old is None:
            raise ValueError("it begins with a line `old <size>`, the proof's lines and an empty line")
        if len(proof_lines) > MAX_PROOF_LINES:
            raise ValueError(f"a proof has at most {MAX_PROOF_LINES} lines")
        signed = read_checkpoint(note)
        if signed.checkpoint.size > MAX_SIZE:
            raise ValueError(f"a checkpoint states at most {MAX_SIZE} entries")
        return Submission(int(old[1]), tuple(map(_hash, proof_lines)), note, signed)
    except ValueError as error:  # NotVerified too
        raise Refused(400, f"not an add-checkpoint request: {error}") from error


def submission(old_size: int, proof: list[bytes], note: str) -> Submission:
    """The request for `note`, a checkpoint that continues the tree of `old_size` leaves by `proof`."""
    return Submission(old_size, tuple(proof), note, read_checkpoint(note))


def check_signed(submission: Submission, logs: LogKeys) -> Checkpoint:
    """The checkpoint, if it is signed by a log that the witness knows. Raises `Refused` (404, 403, 400)."""
    origin = submission.signed.checkpoint.origin
    keys = logs.get(origin)
    if keys is None:
        raise Refused(404, f"this witness does not know the log {origin!r}")
    try:
        checkpoint = open_checkpoint(submission.note, origin, [key.public() for key in keys])
    except NotVerified as error:
        raise Refused(403, str(error)) from error
    if submission.old_size > checkpoint.size:
        raise Refused(400, f"the old size {submission.old_size} is beyond the checkpoint's {checkpoint.size}")
    return checkpoint


def own_note(submission: Submission, logs: LogKeys) -> str:
    """The note of the signed `submission` under the log's own signatures alone.

    What else stands under it anybody may have written, even in the name of the witness, and it is not to be remembered.
    """
    checkpoint = submission.signed.checkpoint
    own = {(key.name, key.key_hash) for key in logs[checkpoint.origin]}
    lines = (one.line for one in submission.signed.signatures if (one.name, one.key_hash) in own)
    return "".join([checkpoint.body().decode(), "\n", *dict.fromkeys(lines)])


def check_continues(submission: Submission, newest: Checkpoint | None) -> None:
    """Whether the signed `submission` continues the `newest` checkpoint the witness cosigned of that log (None: none yet).

    Raises:
        Refused: 409 with the newest size, where the request starts elsewhere or states another root for that size; 422
            where it does not continue.
    """
    checkpoint = submission.signed.checkpoint
    size, root = (0, EMPTY_ROOT) if newest is None else (newest.size, newest.root)
    if submission.old_size != size:
        raise Refused(409, f"the newest cosigned checkpoint has size {size}", size=size)
    if 0 < checkpoint.size == size and not submission.proof and checkpoint.root != root:
        raise Refused(409, f"the newest cosigned checkpoint of size {size} has another root", size=size)
    if not verify_consistency(size, checkpoint.size, root, checkpoint.root, submission.proof):
        raise Refused(422, f"the checkpoint of size {checkpoint.size} is not proved to continue the one of size {size}")


def _hash(line: str) -> bytes:
    raw = b64decode(line, validate=True)
    if len(raw) != 32 or b64encode(raw).decode() != line:
        raise ValueError("a proof's line is the base64 of 32 bytes")
    return raw
