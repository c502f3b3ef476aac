"""Lists are given page by page, and whoever goes through all pages misses nothing and gets nothing twice."""

import asyncio
import base64
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp.shared.exceptions import MCPError

from gateway.core.capability import ToolDefinition
from gateway.core.catalog import build_catalog
from gateway.core.method import READ
from gateway.core.run_context import Principal, PrincipalKind
from gateway.core.surface import Surface
from gateway.core.visible import Exposure
from gateway.edge.auth import Caller
from gateway.edge.listing import MAX_PAGE_BYTES, Lists
from gateway.edge.routes import Routes
from gateway.edge.searching import MAX_BYTES, SEARCH
from tests.core.test_catalog import READ as READ_RULE
from tests.core.test_catalog import pins


class Shelf:
    """Lists over routes that can be changed."""

    def __init__(self, *names: str, page_size: int = 3, bytes_each: int = 0, **surfaces: Surface) -> None:
        self.put(*names, bytes_each=bytes_each, **surfaces)
        self.lists = Lists(lambda: self.routes, page_size)

    def put(self, *names: str, bytes_each: int = 0, **surfaces: Surface) -> None:
        tools = []
        for name in names:
            upstream, _, tool = name.partition("__")
            document: dict[str, Any] = {"name": tool, "inputSchema": {"type": "object"}, "description": "x" * bytes_each}
            tools.append(ToolDefinition.from_document(upstream, document))
        catalog = build_catalog(tools, [("*", READ_RULE), ("*/*", READ_RULE)], pins(*tools), surfaces=surfaces)
        self.routes = Routes.of(catalog, frozenset())

    def found(self, query: str, caller: Caller, **more: Any) -> Any:
        result = asyncio.run(self.lists.search(caller, {"query": query, **more}))
        assert orjson.loads(result["content"][0]["text"]) == result["structuredContent"]
        return result["structuredContent"]


def caller(*globs: str, exposure: Exposure | None = None) -> Caller:
    """One with these globs; without any, one who may know of everything."""
    return Caller("t", Principal(PrincipalKind.USER, "u"), (), frozenset({"agent"}), tools=globs or None, exposure=exposure)


def names(page: dict[str, Any]) -> list[str]:
    return [tool["name"] for tool in page["tools"]]


def walk(shelf: Shelf, who: Caller) -> list[list[str]]:
    """All pages."""
    pages = []
    cursor: str | None = None
    while True:
        page = shelf.lists.tools(who, cursor)
        pages.append(names(page))
        cursor = page.get("nextCursor")
        if cursor is None:
            return pages


SIX = tuple(f"up__{letter}" for letter in "abcdef")
NAMES = st.sets(st.sampled_from([f"{up}__{letter * times}" for up in ("a", "b") for letter in "pqr" for times in (1, 2, 3)]))


def test_one_page_has_them_all_where_they_fit_and_no_search() -> None:
    assert walk(Shelf(*SIX, page_size=6), caller()) == [list(SIX)]


def test_pages_have_so_many_and_the_search_comes_first_where_there_are_several() -> None:
    assert walk(Shelf(*SIX), caller()) == [[SEARCH, "up__a", "up__b"], ["up__c", "up__d", "up__e"], ["up__f"]]


@settings(max_examples=100)
@given(st.data())
def test_what_was_there_all_the_time_is_listed_once_whatever_changes_meanwhile(data: st.DataObject) -> None:
    present = data.draw(NAMES)
    shelf = Shelf(*present, page_size=2)
    globs = data.draw(st.sampled_from([(), ("a__*",), ("*__p*", "b__*")]))
    who = caller(*globs)
    always = set(walk_names(walk(Shelf(*present, page_size=50), who)))
    listed: list[str] = []
    cursor: str | None = None
    while True:
        page = shelf.lists.tools(who, cursor)
        listed += [name for name in names(page) if name != SEARCH]
        cursor = page.get("nextCursor")
        if cursor is None:
            break
        present = data.draw(NAMES)
        shelf.put(*present)
        always &= set(present)
    assert sorted(listed) == sorted(set(listed))
    assert always <= set(listed)


def walk_names(pages: list[list[str]]) -> list[str]:
    return [name for page in pages for name in page]


def test_a_page_ends_after_so_many_bytes() -> None:
    shelf = Shelf(*SIX, page_size=100, bytes_each=MAX_PAGE_BYTES // 2)
    assert walk(shelf, caller()) == [["up__a", "up__b"], ["up__c", "up__d"], ["up__e", "up__f"]]


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "?",
        "x" * 100_000,
        base64.urlsafe_b64encode(b"up__a").decode(),
        base64.urlsafe_b64encode(b'["tools",1]').decode(),
        base64.urlsafe_b64encode(b'["tools"]').decode(),
        base64.urlsafe_b64encode(b'["prompts","a"]').decode(),
        "\ud800",
        "é",
    ],
)
def test_a_cursor_that_the_list_did_not_give_is_refused(cursor: str) -> None:
    for who in (caller(), caller(exposure=Exposure.SEARCH)):
        with pytest.raises(MCPError) as refused:
            Shelf(*SIX).lists.tools(who, cursor)
        assert refused.value.error.code == -32602


def test_resources_templates_and_prompts_have_pages_too_and_show_only_what_may_be_got() -> None:
    def surface(up: str, many: int) -> Surface:
        return Surface(
            READ,
            tuple({"uri": f"{up}://{number}", "name": "r"} for number in range(many)),
            tuple({"uriTemplate": f"{up}://{number}/{{x}}", "name": "t"} for number in range(many)),
            tuple({"name": f"p{number}"} for number in range(many)),
        )

    lists = Shelf(page_size=2, a=surface("a", 3), b=surface("b", 1)).lists
    first = lists.resources(caller(), None)
    assert [item["uri"] for item in first["resources"]] == ["a://0", "a://1"]
    rest = lists.resources(caller(), first["nextCursor"])
    assert [item["uri"] for item in rest["resources"]] == ["a://2", "b://0"]
    assert "nextCursor" not in rest
    assert [item["name"] for item in lists.prompts(caller(), None)["prompts"]] == ["a__p0", "a__p1"]
    only_b = caller("b__resources/read")
    assert [item["uri"] for item in lists.resources(only_b, None)["resources"]] == ["b://0"]
    assert [item["uriTemplate"] for item in lists.templates(only_b, None)["resourceTemplates"]] == ["b://0/{x}"]
    assert lists.prompts(only_b, None)["prompts"] == []
    assert lists.resources(caller("a__*", "b__*"), None)["resources"] == []


def test_an_exposure_of_search_lists_the_search_alone() -> None:
    assert walk(Shelf(*SIX), caller(exposure=Exposure.SEARCH)) == [[SEARCH]]
    shelf = Shelf(*SIX)
    shelf.lists = Lists(lambda: shelf.routes, 3, Exposure.SEARCH)
    assert walk(shelf, caller()) == [[SEARCH]]
    assert walk(shelf, caller(exposure=Exposure.ALL))[0] == [SEARCH, "up__a", "up__b"]


def test_a_search_finds_definitions_as_they_are_listed() -> None:
    shelf = Shelf("mail__send_letter", "files__read", page_size=50)
    said = shelf.found("send a letter", caller())
    assert said["tools"] == [tool for tool in shelf.lists.tools(caller(), None)["tools"] if tool["name"] != "files__read"]
    assert (said["more"], said["matches"]) == ([], 1)


def test_a_search_finds_nothing_that_the_caller_may_not_know_of_and_is_not_ranked_by_it() -> None:
    hidden = [f"b__pay_{number}" for number in range(50)]
    shelf, alone = Shelf("a__pay_bill", "a__bill_list", *hidden), Shelf("a__pay_bill", "a__bill_list")
    who = caller("a__*")
    assert shelf.found("pay", caller(), limit=20)["matches"] == 51
    assert shelf.found("pay list", who) == alone.found("pay list", caller())
    assert shelf.found("b", who)["matches"] == 0


def test_a_search_sees_a_tool_that_came_and_none_that_is_gone() -> None:
    shelf = Shelf("a__old")
    assert shelf.found("old", caller())["matches"] == 1
    shelf.put("a__new")
    assert (shelf.found("old", caller())["matches"], shelf.found("new", caller())["matches"]) == (0, 1)


def test_definitions_that_are_too_large_together_are_only_named() -> None:
    said = Shelf("a__pay_1", "a__pay_2", bytes_each=MAX_BYTES // 2).found("pay", caller())
    assert (len(said["tools"]), said["more"]) == (1, ["a__pay_2"])


@pytest.mark.parametrize("arguments", [{}, {"query": ""}, {"query": 1}, {"query": "a", "limit": 21}, {"query": "a", "x": 1}])
def test_arguments_outside_the_schema_are_told(arguments: dict[str, Any]) -> None:
    result = asyncio.run(Shelf(*SIX).lists.search(caller(), arguments))
    assert result["isError"]
    assert result["content"][0]["text"]
