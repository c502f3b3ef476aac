"""From a document to the tools it offers: one for each operation, with all that a request is made of in its definition.

* the tool's name is the operationId, or made of method and path; where two come out alike, a digest tells them apart
* the method seeds the approval mode: GET, HEAD and OPTIONS read_only, DELETE destructive, all others network
* arguments are the parameters by name, and `body`; names that meet get their place as a suffix
* what carries credentials, names a host or frames a message is no argument, whatever the document says
* method, path and every parameter's place stand in the definition's `_meta`: where a call goes is pinned as well

Sources: OpenAPI 3.0.4 and 3.1.1, parameter objects; RFC 9110.
"""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError

from gateway.adapters.upstream.credentials.spec import StaticSpec
from gateway.adapters.upstream.openapi.document import Document, UnusableDocument, UnusableOperation
from gateway.adapters.upstream.openapi.schemas import Schemas
from gateway.adapters.upstream.spec import OpenApiSpec
from gateway.core.canonical import NotCanonical, canonical
from gateway.core.capability import ApprovalMode, ToolDefinition
from gateway.core.catalog import skeleton
from gateway.core.schema import MAX_SCHEMA_BYTES
from gateway.core.seed import DECLARED

OPERATION = "dev.sealgate/operation"
"""The key in `_meta` of a definition that says which request a call becomes."""

SAFE = frozenset(("get", "head", "options"))
METHODS = ("get", "head", "options", "post", "put", "patch", "delete")
STYLES = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
BODY = "body"
FORM = "application/x-www-form-urlencoded"
KEY_HEADER = "idempotency-key"
NOT_ARGUMENTS = frozenset(
    (
        *("accept", "content-type", "authorization", "proxy-authorization", "proxy-authenticate", "cookie"),
        *("host", "content-length", "transfer-encoding", "content-encoding", "accept-encoding", "connection", "keep-alive"),
        *("te", "trailer", "upgrade", "expect", "via", "forwarded", "proxy-connection", "http2-settings"),
        *("x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url", "x-real-ip"),
    )
)
"""Headers that no caller sets. The first three are none of the document's either (OAS, parameter object)."""

NOT_ARGUMENTS_PREFIX = "x-forwarded-"
METHOD_FIELD = "_method"
"""To many frameworks this field of a form or query is the method, whatever the request's own is."""

MAX_OPERATIONS = 10_000
MAX_SCHEMAS_BYTES = 32 << 20
"""Of all tools together, as canonical bytes: each has a copy of what it refers to, so a small document can ask for much."""

MAX_CPU_SECONDS = 30.0
"""A document of 13 MB takes about one."""

CHOOSE = "Choose some of them: operations, include."
MAX_NAME = 64
MAX_DESCRIPTION = 4_000
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}")
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_LITERAL = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: the argument that fills it, its own name, where it goes and how. `json`: its text is JSON."""

    argument: str
    name: str
    place: str
    style: str
    explode: bool
    json: bool = False

    def document(self) -> dict[str, Any]:
        """As it stands in the definition."""
        how = {"content": "application/json"} if self.json else {"style": self.style, "explode": self.explode}
        return {"argument": self.argument, "name": self.name, "in": self.place, **how}


@dataclass(frozen=True, slots=True)
class Body:
    """A body of this media type: JSON, or a form whose `fields` are written like those of a query, others as usual."""

    media: str
    is_form: bool
    fields: tuple[Parameter, ...] = ()

    def document(self) -> dict[str, Any]:
        """As it stands in the definition."""
        told: dict[str, Any] = {"body": self.media}
        return told | ({"fields": [one.document() for one in self.fields]} if self.fields else {})


@dataclass(frozen=True, slots=True)
class Operation:
    """One tool. `path` is the template, `body` what the argument `body` becomes; `key_header` names a header."""

    definition: ToolDefinition
    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    key_header: str | None

    @property
    def is_safe(self) -> bool:
        """Whether the method says that it changes nothing (RFC 9110 section 9.2.1)."""
        return self.method.lower() in SAFE


@dataclass(frozen=True, slots=True)
class Offered:
    """What a document offers: the tools, and the operations that cannot be one, as `METHOD /path`, with the reason."""

    operations: tuple[Operation, ...]
    unusable: dict[str, str]


def operations_of(document: Document, spec: OpenApiSpec) -> Offered:
    """All operations that `spec` includes. Raises `UnusableDocument` where they are too many, or take too much."""
    reader, began = _Reader(document, spec), time.thread_time()
    found = list(_listed(document))
    looks = Counter(skeleton(_plain_name(method, path, node)) for method, path, _, node in found)
    operations: list[Operation] = []
    unusable: dict[str, str] = {}
    for method, path, item, node in found:
        name = _plain_name(method, path, node)
        if looks[skeleton(name)] > 1 or len(name) > MAX_NAME:
            name = f"{name[: MAX_NAME - 9]}_{hashlib.sha256(f'{method} {path}'.encode()).hexdigest()[:8]}"
        label = f"{method.upper()} {path}"
        if not _matches(spec.include, name, label) or _matches(spec.exclude, name, label):
            continue
        if len(operations) == MAX_OPERATIONS:
            raise UnusableDocument(f"Its document has more than {MAX_OPERATIONS} operations. {CHOOSE}")
        if time.thread_time() - began > MAX_CPU_SECONDS:
            raise UnusableDocument(f"Its document takes more than {MAX_CPU_SECONDS:.0f} s to make tools of. {CHOOSE}")
        try:
            operations.append(reader.operation(name, method, path, item, node))
        except UnusableOperation as error:
            unusable[label] = str(error)
        except ValidationError:
            unusable[label] = "a part of it has not the shape that OpenAPI says"
        except RecursionError:
            unusable[label] = "its schemas are nested too deeply"
    return Offered(tuple(operations), unusable)


def _listed(document: Document) -> Iterator[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Method, path, path item and operation, in the order of the document."""
    paths = document.root.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        if not isinstance(item, dict) or not path.startswith("/"):
            continue  # extensions of the specification
        try:
            item = document.resolved(item)
        except UnusableOperation:
            continue
        for method in METHODS:
            if isinstance(item.get(method), dict):
                yield method, path, item, item[method]


def _plain_name(method: str, path: str, node: dict[str, Any]) -> str:
    said = node.get("operationId")
    text = said if isinstance(said, str) and re.search("[A-Za-z0-9]", said) else f"{method}_{path}"
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("_.-") or method


def _matches(globs: tuple[str, ...], name: str, label: str) -> bool:
    return any(fnmatchcase(label if " " in glob else name, glob) for glob in globs)


class _Reader:
    def __init__(self, document: Document, spec: OpenApiSpec) -> None:
        self._document = document
        self._spec = spec
        own = {("header", name.lower()) for name in (*spec.headers, *_credentials_header(spec), *NOT_ARGUMENTS)}
        own |= {("query", name) for name in (*spec.query, METHOD_FIELD)}
        self._not_arguments = own | set(_credentials(document))
        self._bytes = 0

    def operation(self, name: str, method: str, path: str, item: dict[str, Any], node: dict[str, Any]) -> Operation:
        """One operation. Raises `UnusableOperation`, `ValidationError`, or `UnusableDocument` where all are too much."""
        if "servers" in node or "servers" in item:
            raise UnusableOperation("the document says that it is at another server")
        schemas = Schemas(self._document)
        parameters: list[Parameter] = []
        properties: dict[str, Any] = {}
        required: list[str] = []
        mode = _mode(method)
        key_header = self._spec.idempotency_header if mode.has_effect else None
        told = self._parameters(item, node)
        body, about = self._body(node)
        names = Counter([one.name for one, _ in told] + ([BODY] if body else []))
        for one, raw in told:
            place = str(getattr(one.param_in, "value", one.param_in))
            name_there = one.name.lower() if place == "header" else one.name
            if (place, name_there) == ("header", KEY_HEADER):
                key_header = (key_header or one.name) if mode.has_effect else None
                continue
            if (place, name_there) in self._not_arguments:
                continue
            if place == "header" and (
                name_there.startswith(NOT_ARGUMENTS_PREFIX) or name_there == (key_header or "").lower()
            ):
                continue
            if place == "header" and _TOKEN.fullmatch(one.name) is None:
                raise UnusableOperation("a header has a name that none can have")
            argument = _argument(one.name if names[one.name] == 1 else f"{one.name}_{place}", properties)
            parameter, schema = _parameter(argument, place, one, raw)
            parameters.append(parameter)
            properties[argument] = _described(schemas.converted(schema), one.description)
            if one.required or place == "path":
                required.append(argument)
        if body is not None:
            if BODY in properties:
                raise UnusableOperation("a parameter takes the name of its body")
            properties[BODY] = _described(schemas.converted(about["schema"]), about["description"])
            if about["required"]:
                required.append(BODY)
        _check_path(path, parameters)
        schema, size = _input_schema(properties, required, schemas)
        self._bytes += size
        if self._bytes > MAX_SCHEMAS_BYTES:
            raise UnusableDocument(f"The schemas of its tools are larger than {MAX_SCHEMAS_BYTES} bytes. {CHOOSE}")
        definition = self._definition(name, method, path, node, mode, schema, parameters, body, key_header)
        return Operation(definition, method.upper(), path, tuple(parameters), body, key_header)

    def _parameters(self, item: dict[str, Any], node: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
        """Those of the operation go before those of its path. Each as openapi-pydantic has it, and as it is written."""
        found: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}
        for holder in (item, node):
            for raw in holder.get("parameters") or ():
                raw = self._document.resolved(raw)
                one = self._document.shapes.Parameter.model_validate(raw)
                found[str(getattr(one.param_in, "value", one.param_in)), one.name] = one, raw
        return list(found.values())

    def _body(self, node: dict[str, Any]) -> tuple[Body | None, dict[str, Any]]:
        """What the body becomes, and its schema, description and whether it is required."""
        if "requestBody" not in node:
            return None, {}
        raw = self._document.resolved(node["requestBody"])
        one = self._document.shapes.RequestBody.model_validate(raw)
        kinds = sorted(filter(_is_json, one.content), key=lambda kind: kind.lower() != "application/json")
        forms = [kind for kind in one.content if kind.lower() == FORM]
        if not kinds and not forms:
            raise UnusableOperation("its body is neither JSON nor a form")
        media = (kinds or forms)[0]
        content = self._document.resolved(raw["content"][media])
        about = {"schema": content.get("schema", {}), "description": one.description, "required": one.required}
        if kinds:
            return Body(media, is_form=False), about
        if self._document.resolved(about["schema"]).get("type") != "object":
            raise UnusableOperation("its form is no object")
        encodings = one.content[media].encoding or {}
        return Body(media, is_form=True, fields=tuple(_field(name, how) for name, how in encodings.items())), about

    def _definition(
        self,
        name: str,
        method: str,
        path: str,
        node: dict[str, Any],
        mode: ApprovalMode,
        schema: dict[str, Any],
        parameters: list[Parameter],
        body: Body | None,
        key_header: str | None,
    ) -> ToolDefinition:
        texts = [node.get("summary"), node.get("description")]
        said = "\n\n".join(dict.fromkeys(text.strip() for text in texts if isinstance(text, str) and text.strip()))
        request: dict[str, Any] = {"method": method.upper(), "path": path}
        if parameters:
            request["parameters"] = [one.document() for one in parameters]
        request |= {} if body is None else body.document()
        request |= {} if key_header is None else {"idempotency_header": key_header}
        document = {
            "name": name,
            "description": (said or f"{method.upper()} {path}")[:MAX_DESCRIPTION],
            "inputSchema": schema,
            "annotations": {"readOnlyHint": not mode.has_effect, "destructiveHint": mode is ApprovalMode.DESTRUCTIVE},
            "_meta": {DECLARED: {"mode": mode.value}, OPERATION: request},
        }
        try:
            return ToolDefinition.from_document(self._spec.name, document)
        except NotCanonical as error:
            raise UnusableOperation("a number or text in it has no canonical form") from error


def _credentials(document: Document) -> Iterator[tuple[str, str]]:
    """Places of the document's own credentials: an API key is the gateway's to send, never an argument."""
    components = document.root.get("components")
    schemes = components.get("securitySchemes") if isinstance(components, dict) else None
    for raw in schemes.values() if isinstance(schemes, dict) else ():
        try:
            scheme = document.resolved(raw)
        except UnusableOperation:
            continue
        name, place = scheme.get("name"), scheme.get("in")
        if scheme.get("type") == "apiKey" and isinstance(name, str) and isinstance(place, str):
            yield place, name.lower() if place == "header" else name


def _mode(method: str) -> ApprovalMode:
    if method in SAFE:
        return ApprovalMode.READ_ONLY
    return ApprovalMode.DESTRUCTIVE if method == "delete" else ApprovalMode.NETWORK


def _credentials_header(spec: OpenApiSpec) -> tuple[str, ...]:
    """The header that the gateway's credentials stand in, beside Authorization."""
    return (spec.credentials.header,) if isinstance(spec.credentials, StaticSpec) else ()


def _argument(name: str, taken: dict[str, Any]) -> str:
    """A name that every client takes: providers of models allow letters, digits, `_`, `.` and `-`, 64 of them."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:MAX_NAME] or "argument"
    numbered = (f"{plain[: MAX_NAME - 4]}_{number}" for number in range(2, 1000))
    for candidate in (plain, *numbered):
        if candidate not in taken:
            return candidate
    raise UnusableOperation("it has too many parameters of one name")


def _parameter(argument: str, place: str, one: Any, raw: dict[str, Any]) -> tuple[Parameter, Any]:
    """The parameter, and its schema as written."""
    if one.content:
        ((kind, content),) = raw["content"].items() if len(raw["content"]) == 1 else ((None, None),)
        if kind is None or not _is_json(kind) or not isinstance(content, dict):
            raise UnusableOperation(f"its parameter {one.name!r} has content that is not JSON")
        return Parameter(argument, one.name, place, "simple", explode=False, json=True), content.get("schema", {})
    style = one.style or STYLES[place][0]
    if style not in STYLES[place]:
        raise UnusableOperation(f"its parameter {one.name!r} has a style that it cannot have there")
    explode = raw.get("explode")
    return (
        Parameter(argument, one.name, place, style, explode=style == "form" if explode is None else explode is True),
        raw.get("schema", {}),
    )


def _field(name: str, how: Any) -> Parameter:
    """A field of a form that the document says more about."""
    style = how.style or "form"
    if style not in STYLES["query"]:
        raise UnusableOperation("a field of its form has a style that it cannot have")
    explode = style == "form" if how.explode is None else how.explode
    return Parameter(BODY, name, "form", style, explode, json=how.style is None and _is_json(how.contentType or ""))


def _described(schema: Any, description: str | None) -> Any:
    """A parameter's own description goes before that of its schema."""
    if not description or not isinstance(schema, dict):
        return schema
    return {**schema, "description": description[:MAX_DESCRIPTION]}


def _input_schema(properties: dict[str, Any], required: list[str], schemas: Schemas) -> tuple[dict[str, Any], int]:
    """The schema and its size as canonical bytes."""
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = required
    if schemas.definitions:
        schema["$defs"] = schemas.definitions
    try:
        size = len(canonical(schema))
    except NotCanonical as error:
        raise UnusableOperation("a number or text in its schema has no canonical form") from error
    if size > MAX_SCHEMA_BYTES:
        raise UnusableOperation(f"its schema is larger than {MAX_SCHEMA_BYTES} bytes")
    return schema, size


def _check_path(path: str, parameters: list[Parameter]) -> None:
    """Every variable of the template has a parameter and the other way round; what stands around them is plain."""
    variables = _VARIABLE.findall(path)
    named = [one.name for one in parameters if one.place == "path"]
    if sorted(variables) != sorted(named) or len(set(variables)) != len(variables):
        raise UnusableOperation("the variables of its path are not its path parameters")
    literal = _VARIABLE.sub("", path)
    if _LITERAL.fullmatch(literal) is None or any(part in (".", "..") for part in path.split("/")):
        raise UnusableOperation("its path is not that of an address")


def _is_json(kind: str) -> bool:
    plain = kind.partition(";")[0].strip().lower()
    return re.fullmatch(r"application/(json|[a-z0-9.-]+\+json)", plain) is not None and "\n" not in kind and "\r" not in kind
