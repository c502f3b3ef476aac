"""C2SP verifier keys ("vkeys"): the public key of a log or a witness, with its name and the kind of its signatures, as text.

    <name>+<key id, 8 hex digits>+<base64 of the signature type and the public key>

Source: https://c2sp.org/signed-note, "Verifier keys". Only the Ed25519 types are read.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from enum import IntEnum

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_KEY_BYTES = 32


class SignatureType(IntEnum):
    """What a key signs: notes (a log's own signature), or checkpoints with the time (a witness's)."""

    ED25519 = 0x01
    COSIGNATURE = 0x04


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key by name. `public_key`: 32 raw bytes."""

    name: str
    kind: SignatureType
    public_key: bytes

    @property
    def key_hash(self) -> bytes:
        """The four bytes that name the key in a signature line."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public_key).digest()[:4]

    @property
    def id(self) -> str:
        """Name and key id, `witness.example/w1+8d66cf3f`: says exactly which key, and holds no white space."""
        return f"{self.name}+{self.key_hash.hex()}"

    @property
    def text(self) -> str:
        """The verifier key as text."""
        return f"{self.id}+{b64encode(bytes([self.kind]) + self.public_key).decode()}"

    def public(self) -> Ed25519PublicKey:
        """The key to verify with."""
        return Ed25519PublicKey.from_public_bytes(self.public_key)


def check_key_name(name: str) -> str:
    """`name`, if a signed note may carry it. Raises ValueError."""
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"{name[:60]!r} is no key name: it must have no white space, control character or plus sign")
    return name


def parse_verifier_key(text: str) -> VerifierKey:
    """The inverse of `VerifierKey.text`. Raises ValueError with what is wrong."""
    name, _, rest = text.partition("+")
    key_id, _, encoded = rest.partition("+")
    check_key_name(name)
    try:
        raw = b64decode(encoded, validate=True)
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} is no verifier key: name+key id+base64") from error
    if len(raw) != 1 + _KEY_BYTES or raw[0] not in list(SignatureType):
        raise ValueError(f"{text[:80]!r} is not an Ed25519 verifier key of type 01 (log) or 04 (witness)")
    key = VerifierKey(name, SignatureType(raw[0]), raw[1:])
    if key.text != text:  # one spelling, and the key id is that of the key
        raise ValueError(f"{text[:80]!r} is damaged: its key id should be {key.key_hash.hex()}, not {key_id[:8]!r}")
    return key
