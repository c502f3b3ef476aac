"""What upstreams do beside their tools, and may ask: which of it is there, and by whose word."""

from typing import Any

import pytest

from gateway.adapters.catalogue import surface_problem
from gateway.core.capability import ApprovalMode, Capability
from gateway.core.catalog import Catalog, Rule, build_catalog
from gateway.core.method import ASKED, READ, Method, method_of
from gateway.core.outcome import Reason
from gateway.core.surface import Surface, readable
from tests.core.test_catalog import WRITE, pins, tool

EVERYTHING = Surface(READ)


def catalog_of(*rules: Rule, surface: Surface = EVERYTHING) -> Catalog:
    return build_catalog([], rules, {}, surfaces={"up": surface})


def code(catalog: Catalog, method: Method) -> str:
    found = catalog.resolve(f"up__{method}", method)
    return found.code if isinstance(found, Reason) else found.mode.value


def test_reading_is_read_only_without_a_rule_and_asking_is_off() -> None:
    catalog = catalog_of()
    assert {code(catalog, method) for method in READ} == {"read_only"}
    assert {code(catalog, method) for method in ASKED} == {"client.not_asked"}


@pytest.mark.parametrize("glob", ["*", "up__*", "up__sampling*", "[!x]*"])
def test_a_rule_for_tools_lets_no_server_ask(glob: str) -> None:
    assert {code(catalog_of((glob, WRITE)), method) for method in ASKED} == {"client.not_asked"}


def test_a_rule_with_a_slash_says_what_its_mode_is() -> None:
    catalog = catalog_of(("up__sampling/createMessage", WRITE), ("*__resources/*", WRITE))
    assert code(catalog, Method.SAMPLE) == code(catalog, Method.RESOURCE) == ApprovalMode.LOCAL_WRITE
    assert code(catalog, Method.ELICIT) == "client.not_asked"


def test_what_a_server_does_not_offer_is_not_there() -> None:
    catalog = catalog_of(surface=Surface(frozenset({Method.PROMPT})))
    assert (code(catalog, Method.PROMPT), code(catalog, Method.RESOURCE)) == ("read_only", "resource.unknown")


def test_nothing_of_it_can_be_called_as_a_tool_nor_a_tool_as_it() -> None:
    send = tool("send")
    catalog = build_catalog([send], [("*", WRITE)], pins(send), surfaces={"up": EVERYTHING})
    assert isinstance(catalog.resolve("up__resources/read"), Reason)
    assert isinstance(catalog.resolve("up__send", Method.RESOURCE), Reason)
    assert isinstance(catalog.resolve("up__resources/read", Method.SUBSCRIBE), Reason)
    assert isinstance(catalog.resolve("up__resources/read", Method.RESOURCE), Capability)


def test_no_tool_can_have_a_name_that_makes_it_something_else() -> None:
    sly = tool("sampling/createMessage")
    assert build_catalog([sly], [("*", WRITE), ("*/*", WRITE)], pins(sly)).capabilities == {}
    assert method_of("sampling.createMessage") is Method.TOOL


@pytest.mark.parametrize(
    "bad",
    [
        {"uri": "a://b", "name": "a\u200bb"},
        {"uri": "a://b", "name": "n", "description": "\u202e"},
        {"uri": "a://b"},
        {"uri": 1, "name": "n"},
        {"uri": "a://b", "name": "n", "size": "big"},
    ],
)
def test_items_that_hide_something_or_have_no_right_shape_are_left_out(bad: dict[str, Any]) -> None:
    good = {"uri": "a://good", "name": "good"}
    kept, dropped = readable(Surface(READ, resources=(bad, good)), surface_problem)
    assert (kept.resources, dropped) == ((good,), 1)
