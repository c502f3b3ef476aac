"""Who is at the door: callers, what they may show to be let in, and what is said of what is no good.

A bearer token is a configured one by its SHA-256, else an API key by its prefix, else an access token of an issuer. Each
kind is judged by one authenticator and by no other. The token itself is kept nowhere, and goes to nobody.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from gateway.core.api_key import PREFIX
from gateway.core.limits import UNLIMITED, CallLimits
from gateway.core.rate import RecentCalls
from gateway.core.run_context import Delegation, Principal
from gateway.core.visible import Exposure, Globs

MAX_FAILURES_PER_MINUTE = 30


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client: who is responsible, who acts for them, and what the first delegated to the others.

    `credential` names what they were let in by, for the log, and is no secret: `token`, `key:<id>`, `oauth:<issuer>`,
    `uid:<number>`, `local`. `issuer`: who says that this is the principal; None: the operator. `client`: what the issuer
    calls the program. A session belongs to all three, too. `valid_until`: in seconds since 1970; None: it does not expire.
    `tools`: what they may know of and call. `exposure`: how much of it their tools/list shows; None: the gateway's usual.
    """

    tenant_id: str
    principal: Principal
    actors: tuple[Principal, ...]
    roles: frozenset[str]
    delegation: Delegation | None = None
    limits: CallLimits = UNLIMITED
    credential: str = "token"
    issuer: str | None = None
    client: str = ""
    valid_until: float | None = None
    tools: Globs = None
    exposure: Exposure | None = None

    @property
    def subject(self) -> str:
        """The principal within its tenant."""
        return f"{self.tenant_id}/{self.principal}"


ASKING: ContextVar[Caller] = ContextVar("asking")
"""Who sent the HTTP request that this task serves, for what the SDK asks without handing the request on."""


@dataclass(frozen=True, slots=True)
class NotValid:
    """The token lets nobody in. `why` is a word for the gateway's own log; the client gets one sentence for all of them."""

    why: str


@dataclass(frozen=True, slots=True)
class NotEnough:
    """The token is valid and gives no role here. `scopes`: any one of these would."""

    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CannotTell:
    """Nobody can say now whether it is valid. `retry_after`: in seconds."""

    retry_after: int


Refusal = NotValid | NotEnough | CannotTell


class AccessTokens(Protocol):
    """Judges access tokens. Implementations: `edge.oauth.OAuth`."""

    async def authenticate(self, token: str) -> Caller | Refusal: ...


class ApiKeys(Protocol):
    """Judges API keys. Implementations: `edge.api_keys.ApiKeyDesk`."""

    def authenticate(self, token: str) -> Caller | NotValid: ...


class TokenTable:
    """Callers by the SHA-256 of their token. Comparing digests leaks nothing about a token."""

    def __init__(self, callers: Mapping[str, Caller]) -> None:
        self._callers = dict(callers)

    def authenticate(self, token: str) -> Caller | NotValid:
        return self._callers.get(token_digest(token), NotValid("unknown"))


@dataclass(frozen=True, slots=True)
class Credentials:
    """All that a bearer token may be. None: there is nothing of that kind."""

    tokens: TokenTable
    api_keys: ApiKeys | None = None
    access_tokens: AccessTokens | None = None

    async def authenticate(self, token: str) -> Caller | Refusal:
        """Whose token it is."""
        known = self.tokens.authenticate(token)
        if isinstance(known, Caller):
            return known
        if self.api_keys is not None and token.startswith(PREFIX):
            return self.api_keys.authenticate(token)
        return known if self.access_tokens is None else await self.access_tokens.authenticate(token)


def bearer_token(authorizations: Sequence[str]) -> str | NotValid | None:
    """The token of an `Authorization: Bearer …` header (RFC 6750 section 2.1); None where there is none.

    Of several headers each program would pick another one, so that two of them are none.
    """
    if len(authorizations) > 1:
        return NotValid("several_headers")
    scheme, _, token = (authorizations[0] if authorizations else "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


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
