"""Settings as they count: paths resolved, defaults filled in, the source of each value known."""

import os
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.adapters.upstream.credentials.spec import CredentialsSpec
from gateway.adapters.upstream.function import function_spec
from gateway.adapters.upstream.spec import AgentSpec, AnySpec, HttpSpec, Limits, OpenApiSpec, Sandbox, StdioSpec
from gateway.core.answer import Approver
from gateway.core.canonical import digest
from gateway.core.capability import SEPARATOR, ApprovalMode, Classification, DeclaredBy, Root
from gateway.core.catalog import Rule, classify
from gateway.core.dsse import key_id
from gateway.core.method import ASKED, Method
from gateway.core.normal_forms import host_form
from gateway.core.seed import Believed
from gateway.core.sshsig import read_ssh_key
from gateway.settings.kinds import A2aAgent, FunctionModule, OpenApiDocument
from gateway.settings.layers import SERVER_BLOCKS, Layers, Source
from gateway.settings.mistakes import is_webhook_url, spelled
from gateway.settings.model import Configuration, McpServer, Names, SandboxRules, ToolRule
from gateway.settings.people import ApproverKey
from gateway.settings.words import is_http_url
from gateway.settings.yaml_source import Loc

HIDDEN = "(hidden)"
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what is called where it listens on all


@dataclass(frozen=True, slots=True)
class Settings:
    """A checked configuration. `configuration` has every key of gateway.yaml; the rest are the values wiring needs.

    `warnings`: one line for each thing in the file that has no effect, with its place.
    """

    path: Path
    configuration: Configuration
    layers: Layers
    warnings: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """The folder of the file, absolute: what relative paths start from."""
        return self.path.absolute().parent

    @property
    def state_dir(self) -> Path:
        return self.folder / self.configuration.state

    @property
    def lock_path(self) -> Path:
        """`gateway.lock`, beside the file."""
        return self.folder / "gateway.lock"

    @property
    def policy_path(self) -> Path | None:
        """The folder or bundle of policies; None: the packaged ones."""
        return self._beside(self.configuration.policy.path)

    @property
    def policy_key(self) -> Path | None:
        """The public key that signs the bundle; None: it need not be signed."""
        return self._beside(self.configuration.policy.verification_key)

    @property
    def shadow_path(self) -> Path | None:
        """The folder or bundle of candidate policies, if there is one."""
        return self._beside(self.configuration.policy.shadow)

    @property
    def decision_log(self) -> Path | None:
        """Where decisions are written besides the log, if anywhere."""
        return self._beside(self.configuration.policy.decision_log)

    @property
    def log_origin(self) -> str:
        """The log's C2SP origin."""
        return self.configuration.log.origin or f"sealgate.local/{self.configuration.tenant}"

    @property
    def own_url(self) -> str:
        """Where a client on this machine calls the gateway."""
        listen = self.configuration.listen
        host = _ANY_ADDRESS.get(listen.host, listen.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{listen.port}/mcp"

    def upstream_specs(self) -> tuple[AnySpec, ...]:
        """One spec per upstream: MCP servers, then functions, APIs and agents, each in the order of the file."""
        told, rules = self.configuration, self.rules()
        return (
            *(self._spec(name, server, _asks(name, rules)) for name, server in told.mcpServers.items()),
            *(self._function_spec(name, module) for name, module in told.functions.items()),
            *(self._openapi_spec(name, document) for name, document in told.openapi.items()),
            *(self._agent_spec(name, agent) for name, agent in told.agents.items()),
        )

    def believed(self) -> dict[str, Believed]:
        """The upstreams whose definitions say themselves what they are, by name."""
        functions = {name: Believed(DeclaredBy.DECORATOR) for name in self.configuration.functions}
        apis = {
            name: Believed(DeclaredBy.METHOD, api.owner, tuple(filter(None, (host_form(api.base_url),))))
            for name, api in self.configuration.openapi.items()
        }
        agents = {
            name: Believed(DeclaredBy.CARD, agent.owner, _hosts_of(agent), least=ApprovalMode.DELEGATED)
            for name, agent in self.configuration.agents.items()
        }
        return functions | apis | agents

    def bare_upstreams(self) -> frozenset[str]:
        """Upstreams whose tools and prompts clients call by their own names."""
        return frozenset(name for name, rules in self.configuration.upstreams.items() if rules.names is Names.BARE)

    def rules(self) -> tuple[Rule, ...]:
        """The classification of each glob, in the order of the file: the first match counts."""
        return tuple((glob, self._classification(rule)) for rule in self.configuration.tools for glob in rule.match)

    def _classification(self, rule: ToolRule) -> Classification:
        paths = (os.path.normpath(self.folder / root) for root in rule.roots)
        roots = tuple(Root(path, os.path.realpath(path)) for path in paths)
        told = (rule.mode, rule.trust, rule.owner, rule.idempotency, rule.egress, rule.reconcile)
        return Classification(*told, fields=rule.fields, roots=roots)

    def approvers(self) -> dict[str, Approver]:
        """Who may approve, by key id."""
        return {approver.keyid: approver for approver in map(approver_of, self.configuration.approvers)}

    def effective(self) -> dict[str, dict[str, Any]]:
        """Every setting with its default: `{"listen.port": {"value": 8750, "source": "default"}}`.

        The source is flag, env, file or default. Values of headers and environments, token hashes and the paths of webhooks
        are hidden.
        Placeholders are shown as written, since what fills them may be a secret.
        """
        return {
            spelled(loc): {"value": value, "source": self._source(loc).value}
            for loc, value in self._leaves(self.configuration.model_dump(mode="json"), ())
        }

    def digest(self) -> str:
        """A digest of all effective values, hidden ones left out; it is the same wherever they come from."""
        return digest({key: entry["value"] for key, entry in self.effective().items()})

    def _spec(self, name: str, server: McpServer, asks: frozenset[Method]) -> StdioSpec | HttpSpec:
        limits = self._limits(name)
        if server.url is not None:
            private, sse, told = self._private(name), server.type == "sse", self._credentials(name)
            return HttpSpec(name, server.url, server.headers, limits, private, sse, asks, told)
        command = server.command or ""
        if "/" in command:
            command = str(self.folder / command)
        cwd = str(self.folder / (server.cwd or ""))
        return StdioSpec(name, command, server.args, server.env, cwd, limits, self._sandbox_of(name), asks=asks)

    def _function_spec(self, name: str, told: FunctionModule) -> StdioSpec:
        module = str(self.folder / told.module) if told.module.endswith(".py") else told.module
        python = None if told.python is None else str(self.folder / told.python)
        sandbox = self._sandbox_of(name)
        return function_spec(name, module, python, told.env, str(self.folder), self._limits(name), sandbox)

    def _openapi_spec(self, name: str, told: OpenApiDocument) -> OpenApiSpec:
        return OpenApiSpec(
            name,
            told.document if is_http_url(told.document) else str(self.folder / told.document),
            told.base_url,
            told.sha256,
            told.headers,
            told.query,
            told.operations.include,
            told.operations.exclude,
            told.idempotency_header,
            told.encoded_slashes,
            self._limits(name),
            self._private(name),
            self._credentials(name),
        )

    def _agent_spec(self, name: str, told: A2aAgent) -> AgentSpec:
        limits, private = self._limits(name), self._private(name)
        return AgentSpec(name, told.card, told.headers, told.hosts, limits, private, self._credentials(name))

    def _limits(self, name: str) -> Limits:
        bounds = self.configuration.upstreams.get(name)
        return Limits() if bounds is None else Limits(**{one.name: getattr(bounds, one.name) for one in fields(Limits)})

    def _private(self, name: str) -> bool:
        bounds = self.configuration.upstreams.get(name)
        return bounds is not None and bounds.private_addresses

    def _credentials(self, name: str) -> CredentialsSpec | None:
        rules = self.configuration.upstreams.get(name)
        return None if rules is None or rules.credentials is None else rules.credentials.spec(self.folder)

    def _sandbox_of(self, name: str) -> Sandbox | None:
        bounds = self.configuration.upstreams.get(name)
        return None if bounds is None or bounds.sandbox is None else self._sandbox(bounds.sandbox)

    def _sandbox(self, rules: SandboxRules) -> Sandbox:
        told = rules.model_dump(exclude={"kind", "read", "write"})
        read, write = (tuple(os.path.normpath(self.folder / path) for path in paths) for paths in (rules.read, rules.write))
        return Sandbox(read=read, write=write, **told)

    def _beside(self, path: str | None) -> Path | None:
        return None if path is None else self.folder / path

    def _source(self, loc: Loc) -> Source:
        return self.layers.source(loc) if self.layers.holds(loc) else Source.DEFAULT

    def _leaves(self, value: Any, loc: Loc) -> Iterator[tuple[Loc, Any]]:
        match value:
            case dict() if value:
                for key, item in value.items():
                    yield from self._leaves(item, (*loc, key))
            case [dict(), *_]:
                for index, item in enumerate(value):
                    yield from self._leaves(item, (*loc, index))
            case str() if is_webhook_url(loc):
                parts = urlsplit(value)
                yield loc, f"{parts.scheme}://{parts.netloc}/{HIDDEN}"
            case _ if loc[0] not in SERVER_BLOCKS:
                yield loc, HIDDEN if loc[-1] == "token_sha256" else value
            case _ if value:  # the rest are keys of the other kind of server
                yield loc, self._shown(value, loc)

    def _shown(self, value: Any, loc: Loc) -> Any:
        if len(loc) > 3 and loc[2] in ("env", "headers", "query"):
            return HIDDEN
        written = self.layers.at(loc, value)
        if loc[-1] in ("url", "document", "card") and "?" in written:
            return written.partition("?")[0] + f"?{HIDDEN}"
        return written


def approver_of(entry: ApproverKey) -> Approver:
    """An approver as the core knows them."""
    if entry.ssh_key is not None:
        key = read_ssh_key(entry.ssh_key)
        return Approver(entry.principal, key.fingerprint, key)
    raw = b64decode(entry.public_key or "")
    return Approver(entry.principal, key_id(raw), Ed25519PublicKey.from_public_bytes(raw))


def _hosts_of(agent: A2aAgent) -> tuple[str, ...]:
    """Where its calls may go."""
    return (*filter(None, (host_form(agent.card),)), *agent.hosts)


def _asks(name: str, rules: tuple[Rule, ...]) -> frozenset[Method]:
    """What rules let this server ask of clients."""
    return frozenset(method for method in ASKED if classify(f"{name}{SEPARATOR}{method}", rules) is not None)
