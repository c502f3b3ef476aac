"""What a pinned input schema declares of each place among the arguments: its names, what may be left out, its defaults.

The schema was checked when it was compiled (`schema.py`): references are local and lead deeper, and few schemas apply to one
value. Where a reader would have to evaluate it to know, the stricter reading counts: a `const` or `default` is a place's own
only where it certainly applies, and what only a pattern allows is not declared.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from gateway.core.canonical import NotCanonical, canonical

MAX_SCHEMAS = 256
_POSSIBLE = ("anyOf", "oneOf")
_CONDITIONAL = ("then", "else")

Schema = dict[str, Any]


class Place:
    """Where a value stands. `optional`: it may be left out."""

    def __init__(self, root: Schema, schemas: tuple[Any, ...], *, optional: bool = False) -> None:
        self._root = root
        self._certain = tuple(_applied(root, schemas, possible=False))
        self._all = tuple(_applied(root, schemas, possible=True))
        self.optional = optional

    def declares(self, name: str) -> bool:
        """Whether an object's member is one of the schema's own names."""
        return any(name in _members(schema) for schema in self._all)

    def member(self, name: str) -> "Place":
        """The place of an object's member."""
        below = tuple(_members(schema)[name] for schema in self._all if name in _members(schema))
        required = any(name in _listed(schema.get("required")) for schema in self._all)
        return Place(self._root, below, optional=bool(below) and not required)

    def element(self, index: int) -> "Place":
        """The place of an array's element."""
        return Place(self._root, tuple(part for schema in self._all for part in _element(schema, index)))

    def defines(self, value: Any) -> bool:
        """Whether the definition itself says this value: it is the place's default or constant.

        Nothing (null, or a text of no characters) says as much as leaving out what may be left out.
        """
        if self.optional and (value is None or value == ""):
            return True
        own = [schema[word] for schema in self._certain for word in ("default", "const") if word in schema]
        return any(_same(value, one) for one in own)


def top(schema: Schema) -> Place:
    """The place of the arguments as a whole."""
    return Place(schema, (schema,))


def _applied(root: Schema, schemas: tuple[Any, ...], *, possible: bool) -> Iterator[Schema]:
    """The schemas that apply to the same value, certainly or possibly."""
    waiting = list(schemas)
    for _ in range(MAX_SCHEMAS):
        if not waiting:
            return
        schema = waiting.pop()
        if not isinstance(schema, dict):
            continue
        yield schema
        if isinstance(schema.get("$ref"), str):
            waiting.append(_target(root, schema["$ref"]))
        waiting.extend(_listed(schema.get("allOf")))
        if possible:
            for word in _POSSIBLE:
                waiting.extend(_listed(schema.get(word)))
            waiting.extend(schema[word] for word in _CONDITIONAL if word in schema)


def _target(root: Schema, reference: str) -> Any:
    found: Any = root
    for step in unquote(reference).split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        try:
            found = found[int(name)] if isinstance(found, list) else found[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return found


def _members(schema: Schema) -> Schema:
    members = schema.get("properties")
    return members if isinstance(members, dict) else {}


def _element(schema: Schema, index: int) -> Iterator[Any]:
    prefix = _listed(schema.get("prefixItems"))
    items = schema.get("items")
    if isinstance(items, list):  # before draft 2020-12
        prefix, items = items, schema.get("additionalItems")
    if index < len(prefix):
        yield prefix[index]
    elif items is not None:
        yield items


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _same(one: Any, other: Any) -> bool:
    try:
        return canonical(one) == canonical(other)
    except NotCanonical:
        return False
