"""What a schema marks is taken out of the copy that is stored, wherever JSON Schema lets the mark apply."""

import random
from typing import Any

import pytest

from gateway.core.redaction import MARK, Redaction
from gateway.core.sensitive import MAX_SPOTS, SensitiveFields, sensitive_fields

MARKED = {"x-sealgate-sensitive": True}


def copy(schema: dict[str, Any], value: dict[str, Any]) -> Any:
    """What is stored of `value`, as the arguments of a tool with this input schema."""
    redacted = Redaction.of_definition({"inputSchema": schema}).of_arguments(value, b"")
    return value if redacted is None else redacted.value


def props(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


NESTED = props(a=props(b=MARKED, c={}))
CASES: list[tuple[str, dict[str, Any], dict[str, Any], Any]] = [
    ("a property", props(a=MARKED, b={}), {"a": "x", "b": "y"}, {"a": MARK, "b": "y"}),
    ("whatever its type", props(a=MARKED), {"a": {"deep": [1, None]}}, {"a": MARK}),
    ("the whole", {**props(a={}), **MARKED}, {"a": "x"}, MARK),
    ("a nested property", NESTED, {"a": {"b": 1, "c": 2}}, {"a": {"b": MARK, "c": 2}}),
    ("items", props(a={"items": MARKED}), {"a": [1, 2]}, {"a": [MARK, MARK]}),
    ("prefixItems", props(a={"prefixItems": [{}, MARKED]}), {"a": [1, 2, 3]}, {"a": [1, MARK, 3]}),
    ("items of draft 7", props(a={"items": [MARKED, {}]}), {"a": [1, 2, 3]}, {"a": [MARK, 2, 3]}),
    ("additionalItems", props(a={"items": [{}], "additionalItems": MARKED}), {"a": [1, 2]}, {"a": [MARK, MARK]}),
    ("contains", props(a={"contains": MARKED}), {"a": [1]}, {"a": [MARK]}),
    ("unevaluatedItems", props(a={"unevaluatedItems": MARKED}), {"a": [1]}, {"a": [MARK]}),
    ("other members", {"additionalProperties": MARKED, **props(a={})}, {"a": 1, "z": 2}, {"a": 1, "z": MARK}),
    ("unevaluatedProperties", {"unevaluatedProperties": MARKED}, {"a": 1}, {"a": MARK}),
    ("patternProperties, for every member", {"patternProperties": {"^s": MARKED}}, {"a": 1}, {"a": MARK}),
    ("allOf", props(a={"allOf": [{}, MARKED]}), {"a": 1}, {"a": MARK}),
    ("anyOf", props(a={"anyOf": [{"type": "null"}, MARKED]}), {"a": None}, {"a": MARK}),
    ("oneOf", props(a={"oneOf": [props(b=MARKED), {}]}), {"a": {"b": 1, "c": 2}}, {"a": {"b": MARK, "c": 2}}),
    ("not", props(a={"not": MARKED}), {"a": 1}, {"a": MARK}),
    ("if", {"if": props(a=MARKED)}, {"a": 1}, {"a": MARK}),
    ("then", {"if": {}, "then": props(a=MARKED)}, {"a": 1}, {"a": MARK}),
    ("else", {"if": {}, "else": props(a=MARKED)}, {"a": 1}, {"a": MARK}),
    ("dependentSchemas", {"dependentSchemas": {"b": props(a=MARKED)}}, {"a": 1}, {"a": MARK}),
    ("dependencies", {"dependencies": {"b": props(a=MARKED), "c": ["a"]}}, {"a": 1}, {"a": MARK}),
    ("a reference", {**props(a={"$ref": "#/$defs/s"}), "$defs": {"s": MARKED}}, {"a": 1}, {"a": MARK}),
    ("an escaped one", {**props(a={"$ref": "#/$defs/s~1%20t"}), "$defs": {"s/ t": MARKED}}, {"a": 1}, {"a": MARK}),
    ("one to the root", props(a=MARKED, b={"$ref": "#"}), {"b": {"b": {"a": 1}}}, {"b": {"b": {"a": MARK}}}),
    ("beside a reference", {**props(a={"$ref": "#/$defs/s", **MARKED}), "$defs": {"s": {}}}, {"a": 1}, {"a": MARK}),
    ("any value but false", props(a={"x-sealgate-sensitive": "no"}), {"a": 1}, {"a": MARK}),
    ("an unknown reference", props(a=MARKED, b={"$ref": "other.json"}), {"b": 1}, {"b": MARK}),
    ("an anchor", props(a=MARKED, b={"$ref": "#here"}), {"b": 1}, {"b": MARK}),
    ("a dynamic reference", props(a=MARKED, b={"$dynamicRef": "#x"}), {"b": 1}, {"b": MARK}),
    ("an embedded resource", props(a=MARKED, b={"$id": "other", "$ref": "#"}), {"b": 1}, {"b": MARK}),
    ("a document in a text", props(a={"contentSchema": props(b=MARKED)}), {"a": '{"b": 1}'}, {"a": MARK}),
    ("a member's name", props(a={"propertyNames": MARKED}), {"a": {"secret": 1}}, {"a": MARK}),
]


@pytest.mark.parametrize(("schema", "value", "stored"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_mark_applies(schema: dict[str, Any], value: dict[str, Any], stored: Any) -> None:
    assert copy(schema, value) == stored


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (props(a={"x-sealgate-sensitive": False}), {"a": 1}),
        (props(a=MARKED), {"b": {"a": 1}}),
        (props(a=MARKED, b={"items": True, "$ref": "#/$defs/any"}) | {"$defs": {"any": True}}, {"b": [1]}),
        (props(**{"x-sealgate-sensitive": {"type": "boolean"}}), {"x-sealgate-sensitive": True}),
        ({**props(a={"default": {"x-sealgate-sensitive": True}})}, {"a": 1}),
    ],
)
def test_where_there_is_no_mark_nothing_is_taken_out(schema: dict[str, Any], value: dict[str, Any]) -> None:
    assert copy(schema, value) == value


def test_a_schema_without_marks_costs_nothing() -> None:
    assert sensitive_fields(props(a=props(b={"$ref": "elsewhere"}))) is None


def test_a_schema_made_to_have_too_many_states_is_sensitive_from_there_on() -> None:
    """Which of n places were reached is 2**n states; a value that visits them must not cost memory without end."""
    letters = 14
    defs: dict[str, Any] = {
        f"s{n}": props(a={"$ref": f"#/$defs/s{n + 1}"}, b={"$ref": f"#/$defs/s{n + 1}"}) for n in range(letters)
    }
    defs["start"] = props(a={"anyOf": [{"$ref": "#/$defs/start"}, {"$ref": "#/$defs/s0"}]}, b={"$ref": "#/$defs/start"})
    defs[f"s{letters}"] = props(never=MARKED)
    fields = sensitive_fields({"$ref": "#/$defs/start", "$defs": defs})
    assert isinstance(fields, SensitiveFields)
    draw, spots, sensitive = random.Random(7), set(), 0
    for _ in range(20 * MAX_SPOTS):
        spot = fields.top
        for _ in range(letters):
            spot = spot.member(draw.choice("ab"))
        spots.add(id(spot))
        sensitive += spot.sensitive
    assert sensitive
    assert len(spots) <= MAX_SPOTS + 1


def test_a_schema_made_to_cost_many_steps_is_sensitive_from_there_on() -> None:
    """A thousand members to each of which thousands of schemas apply: millions of steps, and every one counted."""
    applied: dict[str, Any] = {"allOf": [{} for _ in range(4000)]}
    members = {f"k{number}": {"$ref": "#/$defs/all"} for number in range(1000)}
    schema = {**props(secret=MARKED, **members), "$defs": {"all": applied}}
    fields = SensitiveFields(schema)
    sensitive = [fields.top.member(name).sensitive for name in members]
    assert (sensitive[0], sensitive[-1]) == (False, True)
    assert copy(schema, {"secret": 1, "other": 2})["secret"] == MARK


def test_references_in_a_circle_come_to_an_end() -> None:
    schema = {**props(a={"$ref": "#/$defs/x"}, b=MARKED), "$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}}
    assert copy(schema, {"a": 1, "b": 2}) == {"a": 1, "b": MARK}
