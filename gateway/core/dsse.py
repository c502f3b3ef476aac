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
class Verified:
    """Payload bytes whose signature was checked, and which key made it."""

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


def envelop(payload_type: str, payload: bytes, signer: Signer) -> tuple[bytes, str]:
    """The signed envelope, canonical JSON bytes, and its signature in base64."""
    signature = signer.sign(pae(payload_type, payload))
    return _spell(payload_type, payload, signer.keyid, signature), b64encode(signature).decode()


def open_envelope(envelope: bytes | dict[str, Any], payload_type: str, keys: Mapping[str, Ed25519PublicKey]) -> Verified:
    """Check an envelope with one signature against trusted `keys` (by key id).

    Raises:
        NotVerified: malformed, another payload type, an unknown key, a wrong signature.
    """
    try:
        document = orjson.loads(envelope) if isinstance(envelope, bytes) else envelope
        (signature,) = document["signatures"]
        payload = b64decode(document["payload"], validate=True)
        raw = b64decode(signature["sig"], validate=True)
        keyid = signature["keyid"]
        claimed = document["payloadType"]
    except (KeyError, TypeError, ValueError, Base64Error) as error:
        raise NotVerified(f"not a DSSE envelope with one signature: {error!r}") from error
    if claimed != payload_type:
        raise NotVerified(f"payload type is {claimed!r}, not {payload_type!r}")
    key = keys.get(keyid) if isinstance(keyid, str) else None
    if key is None:
        raise NotVerified(f"signed by the unknown key {str(keyid)[:80]!r}")
    # One spelling only: what is signed is the payload, and nothing unsigned may stand beside it.
    if isinstance(envelope, bytes) and envelope != _spell(payload_type, payload, keyid, raw):
        raise NotVerified("its bytes are not those of a signed envelope: something was added or spelled otherwise")
    try:
        key.verify(raw, pae(payload_type, payload))
    except InvalidSignature as error:
        raise NotVerified("the signature does not match") from error
    return Verified(payload, keyid)


def _spell(payload_type: str, payload: bytes, keyid: str, signature: bytes) -> bytes:
    return orjson.dumps(
        {
            "payload": b64encode(payload).decode(),
            "payloadType": payload_type,
            "signatures": [{"keyid": keyid, "sig": b64encode(signature).decode()}],
        }
    )
