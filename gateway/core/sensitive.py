"""What a tool's own schema calls sensitive: `"x-sealgate-sensitive": true` in a property, item or definition.

The schema is the pinned one, and hostile input all the same. Where JSON Schema would have to be evaluated to know whether a
mark applies, it is taken to apply: in every branch of allOf, anyOf, oneOf, not, if, then and else, in patternProperties for
every member, and under a reference that is no JSON pointer into the schema. Any value of the keyword but `false` is a mark.

A schema is read like an automaton: a spot is the set of schemas that may apply to one value. Spots are made when a value
first reaches them and are kept. A schema with too many, or that takes too many steps, is sensitive from there on: what a
schema costs over its whole life is bounded, whatever values come.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

KEYWORD = "x-sealgate-sensitive"
MAX_SPOTS = 1024
MAX_STEPS = 1 << 17  # about a fifth of a second

_LISTS_IN_PLACE = ("allOf", "anyOf", "oneOf")
_SCHEMAS_IN_PLACE = ("not", "if", "then", "else")
_NAMED_IN_PLACE = ("dependentSchemas", "dependencies")
_DYNAMIC = ("$dynamicRef", "$recursiveRef")

Schema = dict[str, Any]
_ANYTHING: Schema = {}


class Spot:
    """Where a value stands: `sensitive`, or on the way to what may be."""

    __slots__ = ("_fields", "_longest", "_members", "_names", "_schemas", "sensitive")

    def __init__(self, fields: "SensitiveFields", schemas: tuple[Schema, ...], *, sensitive: bool) -> None:
        self.sensitive = sensitive
        self._fields = fields
        self._schemas = schemas
        self._members: dict[str | int, Spot] = {}
        self._names = frozenset(name for schema in schemas for name in _part(schema, "properties"))
        tuples = (schema.get(keyword) for schema in schemas for keyword in ("prefixItems", "items"))
        self._longest = max((len(one) for one in tuples if isinstance(one, list)), default=0)

    def member(self, name: str) -> "Spot":
        """The spot of an object's member."""
        return self._below(name if name in self._names else -1)

    def element(self, index: int) -> "Spot":
        """The spot of an array's element."""
        return self._below(min(index, self._longest))

    def _below(self, step: str | int) -> "Spot":
        spot = self._members.get(step)
        if spot is None:
            spot = self._members[step] = self._fields.below(self._schemas, step)
        return spot


class SensitiveFields:
    """The marks of one schema. `top` is the spot of the whole value."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._spots: dict[frozenset[int], Spot] = {}
        self._beside: dict[int, tuple[Schema, ...] | None] = {}
        self._steps = 0
        self._sensitive = Spot(self, (), sensitive=True)
        self.top = self.spot([root])

    def below(self, schemas: tuple[Schema, ...], step: str | int) -> Spot:
        """The spot one step below a value that these schemas apply to."""
        self._steps += len(schemas)
        if self._steps > MAX_STEPS:
            return self._sensitive
        below = _member_schemas if isinstance(step, str) or step == -1 else _element_schemas
        return self.spot([one for schema in schemas for one in below(schema, step)])

    def spot(self, schemas: list[Any]) -> Spot:
        """The spot of a value that these schemas apply to."""
        applied: dict[int, Schema] = {}
        waiting = [schema for schema in schemas if isinstance(schema, dict)]
        self._steps += len(schemas) - len(waiting)
        while waiting:
            self._steps += 1
            schema = waiting.pop()
            if id(schema) in applied:
                continue
            beside = self._applied_with(schema)
            if beside is None or self._steps > MAX_STEPS:
                return self._sensitive
            applied[id(schema)] = schema
            waiting.extend(beside)
        known = frozenset(applied)
        found = self._spots.get(known)
        if found is None:
            if len(self._spots) == MAX_SPOTS:
                return self._sensitive
            found = self._spots[known] = Spot(self, tuple(applied.values()), sensitive=False)
        return found

    def _applied_with(self, schema: Schema) -> tuple[Schema, ...] | None:
        """What else applies where this schema does; None where that is sensitive."""
        if id(schema) not in self._beside:  # which stays this schema's: the root holds them all
            found = [None] if _is_marked(schema) else [*self._in_place(schema)]
            known = tuple(one for one in found if one is not None)
            self._beside[id(schema)] = known if len(known) == len(found) else None
        return self._beside[id(schema)]

    def _in_place(self, schema: Schema) -> Iterator[Schema | None]:
        """The schemas that apply to the same value; None for one that cannot be found."""
        if any(keyword in schema for keyword in _DYNAMIC) or ("$id" in schema and schema is not self._root):
            yield None  # what references mean would depend on more than this document's places
        if "$ref" in schema:
            yield self._target(schema["$ref"])
        below = [one for keyword in _LISTS_IN_PLACE if isinstance(schema.get(keyword), list) for one in schema[keyword]]
        below += [schema.get(keyword) for keyword in _SCHEMAS_IN_PLACE]
        below += [one for keyword in _NAMED_IN_PLACE for one in _part(schema, keyword).values()]
        yield from (one for one in below if isinstance(one, dict))

    def _target(self, reference: Any) -> Schema | None:
        """What a reference names: a JSON pointer in a URI fragment (RFC 6901 section 6)."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            return None
        found: Any = self._root
        for step in unquote(reference).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, IndexError, ValueError, TypeError):
                return None
        if isinstance(found, bool):
            return _ANYTHING
        return found if isinstance(found, dict) else None


def sensitive_fields(schema: Any) -> SensitiveFields | None:
    """The marks in a schema; None where it has none."""
    return SensitiveFields(schema) if isinstance(schema, dict) and _holds_mark(schema) else None


def _is_marked(schema: Schema) -> bool:
    # An embedded document's or a name's own schema marks a part of a value that has no spot of its own.
    whole = (schema.get(keyword) for keyword in ("contentSchema", "propertyNames"))
    return schema.get(KEYWORD, False) is not False or any(_holds_mark(one) for one in whole)


def _holds_mark(schema: Any) -> bool:
    waiting = [schema]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if value.get(KEYWORD, False) is not False:
                return True
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return False


def _member_schemas(schema: Schema, name: str | int) -> Iterator[Any]:
    properties = _part(schema, "properties")
    if name in properties:
        yield properties[name]
    else:
        yield schema.get("additionalProperties")
    yield from _part(schema, "patternProperties").values()
    yield schema.get("unevaluatedProperties")


def _element_schemas(schema: Schema, index: str | int) -> Iterator[Any]:
    for keyword in ("prefixItems", "items"):
        listed = schema.get(keyword)
        if isinstance(listed, list):
            yield from listed[index : index + 1] if isinstance(index, int) else ()
        else:
            yield listed
    yield schema.get("additionalItems")
    yield schema.get("contains")
    yield schema.get("unevaluatedItems")


def _part(schema: Schema, keyword: str) -> dict[str, Any]:
    part = schema.get(keyword)
    return part if isinstance(part, dict) else {}
