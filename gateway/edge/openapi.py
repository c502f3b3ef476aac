"""The OpenAPI 3.1 document of `/api/v1`, made of the table of routes that serves it.

What is not for the network is not in it. Source: https://spec.openapis.org/oas/v3.1.1.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway import __version__
from gateway.core import wire
from gateway.edge import api_told as told
from gateway.edge.api_route import PREFIX, AnyCaller, ApiRoute, Asked, For, Nothing, SocketOnly
from gateway.edge.api_sent import JSON_NAME, JSON_SCHEMA

PATH = f"{PREFIX}/openapi.json"

Document = dict[str, Any]

_REF = "#/components/schemas/{model}"
_REFUSALS = {
    400: "The body is no acceptable JSON",
    401: "No token, or one that is not known",
    403: "The caller has none of the roles, is of another tenant, or the request comes from a web page of another origin",
    404: "There is no such thing",
    405: "The path is there for other methods, which the header Allow names",
    408: "The body did not come in time",
    409: "It does not fit what is there now; the code says why",
    413: f"The body has more than {wire.MAX_BYTES} bytes",
    415: "The body is not sent as application/json",
    421: "The gateway does not answer to this Host",
    422: "The query or the body is not of its form, or what it holds is not acceptable",
    429: "Too many requests, or refused logins",
    503: "The gateway cannot do this now",
}
_OF_ANY = (401, 403, 421, 422, 429, 503)
_OF_A_BODY = (400, 408, 413, 415)


def document_route(routes: Iterable[ApiRoute[Any, Any]]) -> ApiRoute[Any, Any]:
    """The route that serves the document of these routes, and of itself."""
    known = list(routes)
    made: Document = {}

    async def handle(asked: Asked[Nothing, Nothing]) -> Document:
        return made

    summary = "This document"
    route = ApiRoute("GET", PATH, AnyCaller(), summary, Nothing, Nothing, told.OpenApiDocument, handle)
    made.update(api_document([*known, route]))
    return route


def api_document(routes: Iterable[ApiRoute[Any, Any]]) -> Document:
    """The document of those routes that are there over HTTP."""
    served = [route for route in routes if not isinstance(route.access, SocketOnly)]
    models: set[type[BaseModel]] = {told.Refusal, *(route.body for route in served if route.method == "POST")}
    models |= {route.answers for route in served if not isinstance(route.answers, str)}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=_model_name)], ref_template=_REF
    )
    paths: dict[str, Document] = {}
    for route in served:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sealgate",
            "version": __version__,
            "summary": "What operators, approvers and auditors may ask of a running gateway",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The gateway that serves this document"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "The token of a caller in gateway.yaml"}
            },
            "schemas": {**definitions["$defs"], JSON_NAME: JSON_SCHEMA},
            "responses": {str(status): _refusal(text) for status, text in _REFUSALS.items()},
        },
    }


def _operation(route: ApiRoute[Any, Any]) -> Document:
    statuses = {*_OF_ANY, *route.refusals, *(_OF_A_BODY if route.method == "POST" else ())}
    operation: Document = {
        "operationId": _name(route),
        "summary": route.summary,
        "tags": [route.path.removeprefix(f"{PREFIX}/").partition("/")[0]],
        **_who(route),
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query)],
        "responses": {
            "200": {"description": "Done", "content": _content(route.answers)},
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)},
        },
    }
    if route.method == "POST":
        operation["requestBody"] = {"required": True, "content": _content(route.body)}
    return operation


def _who(route: ApiRoute[Any, Any]) -> Document:
    match route.access:
        case For(roles=roles):
            names = sorted(roles)
            return {"description": f"For the role {' or '.join(names)}.", "x-sealgate-roles": names}
        case _:
            return {"description": "For every caller.", "x-sealgate-roles": []}


def _name(route: ApiRoute[Any, Any]) -> str:
    words = re.findall("[a-z0-9]+", route.path.removeprefix(PREFIX))
    return "_".join([route.method.lower(), *words])


def _path_parameters(path: str) -> list[Document]:
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in re.findall(r"{(\w+)}", path)]


def _query_parameters(model: type[BaseModel]) -> list[Document]:
    schema = model.model_json_schema()
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            "schema": _of_a_query(found),
            **({"description": found["description"]} if "description" in found else {}),
        }
        for name, found in schema.get("properties", {}).items()
    ]


def _of_a_query(schema: Mapping[str, Any]) -> Document:
    """A query has no null: a parameter is there or not."""
    found = {name: value for name, value in schema.items() if name not in ("title", "description")}
    if "anyOf" in found:
        (one,) = (kind for kind in found.pop("anyOf") if kind != {"type": "null"})
        found |= one
    if found.get("default", 0) is None:
        del found["default"]
    return found


def _content(kind: type[BaseModel] | str) -> Document:
    if kind == "text/plain":
        return {kind: {"schema": {"type": "string"}}}
    if isinstance(kind, str):
        return {kind: {}}
    return {"application/json": {"schema": {"$ref": _REF.format(model=kind.__name__)}}}


def _model_name(model: type[BaseModel]) -> str:
    return model.__name__


def _refusal(text: str) -> Document:
    return {"description": text, "content": _content(told.Refusal)}
