"""What an upstream is told to be: plain values that wiring makes from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_RESULT_BYTES = 64 << 20
"""The most that an upstream's `max_result_bytes` may be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one upstream. Seconds and bytes.

    `deadline_seconds` is for one call, `queue_seconds` for its wait before that where `max_concurrent` calls run already.
    `connect_seconds` is for one attempt to start or connect and to negotiate. A server that ignores unknown methods needs
    10 of them before the SDK falls back to the handshake.
    """

    deadline_seconds: float = 30.0
    queue_seconds: float = 5.0
    connect_seconds: float = 30.0
    refresh_seconds: float = 60.0
    max_result_bytes: int = 1 << 20
    max_concurrent: int = 64


@dataclass(frozen=True, slots=True)
class StdioSpec:
    """A process the gateway starts. `env` is all the environment it gets besides PATH, HOME, TERM and locale."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """A streamable HTTP endpoint. `headers` carry the gateway's own credentials, never a caller's."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


UpstreamSpec = StdioSpec | HttpSpec
