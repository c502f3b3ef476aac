"""How values enter the log without being in it.

* A **disclosure** is the SD-JWT form (RFC 9901 section 4.2): base64url of the JSON array [salt, name, value]; its digest
  is base64url of the SHA-256 of those characters. Only the digest is logged; with the disclosure anyone can check it.
* A **keyed digest** is HMAC-SHA-256 under the tenant's commitment key, for values that must compare equal over time
  (call digest, idempotency key, fingerprint). Low-entropy values cannot be guessed from it without the key.

No unsalted, unkeyed digest of argument or result values is ever written to the log.

What is **kept** of a value, encrypted, is its disclosure; where the value holds something secret, it is the redacted value
instead (`redaction.py`). Then the salt is gone and nobody can open the commitment, neither by guessing.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from gateway.core.redaction import Redacted

SALT_BYTES = 16  # 128 bits, RFC 9901 section 9.3


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One salted value. `encoded` opens the commitment `digest`; it is stored encrypted and never logged.

    `redacted` is what may be stored in its place, where the value holds something that must not be.
    """

    name: str
    encoded: str
    digest: str
    redacted: Redacted | None = None

    def to_keep(self) -> bytes:
        """What is stored of it: the disclosure, or a JSON object in its place. `read_kept` reads it."""
        if self.redacted is None:
            return self.encoded.encode()
        return orjson.dumps({"name": self.name, "redacted": self.redacted.kinds, "value": self.redacted.value})


@dataclass(frozen=True, slots=True)
class Kept:
    """One value as it was stored. Without `encoded` it is a redacted copy: `redacted` names what was taken out."""

    name: str
    value: Any
    encoded: str | None
    redacted: tuple[str, ...] = ()


class Missing(StrEnum):
    """Why a value that was once stored cannot be read."""

    NOT_KEPT = "not_kept"
    ERASED = "erased"


def disclose(name: str, canonical_value: bytes, salt: bytes, redacted: Redacted | None = None) -> Disclosure:
    """Commit to `canonical_value` (JSON bytes) under a fresh 16-byte `salt`."""
    parts = [b64url(salt), name, orjson.Fragment(canonical_value)]
    encoded = b64url(orjson.dumps(parts))
    return Disclosure(name, encoded, disclosure_digest(encoded), redacted)


Place = tuple[str, str]
"""Which value of a call: ("argument", its name) or ("result", "result")."""


def commitments(predicate: Mapping[str, Any]) -> dict[Place, str]:
    """The values that an entry about a call commits to, with the digests of their disclosures."""
    call, result, verdict = (_part(predicate, name) for name in ("call", "result", "resolution"))
    found = {("argument", name): str(digest) for name, digest in _part(call, "arguments").items()}
    for told in (result.get("commitment"), verdict.get("result_commitment")):
        if isinstance(told, str):
            found["result", "result"] = told
    return found


def _part(predicate: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = predicate.get(name)
    return part if isinstance(part, Mapping) else {}


def disclosure_digest(encoded: str) -> str:
    """The digest that commits to a disclosure (RFC 9901 section 4.2.3)."""
    return b64url(hashlib.sha256(encoded.encode()).digest())


def read_disclosure(encoded: str) -> Kept:
    """Name and value of a disclosure. Raises ValueError where it is none."""
    parts = orjson.loads(urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    if not isinstance(parts, list) or len(parts) != 3 or not isinstance(parts[1], str):
        raise ValueError("not a disclosure of a named value")
    return Kept(parts[1], parts[2], encoded)


def read_kept(stored: bytes) -> Kept:
    """The inverse of `Disclosure.to_keep`. Raises ValueError."""
    if not stored.startswith(b"{"):  # which is no character of base64url
        return read_disclosure(stored.decode())
    document = orjson.loads(stored)
    try:
        return Kept(str(document["name"]), document["value"], None, tuple(map(str, document["redacted"])))
    except (KeyError, TypeError) as error:
        raise ValueError("not a redacted value") from error


def whole(kept: Sequence[Kept]) -> dict[str, Any]:
    """The arguments as they were: one value for each, or all of them in one."""
    if len(kept) == 1 and kept[0].name == "*" and isinstance(kept[0].value, dict):
        return kept[0].value
    return {one.name: one.value for one in kept}


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
