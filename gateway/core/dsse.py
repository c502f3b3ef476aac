"""DSSE envelopes (secure-systems-lab/dsse protocol v1) with Ed25519. A signature covers payload type and payload bytes,
so verification needs no canonicalisation."""

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.canonical import canonical


class Signer(Protocol):
    """Holds a private Ed25519 key. Implementations: `adapters.keys.FileSigner`."""

    keyid: str

    def sign(self, data: bytes) -> bytes:
        """The 64-byte signature of `data`."""


class NotVerified(ValueError):
    """An envelope is malformed, or no trusted key made its signature."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of an envelope, not checked yet. `raw` has 64 bytes where it is one."""

    keyid: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope of the right form whose signatures nobody has checked yet."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def check(self, signature: Signature, key: Ed25519PublicKey) -> None:
        """Raises `NotVerified` where `key` did not make `signature`."""
        try:
            key.verify(signature.raw, pae(self.payload_type, self.payload))
        except InvalidSignature as error:
            raise NotVerified("the signature does not match") from error


@dataclass(frozen=True, slots=True)
class Verified:
    """Payload bytes whose one signature was checked, and which key made it."""

    payload: bytes
    keyid: str


def key_id(public_key: bytes) -> str:
    """The id securesystemslib derives for a raw 32-byte Ed25519 public key: SHA-256 over its canonical description."""
    described = {"keytype": "ed25519", "keyval": {"public": public_key.hex()}, "scheme": "ed25519"}
    return hashlib.sha256(canonical(described)).hexdigest()


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: what is signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelop(payload_type: str, payload: bytes, *signers: Signer) -> tuple[bytes, str]:
    """The envelope signed by each of `signers`, canonical JSON bytes, and the first one's signature in base64."""
    covered = pae(payload_type, payload)
    signatures = tuple(Signature(signer.keyid, signer.sign(covered)) for signer in signers)
    return _spell(payload_type, payload, signatures), b64encode(signatures[0].raw).decode()


def read_envelope(envelope: bytes | dict[str, Any], payload_type: str) -> Envelope:
    """The envelope with its signatures, none of them checked.

    Raises:
        NotVerified: malformed, another payload type, no signature or two by one key, spelled in another way than ours.
    """
    try:
        document = orjson.loads(envelope) if isinstance(envelope, bytes) else envelope
        payload = b64decode(document["payload"], validate=True)
        claimed = document["payloadType"]
        signatures = tuple(
            Signature(str(one["keyid"]), b64decode(one["sig"], validate=True)) for one in document["signatures"]
        )
    except (KeyError, TypeError, ValueError, AttributeError, Base64Error) as error:
        raise NotVerified(f"not a DSSE envelope: {error!r}") from error
    if claimed != payload_type:
        raise NotVerified(f"payload type is {claimed!r}, not {payload_type!r}")
    if not signatures or len({signature.keyid for signature in signatures}) < len(signatures):
        raise NotVerified("not a DSSE envelope with one signature for each key")
    # One spelling only: what is signed is the payload, and nothing unsigned may stand beside it.
    if isinstance(envelope, bytes) and envelope != _spell(payload_type, payload, signatures):
        raise NotVerified("its bytes are not those of a signed envelope: something was added or spelled otherwise")
    return Envelope(payload_type, payload, signatures)


def open_envelope(envelope: bytes | dict[str, Any], payload_type: str, keys: Mapping[str, Ed25519PublicKey]) -> Verified:
    """Check an envelope with exactly one signature against trusted `keys` (by key id).

    Raises:
        NotVerified: malformed, another payload type, an unknown key, a wrong signature, several signatures.
    """
    opened = read_envelope(envelope, payload_type)
    if len(opened.signatures) != 1:
        raise NotVerified(f"an envelope with {len(opened.signatures)} signatures, where one is right")
    (signature,) = opened.signatures
    opened.check(signature, trusted_key(signature.keyid, keys))
    return Verified(opened.payload, signature.keyid)


def trusted_key(keyid: str, keys: Mapping[str, Ed25519PublicKey]) -> Ed25519PublicKey:
    """The key of this id. Raises `NotVerified` where nobody trusts it."""
    key = keys.get(keyid)
    if key is None:
        raise NotVerified(f"signed by the unknown key {keyid[:80]!r}")
    return key


def _spell(payload_type: str, payload: bytes, signatures: tuple[Signature, ...]) -> bytes:
    return orjson.dumps(
        {
            "payload": b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": one.keyid, "sig": b64encode(one.raw).decode()} for one in signatures],
        }
    )
