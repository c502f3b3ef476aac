"""SSH keys and the signatures of `ssh-keygen -Y sign` (OpenSSH PROTOCOL.sshsig), verified as `ssh-keygen -Y verify` does.

Stricter than it in three places: the reserved field must be empty, of hardware keys a touch must be told, and only key
types without parameters to choose are taken: Ed25519 and ECDSA over P-256, each also as a FIDO (`sk-`) key.

What a signature covers is `SSHSIG`, the namespace, the reserved field, the name of the hash, and the hash of the message.
"""

import hashlib
import struct
from base64 import b64decode, b64encode
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_ED25519, _ECDSA = b"ssh-ed25519", b"ecdsa-sha2-nistp256"
_SK_ED25519, _SK_ECDSA = b"sk-ssh-ed25519@openssh.com", b"sk-ecdsa-sha2-nistp256@openssh.com"
_SK = frozenset({_SK_ED25519, _SK_ECDSA})
_USER_PRESENT = 0x01  # CTAP2: the flag that a person touched the key
KEY_TYPES = tuple(sorted(kind.decode() for kind in (_ED25519, _ECDSA, *_SK)))
MAX_ARMORED_CHARS = 4096


class BadSshKey(ValueError):
    """Not a public key of a type that is taken here."""


class BadSshSignature(ValueError):
    """Not a signature, or not one of this key over this message."""


@dataclass(frozen=True, slots=True)
class SshKey:
    """A public key as `authorized_keys` has it. `application` is that of a FIDO key, else empty."""

    blob: bytes
    kind: bytes = field(repr=False)
    key: Ed25519PublicKey | EllipticCurvePublicKey = field(repr=False, compare=False)
    application: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, blob: bytes) -> "SshKey":
        """RFC 8709 section 4, RFC 5656 section 3.1, OpenSSH PROTOCOL.u2f. Raises ValueError, struct.error."""
        kind, rest = _Reader.first(blob)
        reader = _Reader(rest)
        key: Ed25519PublicKey | EllipticCurvePublicKey
        if kind in (_ED25519, _SK_ED25519):
            raw, *more = reader.strings(2 if kind in _SK else 1)
            key = Ed25519PublicKey.from_public_bytes(raw)
        elif kind in (_ECDSA, _SK_ECDSA):
            curve, point, *more = reader.strings(3 if kind in _SK else 2)
            if curve != b"nistp256" or point[:1] != b"\x04":  # one spelling: not compressed
                raise ValueError("another curve or form of point")
            key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
        else:
            raise ValueError("another type of key")
        return cls(blob, kind, key, *more)

    @property
    def on_hardware(self) -> bool:
        """Whether it signs only when touched."""
        return self.kind in _SK

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it: `SHA256:` and unpadded base64."""
        return "SHA256:" + b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")

    @property
    def material(self) -> bytes:
        """The bare public key: two keys with the same one are the same, however they are written."""
        if isinstance(self.key, Ed25519PublicKey):
            return self.key.public_bytes_raw()
        numbers = self.key.public_numbers()
        return numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")


def read_ssh_key(line: str) -> SshKey:
    """A public key as a `.pub` file has it: `ssh-ed25519 AAAA… comment`. Raises `BadSshKey`."""
    parts = line.split(None, 2)
    if len(parts) < 2 or "\n" in line.strip():
        raise BadSshKey("is not one line of a .pub file")
    try:
        blob = b64decode(parts[1], validate=True)
        key = SshKey.read(blob)
    except (ValueError, struct.error):
        raise BadSshKey(f"is not a public key of these types: {', '.join(KEY_TYPES)}") from None
    if key.kind.decode() != parts[0] or b64encode(blob).decode() != parts[1]:
        raise BadSshKey("says another type than its key has, or is spelled in an unusual way")
    return key


def verify(armored: str, key: SshKey, namespace: str, message: bytes) -> None:
    """Raises `BadSshSignature` where `armored` is not the signature of `key` over `message` for this namespace."""
    try:
        signature = _read_signature(armored)
    except (ValueError, struct.error) as error:
        raise BadSshSignature(f"not an SSH signature: {error}") from error
    if signature.key != key.blob:
        raise BadSshSignature("made by another key")
    if signature.namespace != namespace.encode():
        raise BadSshSignature("made for another purpose")
    if signature.reserved:
        raise BadSshSignature("its reserved field is not empty")
    hashed = _HASHES.get(signature.hash)
    if hashed is None:
        raise BadSshSignature("its hash is neither sha256 nor sha512")
    covered = _MAGIC + b"".join(
        map(_string, (signature.namespace, signature.reserved, signature.hash, hashed(message).digest()))
    )
    try:
        _check(key, signature.raw, covered)
    except (InvalidSignature, ValueError, struct.error) as error:
        raise BadSshSignature(str(error) or "the signature does not match") from error


def signing_key(armored: str) -> bytes:
    """The blob of the key that a signature says made it. Raises `BadSshSignature`."""
    try:
        return _read_signature(armored).key
    except (ValueError, struct.error) as error:
        raise BadSshSignature(f"not an SSH signature: {error}") from error


@dataclass(frozen=True, slots=True)
class _Signature:
    key: bytes
    namespace: bytes
    reserved: bytes
    hash: bytes
    raw: bytes


def _read_signature(armored: str) -> _Signature:
    """PROTOCOL.sshsig, sections 1 and 2."""
    if len(armored) > MAX_ARMORED_CHARS:
        raise ValueError("too long")
    lines = armored.replace("\r\n", "\n").strip("\n").split("\n")
    if lines[0] != _BEGIN or lines[-1] != _END:
        raise ValueError("no armour")
    text = "".join(lines[1:-1])
    blob = b64decode(text, validate=True)
    if b64encode(blob).decode() != text or not blob.startswith(_MAGIC):
        raise ValueError("not base64 of SSHSIG")
    reader = _Reader(blob[len(_MAGIC) :])
    if reader.number() != 1:
        raise ValueError("another version than 1")
    return _Signature(*reader.strings(5))


def _check(key: SshKey, raw: bytes, covered: bytes) -> None:
    """The signature blob of the key's type over `covered`. Raises `InvalidSignature`, ValueError, struct.error."""
    kind, rest = _Reader.first(raw)
    if kind != key.kind:
        raise ValueError("the signature is of another type than the key")
    if kind in _SK:  # PROTOCOL.u2f: the key signs what it was told and what it saw
        signature, seen = _Reader.first(rest)
        flags, counter = struct.unpack(">BI", seen)
        if not flags & _USER_PRESENT:
            raise ValueError("nobody touched the key for it")
        hashed = hashlib.sha256(key.application).digest(), hashlib.sha256(covered).digest()
        covered = hashed[0] + struct.pack(">BI", flags, counter) + hashed[1]
    else:
        (signature,) = _Reader(rest).strings(1)
    if isinstance(key.key, Ed25519PublicKey):
        key.key.verify(signature, covered)
    else:
        r, s = _Reader(signature).strings(2)
        key.key.verify(encode_dss_signature(_positive(r), _positive(s)), covered, ECDSA(SHA256()))


def _positive(mpint: bytes) -> int:
    """RFC 4251 section 5, positive and spelled in the shortest way."""
    if not mpint or mpint[0] & 0x80 or (mpint[0] == 0 and not mpint[1:2] >= b"\x80"):
        raise ValueError("not a number of an ECDSA signature")
    return int.from_bytes(mpint, "big")


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


class _Reader:
    """Reads SSH wire data (RFC 4251 section 5). Raises ValueError, struct.error."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    @staticmethod
    def first(data: bytes) -> tuple[bytes, bytes]:
        """The first string of `data`, and the rest."""
        reader = _Reader(data)
        return reader._string(), reader._rest

    def number(self) -> int:
        (value,) = struct.unpack_from(">I", self._rest)
        self._rest = self._rest[4:]
        return int(value)

    def strings(self, count: int) -> list[bytes]:
        """Exactly so many strings, and nothing after them."""
        found = [self._string() for _ in range(count)]
        if self._rest:
            raise ValueError("more than there should be")
        return found

    def _string(self) -> bytes:
        size = self.number()
        if size > len(self._rest):
            raise ValueError("cut off")
        found, self._rest = self._rest[:size], self._rest[size:]
        return found
