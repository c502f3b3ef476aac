"""What a request to an upstream carries so that the upstream knows who asks. Never anything that a caller showed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from gateway.core.run_context import RunContext


@dataclass(frozen=True, slots=True)
class Party:
    """In whose name a request goes: `chain` is the principal, then the actors, the current one last."""

    tenant_id: str
    chain: tuple[str, ...]

    @classmethod
    def of(cls, run: RunContext) -> "Party":
        """The party of that call."""
        return cls(run.tenant_id, tuple(run.principal_chain))


class NoCredentials(Exception):
    """There are none now, so nothing may be sent. The text is for the operator and holds no secret."""


class Credentials(Protocol):
    """Of one upstream. Implementations: `Nothing`, `static.Static`, `granted.Granted`.

    Attributes:
        managed: they are fetched or may change, so a 401 is told to them
        per_caller: a call has its own caller's, and shares no session with other callers
    """

    @property
    def managed(self) -> bool: ...

    @property
    def per_caller(self) -> bool: ...

    async def headers(self, party: Party | None) -> Mapping[str, str]:
        """For a request in the name of `party`; None: the gateway's own, such as a listing. Raises `NoCredentials`."""

    def refused(self, headers: Mapping[str, str]) -> None:
        """The upstream answered 401 to these: they are not used again, where others can be had."""

    async def check(self) -> None:
        """Whether the secrets can be read. Raises `NoCredentials`."""

    async def close(self) -> None:
        """End what runs in the background."""


class Nothing:
    """No credentials beside the headers that the upstream is configured with."""

    managed = False
    per_caller = False

    async def headers(self, party: Party | None) -> Mapping[str, str]:
        """See `Credentials`."""
        return {}

    def refused(self, headers: Mapping[str, str]) -> None:
        """See `Credentials`."""

    async def check(self) -> None:
        """See `Credentials`."""

    async def close(self) -> None:
        """See `Credentials`."""


NOTHING = Nothing()
