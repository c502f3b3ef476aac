"""Which tools may be called. Built anew from definitions, classifications and pins; never changed in place.

A tool is callable only when all of this holds; otherwise it is hidden, with the reason for the operator:

* its name is plain: letters, digits, `_`, `-`, `.`, at most 64 characters
* the operator classified it (`gateway.yaml`, tools), or named where its definition comes from as one that says itself what
  it is (`seed.py`); nothing else is done for a tool that nobody classified
* its mode is not below the least one of its kind of upstream: no rule makes an agent anything less than `delegated`
* nothing in its definition is hidden from a reader (`scan.py`): whoever approves it sees all that a model would read
* its input schema is usable (`schema.py`), and the whole definition has the shape of an MCP tool: one that had not would
  break the list for every client. Seen before the pin, so that nobody approves what cannot be called
* its definition is the one pinned in `gateway.lock`; a changed one is drifted until approved again
* no other tool has its name, or a name that looks the same (case, 0/o, 1/l/i, separators)
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.core.canonical import NotCanonical, digest
from gateway.core.capability import SEPARATOR, Capability, Classification, ToolDefinition
from gateway.core.method import ASKED, Method
from gateway.core.outcome import Reason
from gateway.core.scan import hidden_at
from gateway.core.schema import ArgumentSchema, UnusableSchema
from gateway.core.seed import Believed, UnusableSeed, seeded
from gateway.core.surface import Surface, standing_capability
from gateway.core.visible import Globs, covers, is_visible

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
MAX_PLACE_CHARS = 200
TOO_LOW = "its {} says {}, and what it does is never less than {}: correct the mode under `tools`, or the rule's globs"
_LOOKS_LIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "-": "_", ".": "_"})


class Hidden(StrEnum):
    """Why a tool cannot be called."""

    NAME = "name"
    INVISIBLE = "invisible"
    SCHEMA = "schema"
    SHAPE = "shape"
    UNCLASSIFIED = "unclassified"
    UNPINNED = "unpinned"
    DRIFTED = "drifted"
    COLLIDING = "colliding"
    CONFUSABLE = "confusable"


@dataclass(frozen=True, slots=True)
class HiddenTool:
    """A tool that is neither listed nor callable; `explanation` tells the operator why and what to do.

    `classification`: what it would be if it were callable, where somebody said it.
    """

    definition: ToolDefinition
    why: Hidden
    explanation: str
    classification: Classification | None = None


@dataclass(frozen=True, slots=True)
class Catalog:
    """One immutable view of what may be called. `revision` names the callable set in every entry.

    Attributes:
        capabilities: the tools, by capability id
        standing: what upstreams do beside their tools, and may ask of the client, by capability id (`surface.py`)
        surfaces: what each upstream lists beside its tools, in the order of the configuration
        drifted: ids of tools that are hidden since their definition changed
    """

    capabilities: Mapping[str, Capability]
    hidden: tuple[HiddenTool, ...]
    revision: str
    standing: Mapping[str, Capability] = field(default_factory=dict)
    surfaces: Mapping[str, Surface] = field(default_factory=dict)
    drifted: frozenset[str] = frozenset()

    def find(self, capability_id: str) -> Capability | None:
        """The capability of that id, whatever it is."""
        return self.capabilities.get(capability_id) or self.standing.get(capability_id)

    def resolve(self, name: str, method: Method = Method.TOOL, globs: Globs = None) -> Capability | Reason:
        """The capability called `name`; what a caller may know otherwise: it is unknown, or blocked.

        What the caller's `globs` do not name is as unknown as what does not exist.
        """
        visible = is_visible(name, globs)
        if method is not Method.TOOL:
            standing = self.standing.get(name)
            return standing if visible and standing is not None and standing.method is method else _UNKNOWN[method]
        capability = self.capabilities.get(name)
        if visible and capability is not None:
            return capability
        if visible and name in self.drifted:
            return Reason("tool.drifted", "This tool changed since it was approved; an operator must approve it again.")
        return Reason("tool.unknown", "There is no tool of this name. Call tools/list for the ones you may use.")


_RESOURCE_UNKNOWN = Reason("resource.unknown", "There is no such resource. Call resources/list for those you may read.")
_PROMPT_UNKNOWN = Reason("prompt.unknown", "There is no prompt of this name. Call prompts/list for those you may get.")
_NOT_ASKED = Reason("client.not_asked", "No rule lets this server ask that of the client.")
_UNKNOWN: Mapping[Method, Reason] = {
    Method.RESOURCE: _RESOURCE_UNKNOWN,
    Method.SUBSCRIBE: _RESOURCE_UNKNOWN,
    Method.PROMPT: _PROMPT_UNKNOWN,
    Method.COMPLETE: Reason("completion.unknown", "Nothing can be completed for that reference."),
    **dict.fromkeys(ASKED, _NOT_ASKED),
}

Rule = tuple[str, Classification]
Shape = Callable[[dict[str, Any]], str | None]
"""What is wrong with a definition's shape, or None."""
Usable = ArgumentSchema | tuple[Hidden, str]
"""A definition's compiled schema, or why it cannot be used. It depends on the definition alone."""


def build_catalog(
    definitions: Iterable[ToolDefinition],
    rules: Iterable[Rule],
    pins: Mapping[str, str],
    *,
    believed: Mapping[str, Believed] = {},
    shape: Shape = lambda document: None,
    compiled: dict[str, Usable] | None = None,
    surfaces: Mapping[str, Surface] | None = None,
) -> Catalog:
    """Apply the rules above.

    Args:
        definitions: everything the upstreams list now
        rules: (glob over capability ids, classification); the first match counts
        pins: capability id → approved definition digest
        believed: the upstreams whose definitions say what they are, where no rule does
        shape: what is wrong with a definition as an MCP tool; here nothing ever is
        compiled: what was compiled before, by definition digest; changed in place to what these definitions need
        surfaces: what each upstream offers beside its tools, by its name, in the order of the configuration
    """
    definitions = list(definitions)
    rules = list(rules)
    compiled = {} if compiled is None else compiled
    for gone in compiled.keys() - {tool.digest for tool in definitions}:
        del compiled[gone]
    exact = Counter(tool.capability_id for tool in definitions)
    lookalikes = Counter(skeleton(name) for name in exact)
    capabilities: dict[str, Capability] = {}
    hidden: list[HiddenTool] = []
    for tool in definitions:
        said = _said(tool, rules, believed)
        verdict = _verdict(tool, said, pins, shape, compiled)
        if exact[tool.capability_id] > 1:
            verdict = Hidden.COLLIDING, "its upstream lists this name more than once"
        elif lookalikes[skeleton(tool.capability_id)] > 1:
            verdict = Hidden.CONFUSABLE, "another tool's name looks the same; rename one, or leave it out with `hide`"
        if isinstance(verdict, Capability):
            capabilities[tool.capability_id] = verdict
        else:
            hidden.append(HiddenTool(tool, *verdict, said if isinstance(said, Classification) else None))
    surfaces = {} if surfaces is None else surfaces
    standing = _standing(surfaces, rules)
    everything = {**capabilities, **standing}
    listed = {name: [capability.definition.digest, capability.mode.value] for name, capability in everything.items()}
    drifted = frozenset(tool.definition.capability_id for tool in hidden if tool.why is Hidden.DRIFTED)
    return Catalog(capabilities, tuple(hidden), digest(listed), standing, surfaces, drifted)


def _standing(surfaces: Mapping[str, Surface], rules: Iterable[Rule]) -> dict[str, Capability]:
    rules = [rule for rule in rules if "/" in rule[0]]
    found: dict[str, Capability] = {}
    for upstream, surface in surfaces.items():
        for method in sorted(surface.methods | ASKED):
            capability_id = f"{upstream}{SEPARATOR}{method}"
            capability = standing_capability(upstream, method, classify(capability_id, rules))
            if capability is not None:
                found[capability_id] = capability
    return found


def skeleton(name: str) -> str:
    """A form in which names that look alike are equal (compare Unicode TR39; names here are ASCII)."""
    return name.casefold().translate(_LOOKS_LIKE)


def classify(capability_id: str, rules: Iterable[Rule]) -> Classification | None:
    """The first rule whose glob matches. One for tools names nothing else, so that `files__*` does not let a server ask."""
    return next((what for pattern, what in rules if covers(pattern, capability_id)), None)


def _said(tool: ToolDefinition, rules: Iterable[Rule], believed: Mapping[str, Believed]) -> Classification | str:
    """What a rule says of the tool, or else a definition that is believed; why there is nothing."""
    try:
        said = classify(tool.capability_id, rules) or seeded(tool, believed)
    except UnusableSeed as error:
        return f"no rule names it, and what its definition says of it cannot be used: {error}"
    if said is None:
        return "no rule names it: give its approval mode under `tools` in gateway.yaml"
    who = believed.get(tool.upstream)
    if who is not None and said.mode.rank < who.least.rank:
        return TOO_LOW.format(said.declared_by, said.mode, who.least)
    return said


def _verdict(
    tool: ToolDefinition,
    said: Classification | str,
    pins: Mapping[str, str],
    shape: Shape,
    compiled: dict[str, Usable],
) -> Capability | tuple[Hidden, str]:
    if PLAIN_NAME.fullmatch(tool.name) is None:
        return Hidden.NAME, "its name is not plain ASCII letters, digits, `_`, `-`, `.` (at most 64)"
    if isinstance(said, str):
        return Hidden.UNCLASSIFIED, said
    usable = compiled.get(tool.digest)
    if usable is None:
        usable = compiled[tool.digest] = _usable(tool.document, shape)
    if not isinstance(usable, ArgumentSchema):
        return usable
    pinned = pins.get(tool.capability_id)
    if pinned is None:
        return Hidden.UNPINNED, "never approved: sealgate tools approve"
    if pinned != tool.digest:
        return Hidden.DRIFTED, "its definition changed: sealgate tools diff, then approve"
    return Capability(tool, said, usable)


def _usable(document: dict[str, Any], shape: Shape) -> Usable:
    hidden = hidden_at(document)
    if hidden is not None:
        place, char = hidden
        return Hidden.INVISIBLE, f"its definition hides {char}, which no reader sees, at {place[:MAX_PLACE_CHARS]}"
    try:
        schema = ArgumentSchema(_input_schema(document))
    except UnusableSchema as error:
        return Hidden.SCHEMA, f"its input schema cannot be used: {error}"
    problem = shape(document)
    return schema if problem is None else (Hidden.SHAPE, f"its definition is not that of an MCP tool: {problem}")


def _input_schema(document: dict[str, Any]) -> dict[str, Any]:
    schema = document.get("inputSchema")
    if not isinstance(schema, dict):
        raise UnusableSchema("it has none")
    return schema


def readable_definitions(upstream: str, documents: Iterable[Any]) -> tuple[list[ToolDefinition], int]:
    """The definitions of one upstream's tools/list, and how many items were not definitions at all."""
    found: list[ToolDefinition] = []
    dropped = 0
    for document in documents:
        try:
            if not isinstance(document, dict) or not isinstance(document.get("name"), str):
                raise NotCanonical("a tool is an object with a name")
            found.append(ToolDefinition.from_document(upstream, document))
        except NotCanonical:
            dropped += 1
    return found, dropped
