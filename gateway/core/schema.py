"""Compiled input schemas. An upstream's schema is hostile input (JSON Schema 2020-12, or the draft it names).

Rules:

* no remote `$ref`: a reference is a JSON pointer into the document, or the schema is unusable; nothing is fetched
* at most 1,024 schemas apply to one value: references that double at each step would keep a validator busy for ever
* regular expressions run in linear time; a pattern that needs backtracking (look-around, back-references) is refused
* at most 256 KiB canonical bytes and depth 64
* an argument the schema does not declare is refused, unless the schema says `additionalProperties` itself
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import jsonschema_rs

from gateway.core.canonical import NotCanonical, canonical
from gateway.core.wire import MAX_DEPTH, document_problem

MAX_SCHEMA_BYTES = 256 * 1024
MAX_APPLIED = 1024
MAX_PROBLEMS = 5
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"
DRAFTS_WITH_UNEVALUATED = {
    DRAFT_2020_12,
    DRAFT_2020_12 + "#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2019-09/schema#",
}
COMPOSING = {"$ref", "allOf", "anyOf", "oneOf", "if", "dependencies"}
IN_PLACE_APPLICATORS = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")


class UnusableSchema(ValueError):
    """The schema breaks a rule above; the text says which."""


class ArgumentSchema:
    """A schema compiled once per pinned definition."""

    def __init__(self, schema: dict[str, Any]) -> None:
        try:
            data = canonical(schema)
        except NotCanonical as error:
            raise UnusableSchema(f"not canonical JSON: {error}") from error
        if len(data) > MAX_SCHEMA_BYTES:
            raise UnusableSchema(f"larger than {MAX_SCHEMA_BYTES} bytes")
        problem = document_problem(schema)
        if problem is not None:
            raise UnusableSchema(problem)
        _References(schema, id_keywords=("$id", "id") if b"draft-04" in data else ("$id",)).check()
        if schema.get("type") != "object":
            raise UnusableSchema('an input schema must have "type": "object"')
        try:
            self._validator = jsonschema_rs.validator_for(
                _closed(schema),
                retriever=_refuse_retrieval,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20),
                mask="(hidden)",
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
            raise UnusableSchema(_first_line(error)) from error

    def problems(self, arguments: dict[str, Any]) -> list[str]:
        """What is wrong with `arguments`, at most five sentences that carry no argument value; empty if valid."""
        if self._validator.is_valid(arguments):
            return []
        found: list[str] = []
        for error in self._validator.iter_errors(arguments):
            where = "/".join(str(step) for step in error.instance_path) or "arguments"
            found.append(f"{where}: {_first_line(error)}")
            if len(found) == MAX_PROBLEMS:
                break
        return found


class _References:
    """Follows the references of one schema, without a validator, to see how far a validator would have to follow them."""

    def __init__(self, root: dict[str, Any], *, id_keywords: tuple[str, ...]) -> None:
        self._root = root
        self._id_keywords = id_keywords
        self._costs: dict[int, int] = {}

    def check(self) -> None:
        """Raises `UnusableSchema`."""
        waiting: list[Any] = [self._root]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                self._cost(value, [])
                waiting.extend(value.values())
            elif isinstance(value, list):
                waiting.extend(value)

    def _cost(self, schema: dict[str, Any], within: list[int]) -> int:
        """How many schemas are applied to the same value as `schema` is, itself included."""
        place = id(schema)
        if place in self._costs:
            return self._costs[place]
        if place in within:
            raise UnusableSchema("a reference leads back to itself without going deeper into the value")
        if len(within) > MAX_DEPTH:
            raise UnusableSchema(f"more than {MAX_DEPTH} references one after the other")
        cost = 1 + sum(self._cost(applied, [*within, place]) for applied in self._applied(schema))
        if cost > MAX_APPLIED:
            raise UnusableSchema(f"more than {MAX_APPLIED} schemas for one value, by way of its references")
        self._costs[place] = cost
        return cost

    def _applied(self, schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if any(isinstance(schema.get(keyword), str) for keyword in ("$dynamicRef", "$recursiveRef")):
            raise UnusableSchema("$dynamicRef and $recursiveRef are not followed")
        if schema is not self._root and any(isinstance(schema.get(keyword), str) for keyword in self._id_keywords):
            raise UnusableSchema("$id below the top level would change what references mean")
        found: list[Any] = []
        if isinstance(schema.get("$ref"), str):
            found.append(self._target(schema["$ref"]))
        for keyword in IN_PLACE_APPLICATORS:
            below = schema.get(keyword)
            if isinstance(below, list):
                found.extend(below)
            elif isinstance(below, dict):
                found.extend(below.values() if keyword in ("dependentSchemas", "dependencies") else [below])
        return (applied for applied in found if isinstance(applied, dict))

    def _target(self, reference: str) -> Any:
        """What a reference names: a JSON pointer in a URI fragment (RFC 6901 section 6)."""
        if reference != "#" and not reference.startswith("#/"):
            raise UnusableSchema(f"reference {reference[:200]} is not followed, only #/… is")
        found: Any = self._root
        for step in unquote(reference).split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise UnusableSchema(f"reference {reference[:200]} leads nowhere") from error
        return found


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with undeclared arguments refused, unless it says itself what becomes of them."""
    if "additionalProperties" in schema or "unevaluatedProperties" in schema:
        return schema
    if schema.get("$schema", DRAFT_2020_12) in DRAFTS_WITH_UNEVALUATED:
        return {"$schema": DRAFT_2020_12, **schema, "unevaluatedProperties": False}
    composed = sorted(COMPOSING & schema.keys())
    if composed:  # additionalProperties would not see what these declare
        raise UnusableSchema(f"{composed[0]} at the top level needs draft 2019-09 or later, or additionalProperties")
    return {**schema, "additionalProperties": False}


def _refuse_retrieval(uri: str) -> Any:
    raise ValueError(f"remote reference {uri} is not followed")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
