"""An OpenAPI document: read, bounded, and held against the specification's shape by `openapi-pydantic`.

It is hostile input: what it says is shown to models and decides how requests are made. References lead into the document
itself; nothing is fetched for one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import unquote

import orjson
from openapi_pydantic import parse_obj
from openapi_pydantic.v3 import v3_0, v3_1
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, SequenceNode

MAX_BYTES = 32 << 20
MAX_YAML_BYTES = 2 << 20
"""YAML is read by Python code, about 200 KiB a second."""

MAX_NODES = 1_000_000
MAX_DEPTH = 200
MAX_HOPS = 32


class UnusableDocument(Exception):
    """The document as a whole cannot be used. A fixed sentence for the operator, without its text."""


class UnusableOperation(Exception):
    """One operation cannot be a tool; the text says why."""


@dataclass(frozen=True, slots=True)
class Document:
    """`root` is the document as JSON has it, `version` what it says of itself, `sha256` the digest of its bytes, in hex."""

    root: dict[str, Any]
    version: str
    sha256: str

    @property
    def old_schemas(self) -> bool:
        """Whether its schemas are those of OpenAPI 3.0, which are not quite JSON Schema."""
        return self.version.startswith("3.0")

    @property
    def shapes(self) -> Any:
        """The types of this version: `v3_0` or `v3_1` of openapi-pydantic."""
        return v3_0 if self.old_schemas else v3_1

    def at(self, pointer: str) -> Any:
        """What a reference of the document itself leads to. Raises `UnusableOperation`."""
        if not pointer.startswith("#"):
            raise UnusableOperation("a reference leads out of the document")
        here: Any = self.root
        for part in unquote(pointer[1:]).split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            try:
                here = here[int(name)] if isinstance(here, list) else here[name]
            except (LookupError, TypeError, ValueError):
                raise UnusableOperation("a reference leads nowhere") from None
        return here

    def resolved(self, node: Any) -> dict[str, Any]:
        """An object of the document, at the end of its references. Raises `UnusableOperation`."""
        for _ in range(MAX_HOPS):
            if not isinstance(node, dict):
                raise UnusableOperation("a part of it is no object")
            if not isinstance(node.get("$ref"), str):
                return node
            node = self.at(node["$ref"])
        raise UnusableOperation("its references lead in a circle")


def read_document(data: bytes, sha256: str | None = None) -> Document:
    """The document in these bytes, JSON or YAML. Raises `UnusableDocument`."""
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise UnusableDocument(
            "Its document has not the sha256 that gateway.yaml says. Look at it, then change one of them."
        )
    if len(data) > MAX_BYTES:
        raise UnusableDocument(f"Its document is larger than {MAX_BYTES} bytes.")
    root = _parsed(data)
    version = root.get("openapi")
    if not isinstance(version, str) or not version.startswith(("3.0.", "3.1.")):
        raise UnusableDocument("Its document is not OpenAPI 3.0 or 3.1.")
    line = "3.0.4" if version.startswith("3.0.") else "3.1.1"  # all of a minor version are read alike
    try:
        parse_obj({**root, "openapi": line})
    except ValidationError as error:
        place = "/".join(str(part) for part in error.errors()[0]["loc"][1:6])
        raise UnusableDocument(f"Its document has not the shape of OpenAPI {line[:3]}, at {place[:200]!r}.") from error
    except RecursionError as error:
        raise UnusableDocument("Its document is nested too deeply.") from error
    return Document(root, version[:16], found)


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        root = orjson.loads(data)
    except orjson.JSONDecodeError:
        root = _parsed_yaml(data)
    root = _bounded(root)
    if not isinstance(root, dict):
        raise UnusableDocument("Its document is neither JSON nor YAML of an object.")
    return root


def _parsed_yaml(data: bytes) -> Any:
    if len(data) > MAX_YAML_BYTES:
        raise UnusableDocument(f"Its document is no JSON, and for YAML it is larger than {MAX_YAML_BYTES} bytes.")
    reader = YAML(typ="safe")
    reader.Constructor = _Constructor
    try:
        return reader.load(data)
    except (YAMLError, ValueError, RecursionError) as error:
        raise UnusableDocument("Its document is neither JSON nor YAML.") from error


class _Constructor(SafeConstructor):
    """A merge key (`<<`) copies the members of all that it names: a few lines could name more than memory holds."""

    _merged = 0

    def flatten_mapping(self, node: Any) -> Any:
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                for one in value.value if isinstance(value, SequenceNode) else [value]:
                    if isinstance(one, MappingNode):
                        self.flatten_mapping(one)
                        self._merged += len(one.value)
                    if self._merged > MAX_NODES:
                        raise YAMLError("too much is merged")
        super().flatten_mapping(node)


def _bounded(root: Any) -> Any:
    """A copy that is JSON: YAML's dates become text. Aliases are counted as often as they are used."""
    budget = MAX_NODES

    def copied(node: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0 or depth > MAX_DEPTH:
            raise UnusableDocument("Its document is too large or nested too deeply.")
        if isinstance(node, Mapping):
            return {_name(key): copied(value, depth + 1) for key, value in node.items()}
        if isinstance(node, list):
            return [copied(value, depth + 1) for value in node]
        if isinstance(node, date):  # and datetime, which is one
            return node.isoformat()
        if node is None or isinstance(node, str | int | float):
            return node
        raise UnusableDocument("Its document holds something that JSON has not.")

    return copied(root, 0)


def _name(key: Any) -> str:
    """YAML takes `200:` for a number; in JSON every key is text."""
    if isinstance(key, str):
        return key
    if isinstance(key, bool) or not isinstance(key, int):
        raise UnusableDocument("Its document has a key that is no text.")
    return str(key)
