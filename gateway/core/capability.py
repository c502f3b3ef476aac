"""A tool as the gateway offers it, or another thing that an upstream does: name, definition, approval mode."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.core.canonical import digest
from gateway.core.fields import Fields
from gateway.core.method import Method, method_of
from gateway.core.schema import ArgumentSchema

SEPARATOR = "__"
RESERVED = "sealgate"
"""The upstream that the gateway's own tools are listed under. No other may have this name, or one that looks like it."""


class ApprovalMode(StrEnum):
    """read_only < local_write < network < delegated < destructive. Declared by the operator, never by an MCP server."""

    READ_ONLY = "read_only"
    LOCAL_WRITE = "local_write"
    NETWORK = "network"
    DELEGATED = "delegated"
    DESTRUCTIVE = "destructive"

    @property
    def rank(self) -> int:
        """0 for read_only up to 4 for destructive."""
        return _RANKS[self]

    @property
    def has_effect(self) -> bool:
        """Whether a call may change something, so that it must happen at most once."""
        return self is not ApprovalMode.READ_ONLY


_RANKS = {mode: rank for rank, mode in enumerate(ApprovalMode)}


class TrustLevel(StrEnum):
    """How far a tool's results may be believed. Untrusted unless the operator says otherwise."""

    TRUSTED = "trusted"
    UNTRUSTED = "untrusted"


class IdempotencyRule(StrEnum):
    """Where the key comes from when the client sends none: derived from the call, or the call is refused, or no key."""

    DERIVED = "derived"
    REQUIRED = "required"
    NONE = "none"


class DeclaredBy(StrEnum):
    """Whose word a classification is: a rule's, a function's decorator's, an operation's method's, an agent card's."""

    RULE = "rule"
    DECORATOR = "decorator"
    METHOD = "method"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that a tool's paths must lie in: its path, and where that led when the gateway was started, free of links."""

    path: str
    real: str


@dataclass(frozen=True, slots=True)
class Classification:
    """What the operator says of a tool in `gateway.yaml`, or a definition that they believe (`seed.py`).

    `reconcile`: the capability id of a read_only tool of the same upstream that can tell how a lost call ended. `fields`:
    which arguments are paths, hosts, amounts, recipients or mere content. `roots`: folders that its paths must lie in.
    """

    mode: ApprovalMode
    trust_level: TrustLevel
    owner: str
    idempotency: IdempotencyRule
    egress: tuple[str, ...] = ()
    reconcile: str | None = None
    fields: Fields = field(default_factory=dict)
    roots: tuple[Root, ...] = ()
    declared_by: DeclaredBy = DeclaredBy.RULE


@dataclass(frozen=True, slots=True)
class ToolDefinition:
    """A tool as its upstream describes it. `digest` covers the whole definition: name, description, schemas, annotations."""

    upstream: str
    name: str
    document: dict[str, Any]
    digest: str

    @classmethod
    def from_document(cls, upstream: str, document: dict[str, Any]) -> "ToolDefinition":
        """Raises `NotCanonical` where the definition has no canonical form."""
        return cls(upstream, str(document.get("name", "")), document, digest(document))

    @property
    def capability_id(self) -> str:
        """The name clients call it by: `upstream__tool`."""
        return f"{self.upstream}{SEPARATOR}{self.name}"


@dataclass(frozen=True, slots=True)
class Capability:
    """What may be called: classified, its definition pinned or the gateway's own, and its schema usable."""

    definition: ToolDefinition
    classification: Classification
    schema: ArgumentSchema

    @property
    def id(self) -> str:
        return self.definition.capability_id

    @property
    def mode(self) -> ApprovalMode:
        return self.classification.mode

    @property
    def upstream(self) -> str:
        return self.definition.upstream

    @property
    def method(self) -> Method:
        """What a call of it is to the protocol."""
        return method_of(self.definition.name)
