"""Which tools may be called: classified, pinned, plainly named, alone with their looks; all others say why not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.catalogue import shape_problem
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.catalog import Catalog, Hidden, Usable, build_catalog, classify, readable_definitions, skeleton
from gateway.core.outcome import Reason

SCHEMA: dict[str, Any] = {"type": "object"}


def classified(mode: ApprovalMode) -> Classification:
    return Classification(mode, TrustLevel.UNTRUSTED, "owner", IdempotencyRule.DERIVED)


READ, WRITE = classified(ApprovalMode.READ_ONLY), classified(ApprovalMode.LOCAL_WRITE)


def tool(name: str, upstream: str = "up", **members: Any) -> ToolDefinition:
    return ToolDefinition.from_document(upstream, {"name": name, "inputSchema": SCHEMA, **members})


def pins(*tools: ToolDefinition) -> dict[str, str]:
    return {one.capability_id: one.digest for one in tools}


def built(*tools: ToolDefinition, pinned: dict[str, str] | None = None, rules: Any = (("*", READ),)) -> Catalog:
    return build_catalog(tools, rules, pins(*tools) if pinned is None else pinned)


def why(catalog: Catalog) -> dict[str, Hidden]:
    assert all(hidden.explanation for hidden in catalog.hidden)
    return {hidden.definition.capability_id: hidden.why for hidden in catalog.hidden}


def code(catalog: Catalog, name: str) -> str:
    reason = catalog.resolve(name)
    assert isinstance(reason, Reason)
    return reason.code


def test_a_classified_and_pinned_tool_is_callable() -> None:
    catalog = built(tool("send"))
    capability = catalog.resolve("up__send")
    assert isinstance(capability, Capability)
    assert (capability.mode, capability.upstream) == (ApprovalMode.READ_ONLY, "up")
    assert not catalog.hidden


def test_a_tool_that_no_rule_names_is_unclassified() -> None:
    catalog = built(tool("send"), rules=[("down__*", READ)])
    assert why(catalog) == {"up__send": Hidden.UNCLASSIFIED}
    assert code(catalog, "up__send") == "tool.unknown"


def test_a_tool_that_was_never_approved_is_unpinned() -> None:
    assert why(built(tool("send"), pinned={})) == {"up__send": Hidden.UNPINNED}


@pytest.mark.parametrize(
    "changed",
    [
        {"description": "New words."},
        {"annotations": {"readOnlyHint": True}},
        {"inputSchema": {"type": "object", "properties": {"a": {}}}},
        {"outputSchema": {"type": "object"}},
        {"_meta": {"a": 1}},
        {"title": "Send"},
    ],
)
def test_a_tool_whose_definition_changed_in_any_part_is_drifted_and_says_so(changed: dict[str, Any]) -> None:
    catalog = built(tool("send", **changed), pinned=pins(tool("send")))
    assert why(catalog) == {"up__send": Hidden.DRIFTED}
    assert code(catalog, "up__send") == "tool.drifted"


def test_a_name_listed_twice_is_colliding_and_neither_is_callable() -> None:
    catalog = built(tool("send"), tool("send", description="other"), tool("fine"))
    assert [hidden.why for hidden in catalog.hidden] == [Hidden.COLLIDING] * 2
    assert set(catalog.capabilities) == {"up__fine"}


def test_two_upstreams_cannot_make_one_name() -> None:
    catalog = built(tool("b__c", upstream="a"), tool("c", upstream="a__b"))
    assert [hidden.why for hidden in catalog.hidden] == [Hidden.COLLIDING] * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [("send", "Send"), ("log0", "logo"), ("1ist", "list"), ("iist", "list"), ("a-b", "a_b"), ("a.b", "a_b"), ("LI", "11")],
)
def test_names_that_look_the_same_are_confusable_and_neither_is_callable(one: str, other: str) -> None:
    catalog = built(tool(one), tool(other), tool("fine"))
    assert set(why(catalog).values()) == {Hidden.CONFUSABLE}
    assert len(catalog.hidden) == 2
    assert skeleton(one) == skeleton(other)


def test_a_look_alike_takes_the_name_down_even_when_it_is_not_callable_itself() -> None:
    known, look_alike = tool("send"), tool("Send", upstream="up")
    assert why(built(known, look_alike, pinned=pins(known)))["up__send"] is Hidden.CONFUSABLE


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "sénd", "send\n", "sеnd", "a/b", "-x", ".x", "_x", "x" * 65, "a\u200bb", "a\x00", "$(x)", "../x"],
)
def test_a_name_that_is_not_plain_is_hidden(name: str) -> None:
    assert set(why(built(tool(name))).values()) == {Hidden.NAME}


@pytest.mark.parametrize("name", ["a", "A9", "a-b_c.d", "x" * 64])
def test_a_plain_name_is_callable(name: str) -> None:
    assert f"up__{name}" in built(tool(name)).capabilities


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "object",
        {},
        {"type": "string"},
        {"type": "object", "$schema": []},
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}},
        {"type": "object", "properties": {"a": {"pattern": "(?=x)"}}},
        {"type": "object", "description": "x" * 300_000},
        {"type": "object", "allOf": [{"$ref": "#"}]},
    ],
)
def test_a_tool_whose_schema_cannot_be_used_is_hidden_and_hides_no_other(schema: Any) -> None:
    catalog = built(tool("bad", inputSchema=schema), tool("fine"))
    assert why(catalog) == {"up__bad": Hidden.SCHEMA}
    assert set(catalog.capabilities) == {"up__fine"}


def test_the_first_matching_rule_counts() -> None:
    rules = [("up__re*", READ), ("up__*", WRITE), ("*", classified(ApprovalMode.DESTRUCTIVE))]
    assert classify("up__read", rules) is READ
    assert classify("up__write", rules) is WRITE
    assert classify("UP__read", rules) is rules[2][1]
    assert classify("other", rules[:2]) is None


def test_a_caller_learns_only_that_a_hidden_tool_is_unknown_or_changed() -> None:
    send = tool("send")
    catalog = built(send, tool("bad name"), pinned={})
    assert {code(catalog, name) for name in ("up__send", "up__bad name", "nothing", "")} == {"tool.unknown"}


@given(st.permutations(["a", "b", "c"]))
def test_the_revision_names_the_callable_set_whatever_its_order(names: list[str]) -> None:
    assert built(*map(tool, names)).revision == built(tool("a"), tool("b"), tool("c")).revision


def test_the_revision_changes_with_the_callable_set_and_its_modes() -> None:
    base = built(tool("a"))
    assert built(tool("a"), tool("b")).revision != base.revision
    assert built(tool("a"), rules=[("*", WRITE)]).revision != base.revision
    assert built(tool("a", description="x")).revision != base.revision
    assert built(tool("a"), tool("bad name")).revision == base.revision


def test_what_is_no_definition_is_counted_and_left_out() -> None:
    listed = [{"name": "a"}, {"name": 5}, {}, None, "a", {"name": "b", "x": 2**60}, {"name": "\ud800"}, {"name": "c"}]
    found, dropped = readable_definitions("up", listed)
    assert ([one.name for one in found], dropped) == (["a", "c"], 6)


@pytest.mark.parametrize(
    "members",
    [
        {"title": 5, "annotations": "x", "icons": 7, "outputSchema": [1]},
        {"title": 5},
        {"description": ["x"]},
        {"annotations": "x"},
        {"annotations": {"readOnlyHint": "perhaps"}},
        {"icons": [{"src": 5}]},
        {"outputSchema": [1]},
        {"outputSchema": {"type": "string"}},
        {"execution": {"taskSupport": "secret-value"}},
        {"_meta": "x"},
        {"inputSchema": {"type": "object", "properties": []}},
    ],
)
@pytest.mark.parametrize("approved", [True, False])
def test_a_tool_that_the_sdk_would_not_list_is_hidden_and_hides_no_other(members: dict[str, Any], approved: bool) -> None:
    tools = (
        tool("bad", **members),
        tool("fine", title="Fine", annotations={"readOnlyHint": True}, icons=[{"src": "https://x"}]),
    )
    pinned = pins(*tools) if approved else pins(tools[1])
    catalog = build_catalog(tools, [("*", READ)], pinned, shape=shape_problem)
    assert why(catalog)["up__bad"] in ({Hidden.SCHEMA} if "inputSchema" in members else {Hidden.SHAPE})
    assert set(catalog.capabilities) == {"up__fine"}
    assert "secret-value" not in catalog.hidden[0].explanation


def test_nothing_is_compiled_for_a_tool_that_nobody_classified() -> None:
    compiled: dict[str, Usable] = {}
    bad = tool("send", inputSchema={"type": "string"})
    assert why(build_catalog([bad], [], {}, compiled=compiled)) == {"up__send": Hidden.UNCLASSIFIED}
    assert not compiled


@pytest.mark.parametrize("pinned", [{}, {"up__send": "sha256:old"}])
def test_an_unusable_tool_is_not_offered_for_approval(pinned: dict[str, str]) -> None:
    assert why(built(tool("send", inputSchema={"type": "string"}), pinned=pinned)) == {"up__send": Hidden.SCHEMA}


def test_a_definition_is_compiled_once_and_forgotten_when_it_is_no_longer_listed() -> None:
    looked_at: list[str] = []

    def shape(document: dict[str, Any]) -> str | None:
        looked_at.append(document["name"])
        return "odd" if document["name"] == "odd" else None

    compiled: dict[str, Usable] = {}
    tools = [tool("a"), tool("b"), tool("odd")]

    def rebuilt(*listed: ToolDefinition) -> Catalog:
        return build_catalog(listed, [("*", READ)], pins(*listed), shape=shape, compiled=compiled)

    first, second = rebuilt(*tools), rebuilt(*tools)
    assert looked_at == ["a", "b", "odd"]
    assert why(second) == {"up__odd": Hidden.SHAPE}
    assert second.capabilities["up__a"].schema is first.capabilities["up__a"].schema
    rebuilt(tools[0])
    assert set(compiled) == {tools[0].digest}
