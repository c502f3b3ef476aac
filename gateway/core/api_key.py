"""API keys: `sgk_<id>_<secret>_<check>`. Whoever sends one is the caller it was made for, until it expires or is revoked.

The prefix lets secret scanners find a leaked one, and the check (CRC-32 of what stands before it, as GitHub's tokens have)
lets them, and the gateway, tell it from a text that only looks like one. What is kept of a key is its SHA-256. A slow hash
is for what people make up: a secret of 256 random bits cannot be guessed at any speed.
"""

import hashlib
import re
import zlib
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.core.run_context import Principal, principal_named
from gateway.core.visible import Globs

PREFIX = "sgk_"
ID_BYTES, SECRET_BYTES = 6, 32
ENTROPY_BYTES = ID_BYTES + SECRET_BYTES

_FORM = re.compile(r"(sgk_([0-9a-f]{12})_[a-z2-7]{52}_)([0-9a-f]{8})")
_ID = re.compile("[0-9a-f]{12}")
_DIGEST = re.compile("[0-9a-f]{64}")
_GLOB = re.compile(r"[A-Za-z0-9_.*?\[\]!/-]{1,128}")
_ROLE = re.compile("[a-z]{1,32}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z")


def make_api_key(entropy: bytes) -> str:
    """The text of a new key from `ENTROPY_BYTES` random bytes."""
    secret = b32encode(entropy[ID_BYTES:ENTROPY_BYTES]).decode().rstrip("=").lower()
    body = f"{PREFIX}{entropy[:ID_BYTES].hex()}_{secret}_"
    return body + _check(body)


def api_key_id(text: str) -> str | None:
    """The id in a key; None where the text is none."""
    found = _FORM.fullmatch(text)
    return found[2] if found is not None and _check(found[1]) == found[3] else None


def api_key_digest(text: str) -> str:
    """Hex SHA-256 of the whole key: what is kept of it."""
    return hashlib.sha256(text.encode()).hexdigest()


def _check(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept. Times are RFC 3339 UTC with milliseconds; `expires_at` None: it does not expire.

    `tools`: what its holder may know of and call; None: everything.
    """

    id: str
    sha256: str
    principal: Principal
    actors: tuple[Principal, ...]
    roles: frozenset[str]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    tools: Globs = None

    def state(self, now: str) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.expires_at is None or now < self.expires_at else "expired"

    def told(self) -> dict[str, Any]:
        """All but the digest."""
        return {
            "id": self.id,
            "principal": str(self.principal),
            "actors": [str(actor) for actor in self.actors],
            "roles": sorted(self.roles),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "revoked_at": self.revoked_at,
            **({} if self.tools is None else {"tools": list(self.tools)}),
        }

    def document(self) -> dict[str, Any]:
        """As it is stored."""
        return {**self.told(), "sha256": self.sha256}


def read_api_key(document: Mapping[str, Any]) -> ApiKey:
    """The inverse of `document`. Raises ValueError."""
    match document:
        case {
            "id": str(key_id),
            "sha256": str(sha256),
            "principal": str(principal),
            "actors": list(actors),
            "roles": list(roles),
            "created_at": str(created_at),
            "expires_at": expires_at,
            "revoked_at": revoked_at,
        } if (
            len(document) == 8 + ("tools" in document)
            and _ID.fullmatch(key_id)
            and _DIGEST.fullmatch(sha256)
            and roles
            and all(isinstance(role, str) and _ROLE.fullmatch(role) for role in roles)
            and all(isinstance(actor, str) for actor in actors)
            and _is_time(created_at)
            and (expires_at is None or _is_time(expires_at))
            and (revoked_at is None or _is_time(revoked_at))
            and _are_globs(document.get("tools", []))
        ):
            chain = tuple(map(principal_named, actors))
            known = principal_named(principal)
            tools = tuple(document["tools"]) if "tools" in document else None
            return ApiKey(key_id, sha256, known, chain, frozenset(roles), created_at, expires_at, revoked_at, tools)
    raise ValueError("no API key as it is stored")


def _are_globs(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(glob, str) and _GLOB.fullmatch(glob) for glob in value)


def _is_time(value: object) -> bool:
    if not isinstance(value, str) or _TIME.fullmatch(value) is None:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True
