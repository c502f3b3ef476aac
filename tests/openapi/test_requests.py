"""What a call becomes on the wire: every style as OpenAPI has it, and no argument that leaves its place."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.upstream.openapi.operations import Operation
from gateway.adapters.upstream.openapi.request import Request, Unsendable, key_value, request_of
from gateway.core.call import IdempotencyKey
from tests.openapi.documents import document, only, operation, parameter, spec

METHODS = ("_method", "_METHOD[]", ".method", " .method", "[_method]", "]_method]", "_method\0x")
"""Names of a field that some framework takes for the method: of PHP, of Rack, of qs."""

LIST, MAP = ["blue", "black"], {"R": 100, "G": 200}


def made(one: dict[str, Any], value: Any) -> Request:
    """The request of an operation with this one parameter, filled with `value`."""
    path = "/{x}" if one["in"] == "path" else "/"
    return sent(only(document({path: {"get": operation(parameters=[one])}})), {"x": value})


def sent(one: Operation, arguments: dict[str, Any], key: str | None = None, **more: Any) -> Request:
    return request_of(one, spec("http://api.example/v1", **more), json.dumps(arguments).encode(), key)


def target(request: Request) -> str:
    assert request.url.startswith("http://api.example/v1/")
    return request.url.removeprefix("http://api.example/v1/")


@pytest.mark.parametrize(
    ("style", "explode", "text", "array", "members"),
    [
        ("simple", False, "blue", "blue,black", "R,100,G,200"),
        ("simple", True, "blue", "blue,black", "R=100,G=200"),
        ("label", False, ".blue", ".blue,black", ".R,100,G,200"),
        ("label", True, ".blue", ".blue.black", ".R=100.G=200"),
        ("matrix", False, ";x=blue", ";x=blue,black", ";x=R,100,G,200"),
        ("matrix", True, ";x=blue", ";x=blue;x=black", ";R=100;G=200"),
    ],
)
def test_a_part_of_the_path_has_the_form_of_its_style(
    style: str, explode: bool, text: str, array: str, members: str
) -> None:
    one = parameter("x", "path", style=style, explode=explode, schema={})
    assert [target(made(one, value)) for value in ("blue", LIST, MAP)] == [text, array, members]


@pytest.mark.parametrize(
    ("style", "explode", "array", "members"),
    [
        ("form", True, "?x=blue&x=black", "?R=100&G=200"),
        ("form", False, "?x=blue,black", "?x=R,100,G,200"),
        ("spaceDelimited", False, "?x=blue%20black", "?x=R%20100%20G%20200"),
        ("pipeDelimited", False, "?x=blue%7Cblack", "?x=R%7C100%7CG%7C200"),
        ("spaceDelimited", True, "?x=blue&x=black", None),
        ("deepObject", True, None, "?x%5BR%5D=100&x%5BG%5D=200"),
    ],
)
def test_a_query_has_the_form_of_its_style(style: str, explode: bool, array: str | None, members: str | None) -> None:
    one = parameter("x", "query", style=style, explode=explode, schema={})
    assert target(made(one, "blue")) == "?x=blue"
    assert array is None or target(made(one, LIST)) == array
    assert members is None or target(made(one, MAP)) == members


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (3, "3"), (1.5, "1.5"), ("", ""), ("a b&c=d#e/é", "a%20b%26c%3Dd%23e%2F%C3%A9")]
)
def test_single_values_are_written_as_json_has_them_and_encoded(value: Any, text: str) -> None:
    assert target(made(parameter("x", "query", schema={}), value)) == f"?x={text}"


def test_what_is_left_out_is_not_sent() -> None:
    one = only(document({"/": {"get": operation(parameters=[parameter("x", "query"), parameter("h", "header")])}}))
    request = sent(one, {})
    assert (target(request), set(request.headers)) == ("", {"accept", "accept-encoding"})


def test_headers_and_cookies() -> None:
    parameters = [
        parameter("X-List", "header", schema={}),
        parameter("X-Map", "header", explode=True, schema={}),
        parameter("c", "cookie", schema={}),
        parameter("d", "cookie", explode=False, schema={}),
    ]
    one = only(document({"/": {"get": operation(parameters=parameters)}}))
    request = sent(one, {"X-List": LIST, "X-Map": MAP, "c": "a; b=c", "d": LIST})
    assert request.headers["x-list"] == "blue,black"
    assert request.headers["x-map"] == "R=100,G=200"
    assert request.headers["cookie"] == "c=a%3B%20b%3Dc; d=blue,black"


def test_a_parameter_with_json_content_is_json() -> None:
    one = parameter("x", "query", content={"application/json": {"schema": {"type": "object"}}})
    assert json.loads(unquote(target(made(one, {"a": [1, {"b": None}]})).removeprefix("?x="))) == {"a": [1, {"b": None}]}


def test_the_body_is_the_argument_as_json() -> None:
    body: dict[str, Any] = {"content": {"application/merge-patch+json": {"schema": {}}}}
    one = only(document({"/": {"patch": operation(requestBody=body)}}))
    request = sent(one, {"body": {"a": [1, "é"]}})
    assert (request.headers["content-type"], json.loads(request.body or b"")) == (
        "application/merge-patch+json",
        {"a": [1, "é"]},
    )
    assert sent(one, {}).body is None
    assert "content-type" not in sent(one, {}).headers


FORM = "application/x-www-form-urlencoded"


def form(**encoding: Any) -> Operation:
    body = {"content": {FORM: {"schema": {"type": "object"}, "encoding": encoding}}}
    return only(document({"/": {"post": operation(requestBody=body)}}))


def test_a_form_is_written_like_a_query() -> None:
    request = sent(form(), {"body": {"a": "x y&z=1", "b": LIST, "c": True, "d": None, "e": 2}})
    assert request.headers["content-type"] == FORM
    assert request.body == b"a=x%20y%26z%3D1&b=blue&b=black&c=true&e=2"


def test_a_field_of_a_form_has_the_form_that_the_document_says() -> None:
    encoding = {
        "card": {"style": "deepObject", "explode": True},
        "tags": {"style": "form", "explode": False},
        "about": {"contentType": "application/json"},
    }
    one = form(**encoding)
    request = sent(one, {"body": {"card": MAP, "tags": LIST, "about": {"a": [1]}}})
    assert request.body == b"card%5BR%5D=100&card%5BG%5D=200&tags=blue,black&about=%7B%22a%22%3A%5B1%5D%7D"
    assert form(card=encoding["card"]).definition.digest != form().definition.digest


@pytest.mark.parametrize(
    "value",
    [
        "a=1",
        [1],
        {"a": [[1]]},
        {"a": {"b": {"c": 1}}},
        {"a": 1, "m": {"a": 2}},
        {"_method": "DELETE"},
        {"m": {"_method": "DELETE"}},
        *({name: "DELETE"} for name in METHODS),
        *({"m": {name: "DELETE"}} for name in METHODS),
    ],
)
def test_what_has_no_form_in_a_form_is_refused(value: Any) -> None:
    with pytest.raises(Unsendable):
        sent(form(), {"body": value})


def test_the_gateways_own_credentials_are_sent_and_nobody_elses() -> None:
    one = only(
        document({"/": {"get": operation(parameters=[parameter("x", "query")])}}), headers={"X-Key": "k"}, query={"q": "s t"}
    )
    request = sent(one, {"x": "1&q=mine"}, headers={"X-Key": "k"}, query={"q": "s t"})
    assert request.headers["x-key"] == "k"
    assert parse_qsl(urlsplit(request.url).query) == [("x", "1&q=mine"), ("q", "s t")]  # fmt: skip


@pytest.mark.parametrize("value", [{"_method": "DELETE"}, {"_METHOD": "DELETE"}])
def test_a_json_body_cannot_say_the_method(value: Any) -> None:
    one = only(document({"/": {"post": operation(requestBody={"content": {"application/json": {"schema": {}}}})}}))
    assert sent(one, {"body": {"deep": value}}).body is not None
    with pytest.raises(Unsendable):
        sent(one, {"body": value})


@pytest.mark.parametrize("name", ["q", "other", "q[]", "Q", " q", "q.x", "other[a]", "[q]", "]q", "q\0x", *METHODS])
def test_a_member_of_an_object_cannot_take_the_place_of_another_parameter(name: str) -> None:
    parameters = [parameter("x", "query", schema={}), parameter("other", "query")]
    one = only(document({"/": {"get": operation(parameters=parameters)}}), query={"q": "secret"})
    with pytest.raises(Unsendable):
        sent(one, {"x": {name: "mine"}}, query={"q": "secret"})


LEAVES = ("", ".", "..", "a/b", "../a", "/", "\\", "..\\a", "a\0", "a\nb", "\x7f")


@pytest.mark.parametrize("value", [*LEAVES, ["a", "b/c"], [], {}, {"a/b": 1}, [""], None])
def test_a_part_of_the_path_that_would_leave_its_segment_is_refused(value: Any) -> None:
    with pytest.raises(Unsendable) as told:
        made(parameter("x", "path", schema={}), value)
    assert "b/c" not in str(told.value)


def test_dots_that_the_template_completes_are_refused() -> None:
    both = [parameter("x", "path"), parameter("y", "path")]
    one = only(document({"/a/{x}{y}/b": {"get": operation(parameters=both)}}))
    assert target(sent(one, {"x": "1", "y": "2"})) == "a/12/b"
    with pytest.raises(Unsendable):
        sent(one, {"x": ".", "y": "."})
    with pytest.raises(Unsendable):
        made(parameter("x", "path", style="label"), ".")


def test_a_slash_may_be_sent_encoded_to_a_server_that_takes_it_so() -> None:
    one = only(document({"/files/{x}": {"get": operation(parameters=[parameter("x", "path")])}}), encoded_slashes=True)
    assert target(sent(one, {"x": "a/b.txt"}, encoded_slashes=True)) == "files/a%2Fb.txt"
    for value in ("../a", "a/../../b", "a//b", "/a", "a/", "a\\..\\b", ".."):
        with pytest.raises(Unsendable):
            sent(one, {"x": value}, encoded_slashes=True)


@given(st.text(), st.text(), st.booleans())
def test_no_text_leaves_its_segment_or_its_parameter(first: str, second: str, slashes: bool) -> None:
    one = TWO
    try:
        request = sent(one, {"x": first, "q": second, "h": second}, encoded_slashes=slashes)
    except Unsendable:
        return
    parts = urlsplit(request.url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("http", "api.example", "")
    segments = parts.path.split("/")
    assert (segments[:3], len(segments), segments[4]) == (["", "v1", "a"], 5, "end")
    assert unquote(segments[3]) == first
    assert not {".", "..", ""} & set(re.split(r"[/\\]", unquote(segments[3])))
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", second)]
    assert request.headers["h"] == second
    assert re.fullmatch(r"[\x20-\x7e]*", request.headers["h"])


TWO = only(
    document(
        {
            "/a/{x}/end": {
                "get": operation(parameters=[parameter("x", "path"), parameter("q", "query"), parameter("h", "header")])
            }
        }
    )
)


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\n", "\0", "é", ["a", "b\r"]])
def test_a_header_that_would_be_two_is_refused(value: Any) -> None:
    with pytest.raises(Unsendable):
        made(parameter("x", "header", schema={}), value)


@pytest.mark.parametrize("place", ["path", "query", "header", "cookie"])
@pytest.mark.parametrize("value", [[["a"]], {"a": {"b": 1}}, [{"a": 1}]])
def test_a_value_in_a_value_has_no_form(place: str, value: Any) -> None:
    with pytest.raises(Unsendable):
        made(parameter("x", place, explode=False, schema={}), value)


def test_an_idempotency_header_that_the_document_declares_is_filled_by_the_gateway_for_effects_only() -> None:
    declared = [parameter("Idempotency-Key", "header", required=True)]
    item = {method: operation(operationId=method, parameters=declared) for method in ("get", "post")}
    for method, key in (("get", None), ("post", "k")):
        one = only(document({"/": {method: item[method]}}))
        assert one.definition.document["inputSchema"]["properties"] == {}
        assert sent(one, {}, key="k").headers.get("idempotency-key") == key


def test_an_idempotency_header_that_the_operator_names_is_sent_with_every_effect() -> None:
    declared = operation(parameters=[parameter("x-request-id", "header")])
    one = only(document({"/": {"post": declared}}), idempotency_header="X-Request-Id")
    assert one.parameters == ()
    assert sent(one, {}, key="k").headers["x-request-id"] == "k"


def test_the_idempotency_value_is_the_same_for_a_clients_key_and_new_without_one() -> None:
    given_key = IdempotencyKey("r", "c", "s", derived=False, window_seconds=None)
    derived = IdempotencyKey("r", "c", "s", derived=True, window_seconds=120)
    assert key_value(given_key, "f", "e1") == key_value(given_key, "f", "e2")
    assert key_value(given_key, "f", "e1") != key_value(given_key, "g", "e1")
    assert key_value(derived, "f", "e1") != key_value(derived, "f", "e2")
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", key_value(derived, "f", "e1")
    )
