"""Compiled input schemas. An upstream's schema is hostile input (JSON Schema 2020-12, or the draft it names).

Rules:

* no remote `$ref`: a reference that is not inside the document makes the schema unusable; nothing is fetched
* regular expressions run in linear time; a pattern that needs backtracking (look-around, back-references) is refused
* at most 256 KiB canonical bytes and depth 64
* an argument the schema does not declare is refused, unless the schema says `additionalProperties` itself
"""

from typing import Any

import jsonschema_rs

from gateway.core.canonical import NotCanonical, canonical

MAX_SCHEMA_BYTES = 256 * 1024
MAX_PROBLEMS = 5
DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"
DRAFTS_WITH_UNEVALUATED = {
    DRAFT_2020_12,
    DRAFT_2020_12 + "#",
    "https://json-schema.org/draft/2019-09/schema",
    "https://json-schema.org/draft/2019-09/schema#",
}
IN_PLACE_APPLICATORS = {"$ref", "allOf", "anyOf", "oneOf", "if", "dependencies"}


class UnusableSchema(ValueError):
    """The schema breaks a rule above; the text says which."""


class ArgumentSchema:
    """A schema compiled once per pinned definition."""

    def __init__(self, schema: dict[str, Any]) -> None:
        try:
            size = len(canonical(schema))
        except NotCanonical as error:
            raise UnusableSchema(f"not canonical JSON: {error}") from error
        if size > MAX_SCHEMA_BYTES:
            raise UnusableSchema(f"larger than {MAX_SCHEMA_BYTES} bytes")
        if schema.get("type") != "object":
            raise UnusableSchema('an input schema must have "type": "object"')
        try:
            self._validator = jsonschema_rs.validator_for(
                _closed(schema),
                retriever=_refuse_retrieval,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20),
                mask="(hidden)",
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
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


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with undeclared arguments refused, unless it says itself what becomes of them."""
    if "additionalProperties" in schema or "unevaluatedProperties" in schema:
        return schema
    if schema.get("$schema", DRAFT_2020_12) in DRAFTS_WITH_UNEVALUATED:
        return {"$schema": DRAFT_2020_12, **schema, "unevaluatedProperties": False}
    composed = sorted(IN_PLACE_APPLICATORS & schema.keys())
    if composed:  # additionalProperties would not see what these declare
        raise UnusableSchema(f"{composed[0]} at the top level needs draft 2019-09 or later, or additionalProperties")
    return {**schema, "additionalProperties": False}


def _refuse_retrieval(uri: str) -> Any:
    raise ValueError(f"remote reference {uri} is not followed")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300]
