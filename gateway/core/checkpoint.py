"""C2SP tlog-checkpoint: a signed note that says how long the log is and what its root is. Made after commit only.

Sources: https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note (Ed25519, signature type 0x01).
"""

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.dsse import NotVerified, Signer


class LogSigner(Signer, Protocol):
    """A key of the log; its public half goes into the key hash."""

    @property
    def public_key(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint states."""

    origin: str
    size: int
    root: bytes

    def body(self) -> bytes:
        """The signed text: origin, size, base64 root, one a line."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n".encode()


def note_key_hash(name: str, public_key: bytes) -> bytes:
    """The first four bytes of SHA-256(name || LF || 0x01 || public key)."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]


def sign_checkpoint(checkpoint: Checkpoint, *signers: LogSigner) -> str:
    """The signed note; each key's name is the log's origin. Several signers: while the log's key changes."""
    lines = [checkpoint.body().decode(), "\n"]
    for signer in signers:
        signature = note_key_hash(checkpoint.origin, signer.public_key) + signer.sign(checkpoint.body())
        lines.append(f"— {checkpoint.origin} {b64encode(signature).decode()}\n")
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """One signature line of a note, not checked yet: whose it says it is, the key hash, what follows it."""

    name: str
    key_hash: bytes
    raw: bytes

    @property
    def line(self) -> str:
        """As it stands in the note, with the line break."""
        return f"— {self.name} {b64encode(self.key_hash + self.raw).decode()}\n"


@dataclass(frozen=True, slots=True)
class SignedNote:
    """A checkpoint with its signature lines, not checked yet."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]


def read_checkpoint(note: str) -> SignedNote:
    """The form of a note without its signatures being checked. As strict as Go's sumdb/note: each line is a signature.

    Raises:
        NotVerified: not a checkpoint, or not spelled as one is.
    """
    body, separator, lines = note.partition("\n\n")
    try:
        name, size, root = body.split("\n")
        checkpoint = Checkpoint(name, int(size), b64decode(root, validate=True))
    except ValueError as error:
        raise NotVerified(f"not a checkpoint: {error!r}") from error
    # One spelling only: a note with a changed byte is not the note that was signed, whatever it decodes to.
    if checkpoint.body() != f"{body}\n".encode() or checkpoint.size < 0 or len(checkpoint.root) != 32:
        raise NotVerified("not a checkpoint")
    if not separator or not lines.endswith("\n"):
        raise NotVerified("not a signed note")
    return SignedNote(checkpoint, tuple(_signatures(lines)))


def open_checkpoint(note: str, origin: str, keys: Iterable[Ed25519PublicKey]) -> Checkpoint:
    """The checkpoint in `note`, signed by one of the log's `keys`. Signatures by others are passed over.

    Raises:
        NotVerified: malformed, of another log, or not signed by any of `keys`.
    """
    return checkpoint_signers(note, origin, keys)[0]


def checkpoint_signers(
    note: str, origin: str, keys: Iterable[Ed25519PublicKey]
) -> tuple[Checkpoint, tuple[Ed25519PublicKey, ...]]:
    """`open_checkpoint`, and which of `keys` signed: one, or two where the log's key changed. Raises `NotVerified`."""
    signed = read_checkpoint(note)
    checkpoint = signed.checkpoint
    if checkpoint.origin != origin:
        raise NotVerified(f"a checkpoint of the log {checkpoint.origin!r}, not of {origin!r}")
    by_hash = {note_key_hash(origin, key.public_bytes_raw()): key for key in keys}
    signers: list[Ed25519PublicKey] = []
    for signature in signed.signatures:
        key = by_hash.get(signature.key_hash)
        if key is None or signature.name != origin:
            continue
        try:
            key.verify(signature.raw, checkpoint.body())
        except InvalidSignature as error:  # whatever else signed it: a note with a wrong signature is malformed
            raise NotVerified("the checkpoint's signature does not match") from error
        if key not in signers:
            signers.append(key)
    if not signers:
        raise NotVerified("the checkpoint carries no signature by the log's key")
    return checkpoint, tuple(signers)


def _signatures(lines: str) -> Iterator[NoteSignature]:
    for line in lines[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.rpartition(" ")
        try:
            raw = b64decode(encoded, validate=True)
        except ValueError as error:
            raise NotVerified("not a signed note: a line under it is no signature") from error
        if dash != "—" or not name or len(raw) < 5 or b64encode(raw).decode() != encoded:
            raise NotVerified("not a signed note: a line under it is no signature")
        yield NoteSignature(name, raw[:4], raw[4:])
