"""Schemas of an OpenAPI document as JSON Schema 2020-12, for what is sent to the API.

* a reference becomes one into `$defs`, which holds only what is used; circles stay circles
* OpenAPI 3.0: `nullable` becomes a type, exclusive bounds that are true or false become numbers
* words that describe (example, xml, discriminator, x-…) are left out, and properties that only answers have (readOnly)
* what no answer may have (writeOnly) and passwords are marked as sensitive: they are stored nowhere and shown to nobody
* bounds beyond ±(2^53-1) are left out: no argument lies there
* identifiers of schemas and what refers to them are refused: which schema is meant would be a reader's guess
"""

import re
from collections import Counter
from typing import Any

from gateway.adapters.upstream.openapi.document import Document, UnusableOperation
from gateway.core.sensitive import KEYWORD as SENSITIVE
from gateway.core.wire import MAX_SAFE_INTEGER

_ONE = frozenset(
    (
        *("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"),
        *("unevaluatedItems", "unevaluatedProperties", "additionalItems"),
    )
)
_MANY = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("properties", "patternProperties", "dependentSchemas"))
_DROPPED = frozenset(("example", "examples", "discriminator", "xml", "externalDocs", "$schema", "$comment", "title"))
_REFUSED = frozenset(("$id", "id", "$anchor", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$defs"))
_BOUNDS = frozenset(
    (
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "default"),
    )
)


class Schemas:
    """The schemas of one tool: converted one by one, with the definitions that they share."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._old = document.old_schemas
        self._names: dict[str, str] = {}
        self._last: Counter[str] = Counter()
        self.definitions: dict[str, Any] = {}

    def converted(self, schema: Any) -> Any:
        """One schema. Raises `UnusableOperation`."""
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise UnusableOperation("a schema is no object")
        if isinstance(schema.get("$ref"), str):
            reference = {"$ref": self._definition(schema["$ref"])}
            if self._old:
                return reference  # in 3.0 what stands beside a reference does not count
            return {**self._members({key: value for key, value in schema.items() if key != "$ref"}), **reference}
        return self._members(schema)

    def _definition(self, pointer: str) -> str:
        """The pointer to the definition that a reference of the document becomes."""
        name = self._names.get(pointer)
        if name is None:
            plain = re.sub(r"[^A-Za-z0-9_.-]", "_", pointer.rpartition("/")[2])[:64] or "schema"
            name = plain
            while name in self.definitions:  # each number is tried once: thousands may end alike
                self._last[plain] += 1
                name = f"{plain}_{self._last[plain] + 1}"
            self._names[pointer], self.definitions[name] = name, {}
            self.definitions[name] = self.converted(self._document.at(pointer))
        return f"#/$defs/{name}"

    def _members(self, schema: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in schema.items():
            if key in _REFUSED:
                raise UnusableOperation(f"a schema has {key}")
            if key in _DROPPED or (key.startswith("x-") and key != SENSITIVE) or (self._old and key == "nullable"):
                continue
            if key in _BOUNDS and _is_beyond(value):
                continue
            found[key] = self._member(key, value)
        if schema.get("writeOnly") is True or schema.get("format") == "password":
            found[SENSITIVE] = True
        if isinstance(found.get("properties"), dict):
            self._without_answers(schema, found)
        return _modern(schema, found) if self._old else found

    def _member(self, key: str, value: Any) -> Any:
        if key in _ONE:
            return [self.converted(one) for one in value] if isinstance(value, list) else self.converted(value)
        if key in _MANY and isinstance(value, list):
            return [self.converted(one) for one in value]
        if key in _NAMED and isinstance(value, dict):
            return {name: self.converted(one) for name, one in value.items()}
        return value

    def _without_answers(self, schema: dict[str, Any], found: dict[str, Any]) -> None:
        """readOnly properties must not be sent, and are required of answers only (OAS 3.0.3, fixed fields of a schema)."""
        only = {
            name
            for name, one in schema["properties"].items()
            if isinstance(one, dict) and one.get("readOnly") is True and "$ref" not in one
        }
        for name in only:
            del found["properties"][name]
        if only and isinstance(found.get("required"), list):
            found["required"] = [name for name in found["required"] if name not in only]


def _modern(schema: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(found.get(exclusive), bool):
            is_exclusive = found.pop(exclusive)
            if is_exclusive and bound in found:
                found[exclusive] = found.pop(bound)
    if schema.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
        if isinstance(found.get("enum"), list) and None not in found["enum"]:
            found["enum"] = [*found["enum"], None]
    return found


def _is_beyond(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER
