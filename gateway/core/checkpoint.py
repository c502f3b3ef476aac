"""C2SP tlog-checkpoint: a signed note that says how long the log is and what its root is. Made after commit only.

Sources: https://c2sp.org/tlog-checkpoint, https://c2sp.org/signed-note (Ed25519, signature type 0x01).
"""

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.dsse import NotVerified, Signer


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


def sign_checkpoint(checkpoint: Checkpoint, signer: Signer, public_key: bytes) -> str:
    """The signed note; the key's name is the log's origin."""
    signature = note_key_hash(checkpoint.origin, public_key) + signer.sign(checkpoint.body())
    return f"{checkpoint.body().decode()}\n— {checkpoint.origin} {b64encode(signature).decode()}\n"


def open_checkpoint(note: str, origin: str, key: Ed25519PublicKey) -> Checkpoint:
    """The checkpoint in `note`, signed by the log's `key`. Signatures by others are passed over.

    Raises:
        NotVerified: malformed, of another log, or not signed by `key`.
    """
    body, separator, signatures = note.partition("\n\n")
    try:
        name, size, root = body.split("\n")
        checkpoint = Checkpoint(name, int(size), b64decode(root, validate=True))
    except ValueError as error:
        raise NotVerified(f"not a checkpoint: {error!r}") from error
    # One spelling only: a note with a changed byte is not the note that was signed, whatever it decodes to.
    if checkpoint.body() != f"{body}\n".encode() or checkpoint.size < 0 or len(checkpoint.root) != 32:
        raise NotVerified("not a checkpoint")
    if not separator or not signatures.endswith("\n"):
        raise NotVerified("not a signed note")
    if name != origin:
        raise NotVerified(f"a checkpoint of the log {name!r}, not of {origin!r}")
    expected = note_key_hash(origin, key.public_bytes_raw())
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        signer, _, encoded = rest.rpartition(" ")
        if dash != "—" or signer != origin:
            continue
        try:
            raw = b64decode(encoded, validate=True)
        except ValueError:
            continue
        if b64encode(raw).decode() == encoded and raw[:4] == expected:
            try:
                key.verify(raw[4:], checkpoint.body())
            except InvalidSignature as error:
                raise NotVerified("the checkpoint's signature does not match") from error
            return checkpoint
    raise NotVerified("the checkpoint carries no signature by the log's key")
