"""C2SP tlog-cosignature, Ed25519 (signature type 0x04): a witness states when it saw a checkpoint, and that nothing older
that it saw contradicts it.

A cosignature is one more signature line of the checkpoint's note. What is signed is `cosignature/v1`, the time, and the
note's text. Source: https://c2sp.org/tlog-cosignature.
"""

import struct
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature

from gateway.core.checkpoint import Checkpoint, NoteSignature, SignedNote
from gateway.core.dsse import NotVerified, Signer
from gateway.core.verifier_key import SignatureType, VerifierKey

MAX_TIMESTAMP = 2**63 - 1
_TIMESTAMP = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Cosignature:
    """A checked cosignature: by whom, when (POSIX seconds, as the witness says), and its line with the line break."""

    key: VerifierKey
    timestamp: int
    line: str


def cosigned_message(checkpoint: Checkpoint, timestamp: int) -> bytes:
    """What a witness signs."""
    return b"cosignature/v1\ntime %d\n%b" % (timestamp, checkpoint.body())


def cosign(checkpoint: Checkpoint, key: VerifierKey, signer: Signer, timestamp: int) -> str:
    """The signature line of the witness `key`, whose private half `signer` holds."""
    return _line(key, _TIMESTAMP.pack(timestamp) + signer.sign(cosigned_message(checkpoint, timestamp)))


def cosignatures(note: SignedNote, keys: tuple[VerifierKey, ...]) -> Iterator[Cosignature]:
    """The cosignatures in `note` by any of `keys`; signatures by others are passed over.

    Raises:
        NotVerified: one names a key of `keys` and does not match. Such a note is malformed (C2SP signed-note).
    """
    known = {(key.name, key.key_hash): key for key in keys if key.kind is SignatureType.COSIGNATURE}
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_hash))
        if key is not None:
            yield _checked(note.checkpoint, key, signature)


def _checked(checkpoint: Checkpoint, key: VerifierKey, signature: NoteSignature) -> Cosignature:
    raw = signature.raw
    if len(raw) != _TIMESTAMP.size + 64:
        raise NotVerified(f"the cosignature by {key.id} has {len(raw)} bytes, not 72")
    (timestamp,) = _TIMESTAMP.unpack(raw[: _TIMESTAMP.size])
    if not 0 < timestamp <= MAX_TIMESTAMP:
        raise NotVerified(f"the cosignature by {key.id} has no time")
    try:
        key.public().verify(raw[_TIMESTAMP.size :], cosigned_message(checkpoint, timestamp))
    except InvalidSignature as error:
        raise NotVerified(f"the cosignature by {key.id} does not match") from error
    return Cosignature(key, timestamp, _line(key, raw))


def _line(key: VerifierKey, raw: bytes) -> str:
    return f"— {key.name} {b64encode(key.key_hash + raw).decode()}\n"
