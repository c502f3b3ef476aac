"""Documents for tests: small ones made here, and a public one."""

import json
from pathlib import Path
from typing import Any

from gateway.adapters.upstream.openapi.document import read_document
from gateway.adapters.upstream.openapi.operations import Offered, Operation, operations_of
from gateway.adapters.upstream.spec import OpenApiSpec

GALAXY = Path(__file__).parents[1] / "vectors" / "openapi" / "galaxy-3.1.json"


def document(paths: dict[str, Any], *, version: str = "3.1.0", **more: Any) -> dict[str, Any]:
    """A document with these paths."""
    return {"openapi": version, "info": {"title": "T", "version": "1"}, "paths": paths, **more}


def operation(**members: Any) -> dict[str, Any]:
    """An operation with what OpenAPI 3.0 wants of each."""
    return {"responses": {"200": {"description": "Good."}}, **members}


def spec(url: str = "http://127.0.0.1:1", **more: Any) -> OpenApiSpec:
    return OpenApiSpec("api", "/nowhere", url, **more)


def offered(source: dict[str, Any], **more: Any) -> Offered:
    """What a document offers."""
    return operations_of(read_document(json.dumps(source).encode()), spec(**more))


def only(source: dict[str, Any], **more: Any) -> Operation:
    """The one operation of a document."""
    found = offered(source, **more)
    assert not found.unusable, found.unusable
    (one,) = found.operations
    return one


def parameter(name: str, place: str, **members: Any) -> dict[str, Any]:
    """A parameter; text unless it says otherwise."""
    schema = {} if "content" in members else {"schema": members.pop("schema", {"type": "string"})}
    return {"name": name, "in": place, **({"required": True} if place == "path" else {}), **schema, **members}
