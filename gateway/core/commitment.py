"""How values enter the log without being in it.

* A **disclosure** is the SD-JWT form (RFC 9901 section 4.2): base64url of the JSON array [salt, name, value]; its digest
  is base64url of the SHA-256 of those characters. Only the digest is logged; with the disclosure anyone can check it.
* A **keyed digest** is HMAC-SHA-256 under the tenant's commitment key, for values that must compare equal over time
  (call digest, idempotency key, fingerprint). Low-entropy values cannot be guessed from it without the key.

No unsalted, unkeyed digest of argument or result values is ever written to the log.
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass

import orjson

SALT_BYTES = 16  # 128 bits, RFC 9901 section 9.3


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One salted value. `encoded` opens the commitment `digest`; it is stored encrypted and never logged."""

    name: str
    encoded: str
    digest: str


def disclose(name: str, canonical_value: bytes, salt: bytes) -> Disclosure:
    """Commit to `canonical_value` (JSON bytes) under a fresh 16-byte `salt`."""
    parts = [b64url(salt), name, orjson.Fragment(canonical_value)]
    encoded = b64url(orjson.dumps(parts))
    return Disclosure(name, encoded, b64url(hashlib.sha256(encoded.encode()).digest()))


def b64url(data: bytes) -> str:
    """base64url without padding (RFC 7515 section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class CommitmentKey:
    """A tenant's commitment key, 32 bytes. Labels keep digests of different purposes apart."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise ValueError("a commitment key has 32 bytes")
        self._key = key

    def for_tenant(self, tenant_id: str) -> "CommitmentKey":
        """The key of one tenant, derived from the deployment's."""
        return CommitmentKey(hmac.digest(self._key, b"tenant\0" + tenant_id.encode(), "sha256"))

    def digest(self, label: str, data: bytes) -> str:
        """`hmac-sha256:` and the hex HMAC of `data` under `label`."""
        return "hmac-sha256:" + hmac.digest(self._key, label.encode() + b"\0" + data, "sha256").hex()
