"""Who is asking, for whom, in which run. Assigned at the edge before anything else looks at the call."""

import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.core.capability import ApprovalMode
from gateway.core.secret_formats import without_secrets
from gateway.core.visible import Globs

PRINCIPAL_PATTERN = r"(user|service|agent|automation):[A-Za-z0-9][A-Za-z0-9._@=/|:-]{0,127}"
"""How a principal is written: kind and id."""


class PrincipalKind(StrEnum):
    """What a principal is (ContextOS principal_chain kinds)."""

    USER = "user"
    SERVICE = "service"
    AGENT = "agent"
    AUTOMATION = "automation"


@dataclass(frozen=True, slots=True)
class Principal:
    """One party of a chain, unique by kind and id within a tenant."""

    kind: PrincipalKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


def principal_named(text: str) -> Principal:
    """The principal that is written so. Raises ValueError."""
    if re.fullmatch(PRINCIPAL_PATTERN, text) is None:
        raise ValueError("not a principal")
    kind, _, name = text.partition(":")
    return Principal(PrincipalKind(kind), name)


@dataclass(frozen=True, slots=True)
class Delegation:
    """Proof, checked at the edge, that the principal gave this actor the right to act as them."""

    subject: str
    scopes: tuple[str, ...]
    expires_at: str


@dataclass(frozen=True, slots=True)
class RunContext:
    """One caller in one run. `principal` is responsible; `actors` act for them, the current one last (RFC 8693 `act`).

    `run_id` is set where the client declared a run; without one, derived idempotency keys are scoped to the principal. It
    enters the log as it is, in each place the same, so it holds no secret of a known format. `session_id` is the handshake
    session's. `mode_ceiling` is the highest approval mode this run allows itself: a client can only narrow. `about` is the
    subject whose values the call handles, where that is not the caller. `credential` is what the caller was let in by, and
    no secret: `token`, `key:<id>`, `oauth:<issuer>`, `uid:<number>`, `local`. `tools`: what the caller may know of
    and call.
    """

    tenant_id: str
    principal: Principal
    actors: tuple[Principal, ...]
    roles: frozenset[str]
    trace_id: str
    traceparent: str | None = None
    tracestate: str | None = None
    run_id: str | None = None
    session_id: str | None = None
    mode_ceiling: ApprovalMode = ApprovalMode.DESTRUCTIVE
    delegation: Delegation | None = None
    about: str | None = None
    credential: str = "local"
    tools: Globs = None

    def __post_init__(self) -> None:
        if self.run_id is not None and without_secrets(self.run_id)[1]:
            raise ValueError("a run id that holds a secret: it would enter the log in clear")

    @property
    def subject(self) -> str:
        """The principal within its tenant: `tenant/principal`."""
        return f"{self.tenant_id}/{self.principal}"

    @property
    def principal_chain(self) -> list[str]:
        """Principal first, then each actor."""
        return [str(self.principal), *map(str, self.actors)]
