"""Who is at the door. A bearer token is looked up by its SHA-256; the token itself is kept nowhere."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.core.rate import RecentCalls
from gateway.core.run_context import Delegation, Principal

MAX_FAILURES_PER_MINUTE = 30


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client: who is responsible, who acts for them, and what the first delegated to the others."""

    tenant_id: str
    principal: Principal
    actors: tuple[Principal, ...]
    roles: frozenset[str]
    delegation: Delegation | None = None


class TokenTable:
    """Callers by the SHA-256 of their token. Comparing digests leaks nothing about a token."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = dict(callers)

    def authenticate(self, authorization: str | None) -> Caller | None:
        """The caller of an `Authorization: Bearer …` header value."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        return self._callers.get(token_digest(token.strip()))


class FailureBudget:
    """Counts refused logins per address, so that guessing is slow and fills no log. Owned by the event loop."""

    def __init__(self) -> None:
        self._recent = RecentCalls()
        self.total = 0

    def spend(self, address: str, now: float) -> bool:
        """Count one failure; whether the address has any left this minute."""
        self.total += 1
        return self._recent.add(address, now) < MAX_FAILURES_PER_MINUTE


def token_digest(token: str) -> str:
    """Hex SHA-256, as `callers[].token_sha256` in gateway.yaml."""
    return hashlib.sha256(token.encode()).hexdigest()
