"""Input schemas are hostile: nothing is fetched, nothing takes long, undeclared arguments are refused, values stay out."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.schema import MAX_PROBLEMS, MAX_SCHEMA_BYTES, ArgumentSchema, UnusableSchema
from tests.core.documents import plain

DRAFTS = [
    None,
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema#",
    "http://json-schema.org/draft-04/schema#",
]


def of_draft(draft: str | None, **members: Any) -> dict[str, Any]:
    return {**({} if draft is None else {"$schema": draft}), "type": "object", **members}


def unusable(schema: dict[str, Any]) -> str:
    """Why `schema` is refused, which takes no time."""
    started = time.process_time()
    with pytest.raises(UnusableSchema) as caught:
        ArgumentSchema(schema)
    assert time.process_time() - started < 1
    return str(caught.value)


@pytest.mark.parametrize("draft", DRAFTS)
def test_declared_arguments_pass_and_undeclared_ones_are_refused(draft: str | None) -> None:
    schema = ArgumentSchema(of_draft(draft, properties={"to": {"type": "string"}}, required=["to"]))
    assert schema.problems({"to": "x"}) == []
    assert schema.problems({"to": "x", "bcc": "y"})
    assert schema.problems({})
    assert schema.problems({"to": 1})


@pytest.mark.parametrize("draft", DRAFTS)
def test_a_schema_that_says_so_itself_takes_more_arguments(draft: str | None) -> None:
    schema = ArgumentSchema(of_draft(draft, properties={}, additionalProperties=True))
    assert schema.problems({"anything": 1}) == []


@pytest.mark.parametrize("draft", DRAFTS[:3])
def test_arguments_declared_by_a_composed_schema_are_declared(draft: str | None) -> None:
    parts = {"allOf": [{"properties": {"a": {}}}, {"$ref": "#/$defs/b"}], "$defs": {"b": {"properties": {"b": {}}}}}
    schema = ArgumentSchema(of_draft(draft, **parts))
    assert schema.problems({"a": 1, "b": 2}) == []
    assert schema.problems({"a": 1, "c": 2})


@pytest.mark.parametrize("draft", DRAFTS[3:])
def test_an_older_draft_that_composes_must_say_what_becomes_of_other_arguments(draft: str) -> None:
    parts: dict[str, Any] = {"anyOf": [{"properties": {"a": {}}}]}
    assert "anyOf" in unusable(of_draft(draft, **parts))
    assert ArgumentSchema(of_draft(draft, **parts, additionalProperties=True)).problems({"a": 1}) == []


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:9/schema.json",
        "https://example.org/schema.json#/a",
        "file:///etc/passwd",
        "other.json",
        "//example.org/x",
        "#anchor",
        "#/$defs/missing",
        "urn:uuid:0",
    ],
)
@pytest.mark.parametrize("draft", DRAFTS)
def test_a_reference_that_is_not_into_the_document_makes_it_unusable(draft: str | None, reference: str) -> None:
    assert "reference" in unusable(of_draft(draft, properties={"a": {"$ref": reference}}))
    assert "reference" in unusable(of_draft(draft, additionalProperties={"anyOf": [{"$ref": reference}]}))


@pytest.mark.parametrize(
    "below",
    [
        {"$id": "http://127.0.0.1:9/elsewhere", "$ref": "#/x"},
        {"$dynamicRef": "http://127.0.0.1:9/x"},
        {"$recursiveRef": "#"},
    ],
)
def test_what_would_change_the_meaning_of_references_makes_it_unusable(below: dict[str, Any]) -> None:
    unusable(of_draft(None, properties={"a": below}, x={}))


def test_references_into_the_document_are_followed() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}, "right": {"$ref": "#/$defs/tree"}}}
    schema = ArgumentSchema(of_draft(None, properties={"t": {"$ref": "#/$defs/tree"}}, **{"$defs": {"tree": tree}}))
    assert schema.problems({"t": {"left": {"right": {}}}}) == []
    assert schema.problems({"t": {"left": {"right": 5}}})
    odd = of_draft(None, properties={"t": {"$ref": "#/$defs/a~1b%20c"}}, **{"$defs": {"a/b c": {"type": "string"}}})
    assert ArgumentSchema(odd).problems({"t": 1})


@pytest.mark.parametrize("applicator", ["allOf", "anyOf", "oneOf"])
@pytest.mark.parametrize("levels", [16, 40, 3000])
def test_references_that_double_at_each_step_make_it_unusable_at_once(applicator: str, levels: int) -> None:
    step = {f"s{n}": {applicator: [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(levels)}
    bomb = of_draft(None, **{"$defs": {**step, f"s{levels}": {}}, "allOf": [{"$ref": "#/$defs/s0"}]})
    unusable(bomb)
    unusable(of_draft(None, **{"$defs": bomb["$defs"], "properties": {"a": {"$ref": "#/$defs/s0"}}}))


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "not", "if", "dependentSchemas"])
def test_a_reference_to_itself_makes_it_unusable(keyword: str) -> None:
    below: Any = {"$ref": "#"}
    unusable(of_draft(None, **{keyword: {"allOf": [below], "not": below, "if": below}.get(keyword, [below])}))
    loop = {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}
    unusable(of_draft(None, properties={"x": {"$ref": "#/$defs/a"}}, **{"$defs": loop}))


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(.*a){20}", "^([a-z]+)*[0-9]$", "(x+x+)+y"])
def test_a_catastrophic_pattern_ends_at_once(pattern: str) -> None:
    schema = ArgumentSchema(of_draft(None, properties={"a": {"pattern": pattern}}, patternProperties={pattern: {}}))
    started = time.process_time()
    schema.problems({"a": "a" * 100_000 + "!", "a" * 1000 + "!": 1})
    assert time.process_time() - started < 2


@pytest.mark.parametrize("pattern", ["(?=a)b", "(?!a)b", "(?<=a)b", "(?<!a)b", r"(a)\1", "(", "((a{1,100}){1,100}){1,100}"])
def test_a_pattern_that_needs_backtracking_or_is_huge_makes_it_unusable(pattern: str) -> None:
    unusable(of_draft(None, properties={"a": {"pattern": pattern}}))
    unusable(of_draft(None, patternProperties={pattern: {}}))


def test_a_schema_larger_than_the_limit_is_unusable() -> None:
    frame = len(json.dumps(of_draft(None, description=""), separators=(",", ":")))
    assert ArgumentSchema(of_draft(None, description="x" * (MAX_SCHEMA_BYTES - frame))).problems({}) == []
    assert "larger" in unusable(of_draft(None, description="x" * (MAX_SCHEMA_BYTES - frame + 1)))


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def test_a_schema_deeper_than_64_is_unusable() -> None:
    assert ArgumentSchema(nested(31)).problems({}) == []
    assert "deeper" in unusable(nested(33))


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": ["object", "null"]},
        {"type": "object", "properties": 5},
        {"type": "object", "required": "a"},
        {"type": "object", "properties": {"a": {"type": "strin"}}},
        {"type": "object", "$schema": "https://example.org/own"},
        {"type": "object", "$schema": []},
        {"type": "object", "$schema": {}},
        {"type": "object", "$schema": 7},
        {"type": "object", "maximum": 2**60},
        {"type": "object", "description": "\ud800"},
    ],
)
def test_what_is_no_schema_of_an_object_is_unusable(schema: dict[str, Any]) -> None:
    unusable(schema)


@given(plain.filter(lambda document: isinstance(document, dict)))
def test_any_document_is_a_schema_or_unusable_and_never_anything_else(document: dict[str, Any]) -> None:
    try:
        ArgumentSchema({**document, "type": "object"}).problems({"a": 1})
    except UnusableSchema:
        pass


CANARY = "canary-7f3a"
RULES: list[dict[str, Any]] = [
    {"type": "integer"},
    {"enum": ["one", "two"]},
    {"const": 1},
    {"pattern": "^[0-9]+$"},
    {"maxLength": 3},
    {"minLength": 300},
    {"not": {"type": "string"}},
    {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    {"oneOf": [{"type": "string"}, {"minLength": 1}]},
    {"contentEncoding": "base64", "type": "number"},
    {"format": "email", "type": "null"},
    {"if": {"type": "string"}, "then": {"maxLength": 1}},
]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("draft", DRAFTS[:4])
def test_no_argument_value_is_in_a_problem(draft: str | None, rule: dict[str, Any]) -> None:
    schema = ArgumentSchema(of_draft(draft, properties={"a": rule}, additionalProperties=False))
    problems = schema.problems({"a": CANARY, "b": CANARY})
    assert problems
    assert CANARY not in " ".join(problems)


@given(st.integers(10**9, 10**12) | st.text("xyz", min_size=9) | st.lists(st.integers(10**9, 10**12), min_size=1))
def test_no_value_of_any_kind_is_in_a_problem(value: Any) -> None:
    schema = ArgumentSchema(
        of_draft(None, properties={"a": {"maximum": 5, "maxLength": 5, "items": {"maximum": 5}, "uniqueItems": True}})
    )
    told = " ".join(schema.problems({"a": value}))
    assert told
    for part in value if isinstance(value, list) else [value]:
        assert str(part) not in told


def test_at_most_five_problems_are_told() -> None:
    schema = ArgumentSchema(of_draft(None, properties={f"p{n}": {"type": "string"} for n in range(50)}))
    assert len(schema.problems({f"p{n}": n for n in range(50)})) == MAX_PROBLEMS
