"""From an operation and the arguments of a call to one HTTP request. Pure: the same arguments always make the same bytes.

An argument stays where the document puts it:

* in a path it fills its place and no more. It is percent-encoded; empty, `.` and `..` are refused, and so is a slash, which
  many servers take for one even where it is encoded, unless the operator says that this one does not
* in a query or form an object's members may not take the name of another parameter, or of the gateway's credentials, nor say
  the method (`_method`), which many frameworks would believe; some do in a JSON body, too
* in a header it holds no line break and nothing else that a header cannot carry
* `allowReserved` is not honoured: all is encoded, which every server decodes

Sources: OpenAPI 3.1.1 "Style Values"; RFC 3986; RFC 6570; RFC 9110 section 5.5.
"""

import hashlib
import re
import uuid
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

import orjson

from gateway.adapters.upstream.openapi.operations import BODY, METHOD_FIELD, Body, Operation, Parameter
from gateway.adapters.upstream.spec import OpenApiSpec
from gateway.core.call import IdempotencyKey

_HEADER_TEXT = re.compile(r"[\x20-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Pairs = list[tuple[str, str]]


class Unsendable(Exception):
    """These arguments make no request. The text names the argument, never its value."""


@dataclass(frozen=True, slots=True)
class Request:
    """`url` is whole and encoded. `headers` hold the gateway's credentials: they are not logged."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


def request_of(operation: Operation, spec: OpenApiSpec, arguments: bytes, key: str | None) -> Request:
    """The request. `arguments` are JSON bytes, `key` the value of the idempotency header. Raises `Unsendable`."""
    given: dict[str, Any] = orjson.loads(arguments)
    path = operation.path
    query: Pairs = []
    cookies: Pairs = []
    headers: dict[str, str] = {}
    for one in operation.parameters:
        value = given.get(one.argument)
        if value is None:
            if one.place == "path":
                raise Unsendable(f"{one.argument}: a part of the path cannot be left out")
            continue
        match one.place:
            case "path":
                path = path.replace("{" + one.name + "}", _in_path(one, value, slashes=spec.encoded_slashes))
            case "query":
                others = {other.name for other in operation.parameters if other.place == "query"} | spec.query.keys()
                query += _in_query(one, value, others - {one.name})
            case "cookie":
                cookies += _in_cookie(one, value)
            case _:
                headers[one.name.lower()] = _in_header(one, value)
    _check_segments(operation.path, path)
    query += list(spec.query.items())
    if cookies:
        headers["cookie"] = "; ".join(f"{_encoded(name)}={value}" for name, value in cookies)
    body = None
    if operation.body is not None and BODY in given:
        body = _form(operation.body, given[BODY]) if operation.body.is_form else _json(given[BODY])
        headers["content-type"] = operation.body.media
    if operation.key_header is not None and key is not None:
        headers[operation.key_header.lower()] = key
    headers |= {name.lower(): value for name, value in spec.headers.items()}
    headers |= {"accept": "application/json, text/*;q=0.8, */*;q=0.1", "accept-encoding": "identity"}
    text = "&".join(f"{_encoded(name)}={value}" for name, value in query)
    return Request(operation.method, f"{spec.url}{path}{'?' if text else ''}{text}", headers, body)


def key_value(key: IdempotencyKey | None, fingerprint: str, envelope_id: str) -> str:
    """What the idempotency header says: the same for the same call under a client's key, new for each call without one.

    A derived key stands for a call for a while only: the API might remember it for longer, and then take an effect that is
    meant for one it has done.
    """
    counted = envelope_id if key is None or key.derived else f"{key.reservation}\n{fingerprint}"
    digest = hashlib.sha256(f"sealgate idempotency header\n{counted}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))  # in the form that most APIs want


def _in_path(one: Parameter, value: Any, *, slashes: bool) -> str:
    texts = _texts(one, value)
    for text in texts:
        if text == "":
            raise Unsendable(f"{one.argument}: a part of the path cannot be empty")
        if _CONTROL.search(text):
            raise Unsendable(f"{one.argument}: a part of the path cannot hold control characters")
        if not slashes and re.search(r"[/\\]", text):
            raise Unsendable(f"{one.argument}: a part of the path cannot hold a slash")
    if one.json:
        return _encoded(texts[0])
    separator = {"simple": ",", "label": "." if one.explode else ",", "matrix": ","}[one.style]
    name = _encoded(one.name)
    if isinstance(value, dict):
        parts = [f"{_encoded(key)}={_encoded(_text(one, item))}" for key, item in value.items()]
        if not one.explode:
            parts = [part for key, item in value.items() for part in (_encoded(key), _encoded(_text(one, item)))]
        if one.style == "matrix" and one.explode:
            return "".join(f";{part}" for part in parts)
    else:
        parts = [_encoded(text) for text in texts]
        if one.style == "matrix" and one.explode:
            return "".join(f";{name}={part}" for part in parts)
    joined = separator.join(parts)
    if not joined:
        raise Unsendable(f"{one.argument}: a part of the path cannot be empty")
    return {"simple": joined, "label": f".{joined}", "matrix": f";{name}={joined}"}[one.style]


def _check_segments(template: str, path: str) -> None:
    """No segment became one that leads elsewhere, whatever a server decodes of it."""
    if path.count("/") != template.count("/"):
        raise Unsendable("an argument of the path changes how many parts it has")
    for segment in path.split("/")[1:]:
        for part in re.split(r"[/\\]", unquote(segment)):
            if part in (".", "..") or (part == "" and segment != ""):
                raise Unsendable("an argument of the path leads to another path")


def _json(value: Any) -> bytes:
    if isinstance(value, dict) and any(name.casefold() == METHOD_FIELD for name in value):
        raise Unsendable(f"{BODY}: a body cannot say {METHOD_FIELD}")  # to Laravel it is the method of a POST
    return orjson.dumps(value)


def _form(body: Body, value: Any) -> bytes:
    """A form (application/x-www-form-urlencoded), its fields in the order of the names that RFC 8785 gives them."""
    if not isinstance(value, dict):
        raise Unsendable(f"{BODY}: a form is an object")
    said = {one.name: one for one in body.fields}
    pairs: Pairs = []
    for name, item in value.items():
        if item is not None:
            one = said.get(name) or Parameter(BODY, name, "form", "form", explode=True)
            if METHOD_FIELD in _read_as(name):
                raise Unsendable(f"{BODY}: a form cannot say {METHOD_FIELD}")
            pairs += _in_query(one, item, value.keys() - {name})
    return "&".join(f"{_encoded(name)}={text}" for name, text in pairs).encode()


def _in_query(one: Parameter, value: Any, others: Collection[str]) -> Pairs:
    """Names as they are, values encoded. `others`: what no member of an object may be taken for."""
    if one.json or not isinstance(value, list | dict):
        return [(one.name, _encoded(_texts(one, value)[0]))]
    if isinstance(value, dict):
        members = {key: _encoded(_text(one, item)) for key, item in value.items()}
        if one.style == "deepObject":
            members = {f"{one.name}[{key}]": text for key, text in members.items()}
            taken = members.keys() & others
        elif one.explode and one.style == "form":
            taken = _all_read_as(members) & _all_read_as((*others, METHOD_FIELD))
        else:
            parts = [part for key, text in members.items() for part in (_encoded(key), text)]
            return [(one.name, _joined(one, parts))]
        if taken:
            raise Unsendable(f"{one.argument}: a member has the name of another parameter")
        return list(members.items())
    parts = [_encoded(text) for text in _texts(one, value)]
    if one.style == "deepObject":
        raise Unsendable(f"{one.argument}: a list has no form in this style")
    return [(one.name, part) for part in parts] if one.explode else [(one.name, _joined(one, parts))]


def _joined(one: Parameter, parts: list[str]) -> str:
    return {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}[one.style].join(parts)


def _all_read_as(names: Iterable[str]) -> set[str]:
    return set[str]().union(*map(_read_as, names))


def _read_as(name: str) -> set[str]:
    """What the loosest servers take a name for.

    `Key[]`, `key.x` and ` KEY` are all the parameter `key` to some, and `[key]` to Rack and qs. To PHP a name ends at a NUL,
    and a dot or blank in it is an underscore: `.method` is `_method`.
    """
    plain = name.partition("\0")[0].strip().casefold()
    parts = [part for part in re.split(r"[\[\].]", plain) if part]
    return {*parts[:1], re.sub(r"[ .]", "_", plain.partition("[")[0])}


def _in_cookie(one: Parameter, value: Any) -> Pairs:
    if isinstance(value, list | dict) and not one.json:
        if one.explode:
            raise Unsendable(f"{one.argument}: a list or object has no form in a cookie")
        parts = value if isinstance(value, list) else [part for pair in value.items() for part in pair]
        return [(one.name, ",".join(_encoded(_text(one, part)) for part in parts))]
    return [(one.name, _encoded(_texts(one, value)[0]))]


def _in_header(one: Parameter, value: Any) -> str:
    if isinstance(value, dict) and not one.json:
        pairs = ((key, _text(one, item)) for key, item in value.items())
        text = ",".join(f"{key}={item}" if one.explode else f"{key},{item}" for key, item in pairs)
    else:
        text = ",".join(_texts(one, value))
    if _HEADER_TEXT.fullmatch(text) is None:
        raise Unsendable(f"{one.argument}: a header cannot hold line breaks or characters beyond ASCII")
    return text


def _texts(one: Parameter, value: Any) -> list[str]:
    """The values in it as text: one of a single value, those of a list, names and values of an object."""
    if one.json:
        return [orjson.dumps(value).decode()]
    if isinstance(value, dict):
        return [text for key, item in value.items() for text in (key, _text(one, item))]
    if isinstance(value, list):
        return [_text(one, item) for item in value]
    return [_text(one, value)]


def _text(one: Parameter, value: Any) -> str:
    match value:
        case str():
            return value
        case bool() | int() | float():
            return orjson.dumps(value).decode()
        case None:
            return ""
        case _:
            raise Unsendable(f"{one.argument}: a list or object in another has no form there")


def _encoded(text: str) -> str:
    return quote(text, safe="")
