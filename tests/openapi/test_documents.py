"""Which documents are read, what of them becomes a tool, and what is refused with a reason."""

import json
from typing import Any

import pytest

from gateway.adapters.catalogue import shape_problem
from gateway.adapters.upstream.openapi.document import UnusableDocument, read_document
from gateway.adapters.upstream.openapi.operations import FORM, OPERATION, operations_of
from gateway.core.canonical import canonical
from gateway.core.capability import ApprovalMode, DeclaredBy
from gateway.core.catalog import build_catalog
from gateway.core.schema import ArgumentSchema
from gateway.core.seed import DECLARED, Believed
from gateway.core.sensitive import KEYWORD
from tests.openapi.documents import GALAXY, document, offered, only, operation, parameter, spec

BODY = {"content": {"application/json": {"schema": {"type": "object"}}}}


def test_a_public_document_becomes_tools_with_seeded_modes_that_the_catalogue_takes() -> None:
    found = operations_of(read_document(GALAXY.read_bytes()), spec())
    definitions = [one.definition for one in found.operations]
    pins = {one.capability_id: one.digest for one in definitions}
    catalog = build_catalog(
        definitions, (), pins, believed={"api": Believed(DeclaredBy.METHOD, "space")}, shape=shape_problem
    )
    assert not catalog.hidden
    assert {name: one.mode.value for name, one in catalog.capabilities.items()} == {
        "api__getAllData": "read_only",
        "api__getPlanet": "read_only",
        "api__getMe": "read_only",
        "api__createPlanet": "network",
        "api__updatePlanet": "network",
        "api__createCelestialBody": "network",
        "api__createUser": "network",
        "api__getToken": "network",
        "api__deletePlanet": "destructive",
    }
    assert {one.classification.owner for one in catalog.capabilities.values()} == {"space"}
    assert found.unusable == {"POST /planets/{planetId}/image": "its body is neither JSON nor a form"}


def test_the_same_document_in_json_and_in_yaml_makes_the_same_definitions() -> None:
    source = document({"/a": {"get": operation(operationId="look", parameters=[parameter("x", "query")])}})
    yaml = b"""
openapi: 3.1.0
info: {title: T, version: '1'}
paths:
  /a:
    get:
      responses: {200: {description: Good.}}
      operationId: look
      parameters: [{name: x, in: query, schema: {type: string}}]
"""
    in_yaml = operations_of(read_document(yaml), spec())
    assert [one.definition.digest for one in in_yaml.operations] == [only(source).definition.digest]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "neither JSON nor YAML"),
        (b"[]", "neither JSON nor YAML of an object"),
        (b"{", "neither JSON nor YAML"),
        (b"a: &a [*a]", "too large or nested"),
        (b"openapi: !!python/object:os.system {}", "neither JSON nor YAML"),
        (b'{"swagger": "2.0"}', "not OpenAPI 3.0 or 3.1"),
        (b'{"openapi": "4.0.0"}', "not OpenAPI 3.0 or 3.1"),
        (b'{"openapi": 3.1}', "not OpenAPI 3.0 or 3.1"),
        (b'{"openapi": "3.1.0", "info": {}, "paths": {}}', "has not the shape"),
        (b'{"openapi": "3.1.0", "info": {"title": "", "version": ""}, "paths": {"/a": {"get": 1}}}', "has not the shape"),
        (b"[" * 1_000, "neither JSON nor YAML"),
    ],
)
def test_a_document_that_is_none_is_refused_with_a_fixed_sentence(data: bytes, why: str) -> None:
    with pytest.raises(UnusableDocument, match=why):
        read_document(data)


def test_yaml_that_grows_by_aliases_is_refused_before_it_has_grown() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" if n else f"l{n}: &l{n} [x]" for n in range(12)]
    with pytest.raises(UnusableDocument, match="too large or nested"):
        read_document("\n".join(levels).encode())


def test_a_document_with_another_digest_than_the_pinned_one_is_refused() -> None:
    data = json.dumps(document({})).encode()
    assert read_document(data, read_document(data).sha256).version == "3.1.0"
    with pytest.raises(UnusableDocument, match="sha256"):
        read_document(data + b"\n", read_document(data).sha256)


@pytest.mark.parametrize(
    ("method", "mode"),
    [
        ("get", ApprovalMode.READ_ONLY),
        ("head", ApprovalMode.READ_ONLY),
        ("options", ApprovalMode.READ_ONLY),
        ("post", ApprovalMode.NETWORK),
        ("put", ApprovalMode.NETWORK),
        ("patch", ApprovalMode.NETWORK),
        ("delete", ApprovalMode.DESTRUCTIVE),
    ],
)
def test_the_method_seeds_the_mode(method: str, mode: ApprovalMode) -> None:
    meta = only(document({"/a": {method: operation()}})).definition.document["_meta"]
    assert (meta[DECLARED], meta[OPERATION]) == ({"mode": mode.value}, {"method": method.upper(), "path": "/a"})


def test_trace_is_never_offered() -> None:
    assert offered(document({"/a": {"trace": operation()}})).operations == ()


def changed(**members: Any) -> str:
    one = parameter("id", "query", style="form", explode=True) | members
    return only(document({"/a": {"get": operation(operationId="look", parameters=[one])}})).definition.digest


@pytest.mark.parametrize("members", [{"explode": False}, {"in": "header", "style": "simple"}, {"description": "Else."}])
def test_where_an_argument_goes_is_a_part_of_the_definition(members: dict[str, Any]) -> None:
    assert changed() == changed()
    assert changed(**members) != changed()


def test_another_path_or_method_is_another_definition() -> None:
    look = operation(operationId="look", summary="Look.")
    digests = {
        only(document({path: {method: look}})).definition.digest for path in ("/a", "/b") for method in ("get", "head")
    }
    assert len(digests) == 4


def test_names_are_plain_and_those_that_come_out_alike_are_told_apart_whatever_the_order() -> None:
    paths = {
        "/a": {"get": operation(operationId="pets/list all"), "post": operation()},
        "/b": {"get": operation(operationId="Pets_list-all")},
        "/{id}/c": {"get": operation(operationId="x" * 100, parameters=[parameter("id", "path")])},
    }
    names = [one.definition.name for one in offered(document(paths)).operations]
    assert names[1] == "post_a"
    assert sorted(names) == sorted(
        one.definition.name for one in offered(document(dict(reversed(paths.items())))).operations
    )
    assert len(set(names)) == 4
    assert all(len(name) <= 64 and name.isascii() and "/" not in name and " " not in name for name in names)


def test_globs_choose_by_name_or_by_method_and_path() -> None:
    paths = {
        "/users": {"get": operation(operationId="listUsers"), "post": operation(operationId="addUser")},
        "/users/all": {"delete": operation(operationId="dropUsers")},
        "/logs": {"get": operation(operationId="listLogs")},
    }

    def names(**globs: Any) -> list[str]:
        return [one.definition.name for one in offered(document(paths), **globs).operations]

    assert names(include=("list*",)) == ["listUsers", "listLogs"]
    assert names(include=("GET /users*", "addUser")) == ["listUsers", "addUser"]
    assert names(exclude=("DELETE *", "listLogs")) == ["listUsers", "addUser"]


def test_arguments_that_meet_get_their_place_and_names_that_clients_do_not_take_are_made_plain() -> None:
    parameters = [
        parameter("id", "path"),
        parameter("id", "query"),
        parameter("body", "query"),
        parameter("filter[name]", "query"),
        parameter("filter_name_", "header"),
    ]
    one = only(document({"/{id}": {"post": operation(parameters=parameters, requestBody=BODY)}}))
    arguments = {(parameter.place, parameter.name): parameter.argument for parameter in one.parameters}
    assert arguments == {
        ("path", "id"): "id_path",
        ("query", "id"): "id_query",
        ("query", "body"): "body_query",
        ("query", "filter[name]"): "filter_name_",
        ("header", "filter_name_"): "filter_name__2",
    }
    assert set(one.definition.document["inputSchema"]["properties"]) == {*arguments.values(), "body"}


def test_parameters_of_the_path_hold_for_its_operations_which_may_say_otherwise() -> None:
    item = {
        "parameters": [parameter("a", "query"), parameter("b", "query")],
        "get": operation(parameters=[parameter("a", "query", required=True, schema={"type": "integer"})]),
    }
    schema = only(document({"/x": item})).definition.document["inputSchema"]
    assert schema["properties"] == {"a": {"type": "integer"}, "b": {"type": "string"}}
    assert schema["required"] == ["a"]


HEADERS = (
    *("Authorization", "Cookie", "Host", "Content-Length", "Transfer-Encoding", "Content-Type", "Accept", "Connection"),
    *("X-Api-Key", "Proxy-Authorization", "Forwarded", "x-mine", "X-HTTP-Method-Override", "X-Original-URL"),
    "X-Forwarded-Host",
)


def test_credentials_and_what_frames_a_message_are_no_arguments() -> None:
    schemes = {
        "a": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        "b": {"type": "apiKey", "in": "query", "name": "api_key"},
        "c": {"type": "apiKey", "in": "cookie", "name": "session"},
    }
    parameters = [
        *(parameter(name, "header", required=True) for name in HEADERS),
        parameter("api_key", "query", required=True),
        parameter("_method", "query"),
        parameter("session", "cookie"),
        parameter("signature", "query"),
        parameter("kept", "query"),
    ]
    source = document({"/a": {"get": operation(parameters=parameters)}}, components={"securitySchemes": schemes})
    schema = only(source, headers={"X-Mine": "1"}, query={"signature": "2"}).definition.document["inputSchema"]
    assert schema == {"type": "object", "properties": {"kept": {"type": "string"}}, "additionalProperties": False}


def tree(version: str) -> dict[str, Any]:
    node = {
        "type": "object",
        "required": ["id", "name"],
        "properties": {
            "id": {"type": "integer", "readOnly": True},
            "name": {"type": "string", "example": "oak", "xml": {"name": "n"}, "x-order": 1},
            "password": {"type": "string", "format": "password"},
            "secret": {"type": "string", "writeOnly": True},
            "count": {"type": "integer", "maximum": 9223372036854775807, "minimum": 0},
            "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        },
        "discriminator": {"propertyName": "name"},
    }
    body = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    return document({"/a": {"post": operation(requestBody=body)}}, version=version, components={"schemas": {"Node": node}})


@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_a_schema_becomes_plain_json_schema_with_circles_left_as_they_are(version: str) -> None:
    schema = only(tree(version)).definition.document["inputSchema"]
    assert schema["properties"] == {"body": {"$ref": "#/$defs/Node"}}
    node = schema["$defs"]["Node"]
    assert node["required"] == ["name"]
    assert node["properties"]["name"] == {"type": "string"}
    assert node["properties"]["count"] == {"type": "integer", "minimum": 0}
    assert node["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Node"}}
    assert "id" not in node["properties"]
    assert node["properties"]["password"][KEYWORD] is node["properties"]["secret"][KEYWORD] is True
    checked = ArgumentSchema(schema)
    assert not checked.problems({"body": {"name": "oak", "children": [{"name": "elm"}]}})
    assert checked.problems({"body": {"name": "oak", "children": [{"name": 1}]}})


def test_what_openapi_3_0_says_in_its_own_way_is_said_as_json_schema_says_it() -> None:
    schema = {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 9,
        "exclusiveMaximum": False,
        "nullable": True,
    }
    parameters = [
        parameter("x", "query", schema=schema),
        parameter("y", "query", schema={"type": "string", "enum": ["a"], "nullable": True}),
    ]
    found = only(document({"/a": {"get": operation(parameters=parameters)}}, version="3.0.0")).definition.document[
        "inputSchema"
    ]
    assert found["properties"] == {
        "x": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 9},
        "y": {"type": ["string", "null"], "enum": ["a", None]},
    }  # fmt: skip


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


WITH_SERVER = {"get": operation(servers=[{"url": "https://evil.example"}])}


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (WITH_SERVER, "another server"),
        ({**WITH_SERVER, "get": operation(), "servers": [{"url": "https://evil.example"}]}, "another server"),
        ({"get": operation(parameters=[{"$ref": "https://evil.example/p.json"}])}, "leads out of the document"),
        ({"get": operation(parameters=[{"$ref": "#/components/parameters/none"}])}, "leads nowhere"),
        ({"get": operation(parameters=[{"$ref": "#/components/parameters/circle"}])}, "in a circle"),
        ({"get": operation(parameters=[{"$ref": "#/info"}])}, "has not the shape"),
        ({"get": operation(parameters=[parameter("a", "query", schema={"$ref": "other.json#/A"})])}, "leads out of"),
        ({"get": operation(parameters=[parameter("a", "query", schema={"$id": "x"})])}, "has \\$id"),
        ({"get": operation(parameters=[parameter("a", "query", schema={"$dynamicRef": "#x"})])}, "has \\$dynamicRef"),
        ({"get": operation(parameters=[parameter("a", "query", style="matrix")])}, "a style that it cannot have"),
        ({"get": operation(parameters=[parameter("a b", "header")])}, "a name that none can have"),
        ({"get": operation(parameters=[parameter("a\r\nB", "header")])}, "a name that none can have"),
        ({"get": operation(parameters=[parameter("a", "path")])}, "variables of its path"),
        ({"get": operation(parameters=[parameter("a", "query", content={"text/xml": {}})])}, "not JSON"),
        ({"get": operation(parameters=[parameter("a", "query", schema={"enum": [2**60]})])}, "no canonical form"),
        ({"post": operation(requestBody={"content": {"application/xml": {}}})}, "neither JSON nor a form"),
        (
            {"post": operation(requestBody={"content": {FORM: {"schema": {"type": "array"}}}})},
            "form is no object",
        ),
        ({"post": operation(requestBody={"content": {"application/json\r\nX: y": {}}})}, "neither JSON nor a form"),
    ],
)  # fmt: skip
def test_an_operation_that_cannot_be_a_tool_is_left_out_and_the_reason_is_told(item: dict[str, Any], why: str) -> None:
    circle = {"parameters": {"circle": {"$ref": "#/components/parameters/circle"}}}
    found = offered(document({"/a": item, "/good": {"get": operation(operationId="good")}}, components=circle))
    assert [one.definition.name for one in found.operations] == ["good"]
    (told,) = found.unusable.values()
    assert why.replace("\\", "") in told


@pytest.mark.parametrize(
    "path", ["/a?b=c", "/a#b", "/../a", "/./a", "/a b", "/a/{x}/{x}", "/é", "/a\r\nb", "/{x}{", "/a\\b"]
)
def test_a_path_that_is_none_is_left_out(path: str) -> None:
    parameters = [parameter("x", "path")] if "{x}" in path else []
    found = offered(document({path: {"get": operation(parameters=parameters)}}))
    assert not found.operations
    assert len(found.unusable) == 1


def test_a_schema_too_large_is_left_out() -> None:
    found = offered(
        document({"/a": {"get": operation(parameters=[parameter("x", "query", schema={"enum": ["x" * 300_000]})])}})
    )
    assert list(found.unusable.values()) == ["its schema is larger than 262144 bytes"]


def test_every_definition_has_a_canonical_form() -> None:
    for one in operations_of(read_document(GALAXY.read_bytes()), spec()).operations:
        assert canonical(one.definition.document)
