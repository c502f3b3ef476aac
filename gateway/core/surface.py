"""What an upstream offers beside its tools, and the capabilities that this makes.

Reading a resource, getting a prompt and completing an argument are calls like any other: decided, recorded, their results
evidence. So is what an upstream asks of the client in the middle of a call. Each of these is one capability of its upstream,
`upstream__resources/read`, whose definition is the gateway's own: there is nothing of the upstream's to pin in it.

What is listed of resources and prompts is the upstream's text. It changes as files come and go, so it is not pinned; an item
that hides characters from a reader, or that is not of the protocol's shape, is left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gateway.core.capability import (
    ApprovalMode,
    Capability,
    Classification,
    IdempotencyRule,
    ToolDefinition,
    TrustLevel,
)
from gateway.core.method import ASKED, Method
from gateway.core.scan import hidden_at
from gateway.core.schema import ArgumentSchema

_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}
_ANY: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": True}

_ABOUT: Mapping[Method, tuple[str, dict[str, Any]]] = {
    Method.RESOURCE: (
        "Read a resource of this server.",
        {"type": "object", "properties": {"uri": _TEXT}, "required": ["uri"], "additionalProperties": False},
    ),
    Method.SUBSCRIBE: (
        "Be told when a resource of this server changes.",
        {"type": "object", "properties": {"uri": _TEXT}, "required": ["uri"], "additionalProperties": False},
    ),
    Method.PROMPT: (
        "Get a prompt of this server, with these arguments.",
        {
            "type": "object",
            "properties": {"name": _TEXT, "arguments": {"type": "object", "additionalProperties": _TEXT}},
            "required": ["name"],
            "additionalProperties": False,
        },
    ),
    Method.COMPLETE: (
        "Have this server complete an argument of a prompt or a resource template.",
        {
            "type": "object",
            "properties": {"ref": _OBJECT, "argument": _OBJECT, "context": _OBJECT},
            "required": ["ref", "argument"],
            "additionalProperties": False,
        },
    ),
    Method.ELICIT: ("In the middle of a call this server asks the person at the client for input.", _ANY),
    Method.SAMPLE: ("In the middle of a call this server asks the client's model for a message.", _ANY),
    Method.ROOTS: ("In the middle of a call this server asks which folders the client works in.", _ANY),
}


@dataclass(frozen=True, slots=True)
class Surface:
    """What one upstream offers now, as on the wire and in its order.

    Attributes:
        methods: which of `READ` it takes
        resources: what it lists of resources: objects with `uri` and `name`
        templates: resource templates: objects with `uriTemplate` and `name`
        prompts: prompts: objects with `name`
    """

    methods: frozenset[Method] = frozenset()
    resources: tuple[dict[str, Any], ...] = ()
    templates: tuple[dict[str, Any], ...] = ()
    prompts: tuple[dict[str, Any], ...] = ()


NOTHING = Surface()

Shape = Callable[[str, dict[str, Any]], str | None]
"""What is wrong with an item of a list of that kind (`resources`, `templates`, `prompts`), or None."""


def readable(surface: Surface, shape: Shape) -> tuple[Surface, int]:
    """The surface without the items that cannot be listed, and how many these were."""
    kept: dict[str, tuple[dict[str, Any], ...]] = {}
    dropped = 0
    for kind in ("resources", "templates", "prompts"):
        items: tuple[dict[str, Any], ...] = getattr(surface, kind)
        kept[kind] = tuple(item for item in items if hidden_at(item) is None and shape(kind, item) is None)
        dropped += len(items) - len(kept[kind])
    return Surface(surface.methods, **kept), dropped


@cache
def standing_definition(upstream: str, method: Method) -> ToolDefinition:
    """The definition of what `method` is for this upstream."""
    description, schema = _ABOUT[method]
    return ToolDefinition.from_document(upstream, {"name": method.value, "description": description, "inputSchema": schema})


def standing_capability(upstream: str, method: Method, said: Classification | None) -> Capability | None:
    """The capability; `said`: what the operator's rules say of it. None: it may not be used."""
    if said is None:
        if method in ASKED:
            return None
        said = Classification(ApprovalMode.READ_ONLY, TrustLevel.UNTRUSTED, upstream, IdempotencyRule.NONE)
    return Capability(standing_definition(upstream, method), said, _schema(method))


@cache
def _schema(method: Method) -> ArgumentSchema:
    return ArgumentSchema(_ABOUT[method][1])
