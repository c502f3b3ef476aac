"""`gateway.yaml` as types: every key, its meaning, bounds and default. What a file says is checked here, block by block.

What spans blocks (a rule that names a server nobody configured) is in `checks.py`; how a mistake is worded, in
`mistakes.py`.
"""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from gateway.adapters.upstream.spec import MAX_RESULT_BYTES, Limits, Sandbox
from gateway.core.capability import ApprovalMode, IdempotencyRule, TrustLevel
from gateway.core.fields import FieldRole
from gateway.core.visible import Exposure
from gateway.settings.access import Auth, Peer
from gateway.settings.block import Block, Flag, Number, Whole
from gateway.settings.credentials import UpstreamCredentials
from gateway.settings.kinds import A2aAgent, FunctionModule, OpenApiDocument
from gateway.settings.limits import CallerLimits
from gateway.settings.people import Approvals, ApproverKey, Caller
from gateway.settings.words import (
    GLOB_SCHEMA,
    POINTER_SCHEMA,
    EgressHost,
    HeaderName,
    HeaderValue,
    HostHeader,
    HttpUrl,
    JsonPointer,
    ListenHost,
    LogOrigin,
    OwnerName,
    PathText,
    ServerName,
    ServerUrl,
    TenantName,
    ToolGlob,
    ToolName,
    VariableName,
    WebOrigin,
)

_LIMITS = Limits()
_SANDBOX = Sandbox()


class Engine(StrEnum):
    """Where policies run."""

    EMBEDDED = "embedded"
    OPA = "opa"


class Listen(Block):
    """Where the gateway listens for HTTP."""

    host: ListenHost = Field(default="127.0.0.1", description="Address to listen on. Loopback unless you write another.")
    port: Whole = Field(default=8750, ge=0, le=65535, description="TCP port; 0 takes any free one.")
    allowed_hosts: tuple[HostHeader, ...] = Field(
        default=(),
        description="Further values of the Host header that are answered, besides loopback and the own host and port.",
    )
    allowed_origins: tuple[WebOrigin, ...] = Field(
        default=(), description="Web pages of these origins may call the gateway from a browser, besides its own console."
    )
    page_size: Whole = Field(
        default=250, ge=2, le=1000, description="How many tools, resources or prompts one page of a list has at most."
    )
    exposure: Exposure = Field(
        default=Exposure.ALL,
        description="What tools/list shows: `all` tools, or only the `search` that finds them. Callers may have their own.",
    )
    unix: PathText | None = Field(
        default=None,
        description="A Unix socket to listen on besides, for processes on this machine that `peers` names. Its whole path "
        "has at most 107 bytes. Relative to this file.",
        examples=["/run/sealgate/http.sock"],
    )
    peers: tuple[Peer, ...] = Field(default=(), description="Who is who on the Unix socket. Nobody else is let in there.")
    let_go_seconds: Number = Field(
        default=0,
        ge=0,
        le=3600,
        description="A call that lasts longer lets go of its connection, where its client knows how to come back for the "
        "answer (a handshake version, 2025-11-25 or later). 0: it holds it.",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.unix is None) != (not self.peers):
            raise ValueError("has unix without peers, or peers without unix. Write both: a socket, and who may use it.")
        return self


class McpServer(Block):
    """Each server has either `command` or `url`. Keys that only a client understands are passed over with a warning."""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={"oneOf": [{"required": ["command"]}, {"required": ["url"]}]},
    )

    type: Literal["stdio", "http", "streamable-http", "sse"] | None = Field(
        default=None,
        description="How the server is reached. It follows from `command` or `url`, so you can leave it out. Only the "
        "HTTP+SSE transport of 2024 has to be named: `sse`, with the address of its event stream under `url`.",
    )
    command: PathText | None = Field(
        default=None,
        description="Program to start. It is looked up in PATH; with a / in it, it is relative to this file.",
        examples=["python"],
    )
    args: tuple[str, ...] = Field(default=(), description="Arguments of the program.")
    env: dict[VariableName, str] = Field(
        default_factory=dict, description="All the environment the program gets, besides PATH, HOME and locale."
    )
    cwd: PathText | None = Field(
        default=None, description="Folder the program starts in. The folder of this file by default."
    )
    url: ServerUrl | None = Field(
        default=None, description="Streamable HTTP address of the server.", examples=["https://mcp.example.com/mcp"]
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, description="Headers of every request: the gateway's own credentials, never a caller's."
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.command is None and self.url is None:
            raise ValueError("names neither a program nor an address. Write command: or url:")
        if self.command is not None and self.url is not None:
            raise ValueError("has both command and url. Keep the one that reaches the server.")
        if self.url is not None:
            self._refuse("url", type=self.type == "stdio", args=self.args, env=self.env, cwd=self.cwd)
        else:
            self._refuse("command", type=self.type not in (None, "stdio"), headers=self.headers)
        return self

    def _refuse(self, kind: str, **wrong: object) -> None:
        keys = [f"{key}: {self.type}" if key == "type" else key for key, used in wrong.items() if used]
        if keys:
            raise ValueError(f"has {' and '.join(keys)}, which a server with {kind} cannot have. Remove it.")


class UpstreamLimits(Block):
    """A server not named here has the defaults."""

    deadline_seconds: Number = Field(
        default=_LIMITS.deadline_seconds,
        gt=0,
        le=3600,
        description="How long one call may take. After that it is cancelled.",
    )
    queue_seconds: Number = Field(
        default=_LIMITS.queue_seconds, gt=0, le=600, description="How long a call waits for its turn before it is refused."
    )
    connect_seconds: Number = Field(
        default=_LIMITS.connect_seconds, gt=0, le=600, description="How long one attempt to start or connect may take."
    )
    refresh_seconds: Number = Field(
        default=_LIMITS.refresh_seconds, ge=1, le=86400, description="How often the server's list of tools is read again."
    )
    max_result_bytes: Whole = Field(
        default=_LIMITS.max_result_bytes, ge=1024, le=MAX_RESULT_BYTES, description="Largest result that is passed on."
    )
    max_concurrent: Whole = Field(default=_LIMITS.max_concurrent, ge=1, le=4096, description="Calls that may run at once.")
    own_sessions: Whole = Field(
        default=_LIMITS.own_sessions,
        ge=1,
        le=1024,
        description="Sessions besides the shared one, each for one caller whose calls the server may talk back in. Of a "
        "server with `command` each is a process.",
    )
    breaker_failures: Whole = Field(
        default=_LIMITS.breaker_failures,
        ge=0,
        le=1000,
        description="After so many calls in a row without an answer nothing is sent for a while, then one call to try. 0: "
        "never.",
    )
    breaker_pause_seconds: Number = Field(
        default=_LIMITS.breaker_pause_seconds,
        gt=0,
        le=600,
        description="How long that while is at first. It doubles each time the trial fails, up to 60 s.",
    )


class SandboxKind(StrEnum):
    """What contains a server's process."""

    BUBBLEWRAP = "bubblewrap"


class SandboxRules(Block):
    """What a server's process may use of this machine, beside programs and a private /tmp."""

    kind: SandboxKind = Field(description="What contains the process. bubblewrap (bwrap) must be installed.")
    network: Flag = Field(
        default=_SANDBOX.network, description="Whether it shares this machine's network, with all that listens on it."
    )
    read: tuple[PathText, ...] = Field(
        default=(), description="Files and folders it may read, beside its own program. Relative to this file."
    )
    write: tuple[PathText, ...] = Field(
        default=(),
        description="Files and folders it may read and write. Relative to this file. No program, and no path of a `read`, "
        "`write` or `roots`, may lie in one; nor may anything that decides what is allowed.",
    )
    processes: Whole = Field(
        default=_SANDBOX.processes, ge=1, le=65_536, description="How many processes and threads it may have."
    )
    memory_bytes: Whole = Field(
        default=_SANDBOX.memory_bytes,
        ge=1 << 20,
        le=1 << 40,
        description="How much private memory each process may have (RLIMIT_DATA). Memory that can be shared (shared "
        "mappings, memfd, System V) is not counted: only a cgroup bounds that.",
    )
    file_bytes: Whole = Field(
        default=_SANDBOX.file_bytes, ge=0, le=1 << 40, description="How large each file that it writes may be."
    )
    open_files: Whole = Field(
        default=_SANDBOX.open_files, ge=16, le=1 << 20, description="How many files each process may have open."
    )


def _or_its_kind(schema: dict[str, Any]) -> None:
    schema["anyOf"].insert(0, {"enum": list(SandboxKind)})


class Names(StrEnum):
    """What clients call a server's tools and prompts."""

    PREFIXED = "prefixed"
    BARE = "bare"


class UpstreamRules(UpstreamLimits):
    """A server not named here has the defaults."""

    names: Names = Field(
        default=Names.PREFIXED,
        description="`prefixed`: clients call its tools and prompts `server__name`. `bare`: by their own names, but for "
        "those that another has, too, or that look like another. Rules, policies and the log always say `server__name`.",
    )
    private_addresses: Flag = Field(
        default=False,
        description="For a server with `url`, or an API: its name may lead to an address that is not public. One whose URL "
        "says localhost or such an address itself may always be connected to. The same goes for its "
        "`token_url`.",
    )
    credentials: UpstreamCredentials | None = Field(
        default=None,
        description="For a server with `url`, or an API: who the gateway says it is, beside the `headers` there.",
    )
    sandbox: SandboxRules | None = Field(
        default=None,
        description="For a server with `command`, or a module of functions: what contains it. `bubblewrap` alone stands for "
        "that kind and the defaults. Without it the server may do what the gateway may.",
        json_schema_extra=_or_its_kind,
    )

    @field_validator("sandbox", mode="before")
    @classmethod
    def _kind_is_enough(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


OneOrMoreGlobs = Annotated[
    tuple[ToolGlob, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [GLOB_SCHEMA, {"type": "array", "items": GLOB_SCHEMA, "minItems": 1}]}),
]


OneOrMorePointers = Annotated[
    tuple[JsonPointer, ...],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [POINTER_SCHEMA, {"type": "array", "items": POINTER_SCHEMA, "minItems": 1}]}),
]


def _usual_idempotency(block: dict[str, Any]) -> IdempotencyRule:
    return IdempotencyRule.DERIVED if block["mode"].has_effect else IdempotencyRule.NONE


class ToolRule(Block):
    """A tool that no rule matches cannot be called."""

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"required": ["mode"], "properties": {"mode": {"not": {"const": "read_only"}}}},
            "then": {"properties": {"idempotency": {"not": {"const": "none"}}}},
        }
    )

    match: OneOrMoreGlobs = Field(
        description="One glob over tool names (`server__tool`), or a list of them. One with a slash is over the other "
        "things that servers do (`server__resources/read`, `server__prompts/get`: read_only without a rule) or ask of the "
        "client (`server__elicitation/create`, `server__sampling/createMessage`, `server__roots/list`: off without a rule).",
        examples=["notes__read_*", "notes__elicitation/create"],
    )
    mode: ApprovalMode = Field(
        description="How far a call can reach, from looking (`read_only`) to what cannot be undone (`destructive`)."
    )
    trust: TrustLevel = Field(default=TrustLevel.UNTRUSTED, description="Whether what the tool returns may be believed.")
    owner: OwnerName = Field(default="unowned", description="Who answers for the tool and for what it returns.")
    idempotency: IdempotencyRule = Field(
        default_factory=_usual_idempotency,
        description="Where the idempotency key comes from if the client sends none: `derived` from the call, `required` "
        "(the call is refused), or `none`. Default: `none` for read_only, else `derived`.",
    )
    egress: tuple[EgressHost, ...] = Field(default=(), description="Hosts the tool may reach; policy decides with them.")
    reconcile: ToolName | None = Field(
        default=None,
        description="A read_only tool of the same server that can tell whether a call in doubt was done.",
        examples=["shop__order_status"],
    )
    fields: dict[FieldRole, OneOrMorePointers] = Field(
        default_factory=dict,
        description="Which arguments are paths, hosts, amounts or recipients, and which are mere `content`: JSON pointers, "
        "`*` for each of a list. Policy and guards see their values in one form.",
        examples=[{"recipient": ["/to", "/cc/*"], "content": ["/body"]}],
    )
    roots: tuple[PathText, ...] = Field(
        default=(), description="Folders that the tool's `path` fields must lie in. Relative to this file."
    )

    @field_validator("idempotency")
    @classmethod
    def _effects_need_a_key(cls, rule: IdempotencyRule, info: ValidationInfo) -> IdempotencyRule:
        mode = info.data.get("mode")
        if rule is IdempotencyRule.NONE and mode is not None and mode.has_effect:
            raise ValueError(f"is not enough for mode {mode}: an effect needs a key. Write derived or required.")
        return rule


class Retention(Block):
    """A call whose result is no longer kept is remembered all the same: it does not run again."""

    results_days: Whole = Field(
        default=30,
        ge=1,
        le=36_500,
        description="How many days after a call its arguments and its result are kept, encrypted, for retries and auditors.",
    )


class Policy(Block):
    """Who decides, by which policies."""

    engine: Engine = Field(default=Engine.EMBEDDED, description="`embedded` decides in process, `opa` asks an OPA server.")
    path: PathText | None = Field(
        default=None,
        description="Folder of Rego files, or an OPA bundle file. Without it: the policies that come along.",
        examples=["policies", "policies.tar.gz"],
    )
    verification_key: PathText | None = Field(
        default=None,
        description="PEM file with the public key that signs the bundle. With it, an unsigned or changed bundle is refused.",
    )
    shadow: PathText | None = Field(
        default=None,
        description="Folder or bundle of candidate policies. They decide every call beside those in force, without effect; "
        "`sealgate policy shadow` shows where they differ.",
    )
    decision_log: PathText | None = Field(
        default=None,
        description="File for one JSON line per decision, in the form of OPA's decision log, without argument values.",
        examples=["decisions.jsonl"],
    )
    opa_url: HttpUrl = Field(default="http://127.0.0.1:8181", description="Address of the OPA server, for engine `opa`.")
    deadline_ms: Whole = Field(
        default=250, ge=1, le=60_000, description="How long a decision may take, in milliseconds. After that it is deny."
    )

    @field_validator("verification_key")
    @classmethod
    def _a_key_for_a_bundle(cls, key: str | None, info: ValidationInfo) -> str | None:
        if key is None:
            return None
        if info.data.get("engine") is Engine.OPA:
            raise ValueError("is for engine embedded. The OPA server checks its bundles itself: --verification-key.")
        if info.data.get("path") is None:
            raise ValueError("needs policy.path: the bundle that is signed.")
        return key


class AtBoot(StrEnum):
    """What the gateway does at start when too few witnesses answer to rule out that its log was rolled back."""

    REQUIRE = "require"
    WARN = "warn"


class TimestampAuthority(Block):
    """An RFC 3161 time-stamp authority that stamps the anchored checkpoints."""

    url: HttpUrl = Field(
        description="Where it takes time-stamp requests. http:// is usual: a stamp is signed.",
        examples=["http://timestamp.example.com"],
    )
    ca: PathText = Field(
        description="PEM file with the certificates its stamps lead up to, relative to this file.", examples=["tsa-ca.pem"]
    )


class Anchors(Block):
    """Witnesses outside of this machine cosign the log's checkpoints, so that it cannot be rolled back or rewritten."""

    policy: PathText = Field(
        description="File with the log policy (C2SP tlog-policy): witnesses with their addresses, and the quorum. "
        "Relative to this file.",
        examples=["witnesses.policy"],
    )
    every_seconds: Number = Field(
        default=60, ge=1, le=86400, description="How often the newest checkpoint is shown to the witnesses, if there is one."
    )
    at_boot: AtBoot = Field(
        default=AtBoot.REQUIRE,
        description="`require`: without enough witnesses to rule out a rolled-back log the gateway does not start. "
        "`warn`: it starts and says so.",
    )
    keep: PathText | None = Field(
        default=None,
        description="A second place for the last anchored checkpoint, outside the state folder and its backups.",
    )
    timestamp: TimestampAuthority | None = Field(
        default=None, description="Who stamps the anchored checkpoints besides. Without it: nobody."
    )


class Log(Block):
    """The signed log."""

    origin: LogOrigin | None = Field(
        default=None,
        description="Name of the log in its checkpoints (C2SP origin). Default: `sealgate.local/` and the tenant.",
    )
    anchors: Anchors | None = Field(default=None, description="Who witnesses the log. Without it: nobody.")


class Configuration(Block):
    """All of gateway.yaml."""

    state: PathText = Field(default=".sealgate", description="Folder of keys, log and sockets, relative to this file.")
    tenant: TenantName = Field(
        default="default", description="Whose gateway this is. It is part of every entry and every key."
    )
    listen: Listen = Field(default=Listen(), description="Where the gateway listens for HTTP.")
    mcpServers: dict[ServerName, McpServer] = Field(  # noqa: N815 — the key clients write
        default_factory=dict,
        description="The tool servers behind the gateway, pasted as your client has them. `${VAR}`, `${VAR:-default}` and "
        "`${env:VAR}` are filled in from the environment.",
    )
    functions: dict[ServerName, FunctionModule] = Field(
        default_factory=dict, description="Modules of Python functions behind the gateway. `${VAR}` is filled in, in `env`."
    )
    openapi: dict[ServerName, OpenApiDocument] = Field(
        default_factory=dict,
        description="HTTP APIs behind the gateway. `${VAR}` is filled in, in addresses, `headers` and `query`.",
    )
    agents: dict[ServerName, A2aAgent] = Field(
        default_factory=dict,
        description="A2A agents behind the gateway. `${VAR}` is filled in, in `card` and `headers`.",
    )
    upstreams: dict[str, UpstreamRules] = Field(
        default_factory=dict, description="Bounds on each server, and what contains it, by its name."
    )
    tools: tuple[ToolRule, ...] = Field(default=(), description="What each tool may do. The first rule that matches counts.")
    retention: Retention = Field(default=Retention(), description="How long values are kept.")
    policy: Policy = Field(default=Policy(), description="Who decides, by which policies.")
    approvals: Approvals = Field(default=Approvals(), description="How people are asked, and how long they have.")
    approvers: tuple[ApproverKey, ...] = Field(default=(), description="Who may approve calls.")
    callers: tuple[Caller, ...] = Field(default=(), description="Who may call `sealgate serve` with a bearer token.")
    auth: Auth = Field(default=Auth(), description="Who else may call: issuers of access tokens.")
    limits: CallerLimits = Field(default=CallerLimits(), description="How much each principal may ask.")
    log: Log = Field(default=Log(), description="The signed log.")
