"""What an upstream is told to be: plain values that wiring makes from the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gateway.adapters.upstream.credentials.spec import CredentialsSpec
from gateway.adapters.upstream.pins import Pins
from gateway.core.addresses import is_local
from gateway.core.method import Method
from gateway.core.normal_forms import split_host

MAX_RESULT_BYTES = 64 << 20
"""The most that an upstream's `max_result_bytes` may be."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one upstream. Seconds and bytes.

    `deadline_seconds` is for one call, `queue_seconds` for its wait before that where `max_concurrent` calls run already.
    `connect_seconds` is for one attempt to start or connect and to negotiate. A server that ignores unknown methods needs
    10 of them before the SDK falls back to the handshake. `own_sessions`: that many calls may have a session to themselves.
    `breaker_failures` calls without an answer in a row, and nothing is sent for `breaker_pause_seconds`; longer where the
    next one fails as well. 0: never.
    """

    deadline_seconds: float = 30.0
    queue_seconds: float = 5.0
    connect_seconds: float = 30.0
    refresh_seconds: float = 60.0
    max_result_bytes: int = 1 << 20
    max_concurrent: int = 64
    own_sessions: int = 16
    breaker_failures: int = 5
    breaker_pause_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """What a process may use of this machine: its own programs, private temporary files, and besides only what is here.

    `read` and `write` are absolute paths that the process sees where they are. The bounds hold for all its processes
    together (`processes`) or for each of them; bytes. `memory_bytes` is of private memory: what can be shared does not
    count.
    """

    network: bool = False
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    processes: int = 256
    memory_bytes: int = 4 << 30
    file_bytes: int = 1 << 30
    open_files: int = 1024


@dataclass(frozen=True, slots=True)
class StdioSpec:
    """A process the gateway starts. `env` is all the environment it gets besides PATH, HOME, TERM and locale.

    `pins`: what its sandbox binds, found out once (`sandbox.pinned`). Without them nothing is started in a sandbox.
    `asks`: what a rule lets the server ask of clients.
    """

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    limits: Limits = field(default_factory=Limits)
    sandbox: Sandbox | None = None
    pins: Pins | None = None
    asks: frozenset[Method] = frozenset()

    @property
    def offline(self) -> bool:
        """Whether it has no network."""
        return self.sandbox is not None and not self.sandbox.network


@dataclass(frozen=True, slots=True)
class HttpSpec:
    """A streamable HTTP endpoint. `headers` and `credentials` are the gateway's own, never a caller's.

    `private_addresses`: its name, and that of its token endpoint, may lead to an address that is not public. `sse`: it
    speaks the older HTTP+SSE transport (MCP 2024-11-05), and `url` is that of the event stream. `asks`: see `StdioSpec`.
    """

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    private_addresses: bool = False
    sse: bool = False
    asks: frozenset[Method] = frozenset()
    credentials: CredentialsSpec | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Its host and port."""
        return place_of(self.url)

    @property
    def may_be_private(self) -> bool:
        """Who writes `localhost` or a private address itself has said what they mean."""
        return self.private_addresses or is_local(self.place[0])


@dataclass(frozen=True, slots=True)
class OpenApiSpec:
    """An HTTP API with an OpenAPI document. All its operations are called at `url`, whatever the document says.

    `document` is an absolute path, or a URL; `sha256` is the digest it must have, in hex: a URL needs one. `headers` and
    `query` carry the gateway's own credentials. `include` and `exclude` are globs over names of tools, or `METHOD /path`.
    `idempotency_header` is sent with every effect. `encoded_slashes`: the API takes `%2F` for a part of a path's segment.
    """

    name: str
    document: str
    url: str
    sha256: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    idempotency_header: str | None = None
    encoded_slashes: bool = False
    limits: Limits = field(default_factory=Limits)
    private_addresses: bool = False
    credentials: CredentialsSpec | None = None

    @property
    def fetched(self) -> bool:
        """Whether the document is at a URL."""
        return self.document.startswith(("http://", "https://"))

    @property
    def place(self) -> tuple[str, int]:
        """The API's host and port."""
        return place_of(self.url)

    @property
    def may_be_private(self) -> bool:
        """See `HttpSpec`."""
        return self.private_addresses or is_local(self.place[0])


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """An A2A agent: `url` is that of its card. It is called at its card's scheme, host and port, or at one of `hosts`.

    `hosts` are in their form (`normal_forms.host_form`); one without a port means the scheme's own. `headers` and
    `credentials` are the gateway's own: for the card, and for every call wherever it goes.
    """

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    private_addresses: bool = False
    credentials: CredentialsSpec | None = None

    @property
    def place(self) -> tuple[str, int]:
        """Host and port of its card."""
        return place_of(self.url)

    @property
    def places(self) -> tuple[tuple[str, int], ...]:
        """Hosts and ports that it may be called at."""
        usual = _usual_port(self.url)
        listed = (split_host(form) for form in self.hosts)
        return (self.place, *((host, port or usual) for host, port in listed))

    @property
    def may_be_private(self) -> bool:
        """See `HttpSpec`."""
        return self.private_addresses or is_local(self.place[0])


def place_of(url: str) -> tuple[str, int]:
    """Host and port of an http or https URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or _usual_port(url)


def _usual_port(url: str) -> int:
    return 443 if urlsplit(url).scheme == "https" else 80


UpstreamSpec = StdioSpec | HttpSpec
"""What speaks MCP."""

AnySpec = UpstreamSpec | OpenApiSpec | AgentSpec
