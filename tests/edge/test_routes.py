"""What clients call things, and whose a resource is."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.capability import ToolDefinition
from gateway.core.catalog import Catalog, build_catalog, skeleton
from gateway.core.method import Method
from gateway.core.surface import Surface
from gateway.edge.routes import Routes
from tests.core.test_catalog import READ, pins, tool

READS = frozenset({Method.RESOURCE, Method.PROMPT})


def catalog_of(*tools: ToolDefinition, **surfaces: Surface) -> Catalog:
    return build_catalog(tools, [("*", READ)], pins(*tools), surfaces=surfaces)


def resources(*uris: str) -> tuple[dict[str, Any], ...]:
    return tuple({"uri": uri, "name": uri} for uri in uris)


def called(*tools: ToolDefinition, bare: set[str]) -> dict[str, str]:
    return {name: tool.id for name, tool in Routes.of(catalog_of(*tools), frozenset(bare)).tools.items()}


def test_names_have_their_server_in_front_unless_it_is_bare() -> None:
    tools = tool("read", "files"), tool("send", "mail")
    assert called(*tools, bare=set()) == {"files__read": "files__read", "mail__send": "mail__send"}
    assert called(*tools, bare={"files"}) == {"read": "files__read", "mail__send": "mail__send"}


def test_bare_names_that_are_or_look_alike_keep_their_server() -> None:
    tools = tool("read", "one"), tool("reaD", "two"), tool("list", "two"), tool("1ist", "one")
    assert set(called(*tools, bare={"one", "two"})) == {"one__read", "two__reaD", "two__list", "one__1ist"}


def test_a_bare_name_takes_no_other_servers_place() -> None:
    tools = tool("read", "files"), tool("files__read", "sly")
    names = called(*tools, bare={"sly"})
    assert names["files__read"] == "files__read"
    assert names["sly__files__read"] == "sly__files__read"


def test_the_name_with_the_server_in_front_always_works() -> None:
    catalog = catalog_of(tool("read", "files"))
    routes = Routes.of(catalog, frozenset({"files"}))
    assert {routes.tool(catalog, "read"), routes.tool(catalog, "files__read")} == {"files__read"}


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["x", "X", "a__x", "b__x", "l", "1"])), unique=True))
def test_every_tool_is_called_by_one_name_and_no_two_names_look_alike(pairs: list[tuple[str, str]]) -> None:
    catalog = catalog_of(*(tool(name, upstream) for upstream, name in pairs))
    names = Routes.of(catalog, frozenset({"a", "b"})).tools
    assert sorted(tool.id for tool in names.values()) == sorted(catalog.capabilities)
    assert len({skeleton(name) for name in names}) == len(names)
    for name, capability in names.items():
        assert Routes.of(catalog, frozenset({"a", "b"})).tool(catalog, name) == capability.id


def test_a_resource_that_two_servers_list_is_read_from_the_first_in_the_configuration() -> None:
    mine, sly = Surface(READS, resources("file:///a")), Surface(READS, resources("file:///a", "file:///b"))
    routes = Routes.of(catalog_of(mine=mine, sly=sly), frozenset())
    assert (routes.reader("file:///a"), routes.reader("file:///b"), routes.reader("file:///c")) == ("mine", "sly", None)
    assert [item.upstream for item in routes.resources.values()] == ["mine", "sly"]


def test_a_resource_that_nobody_lists_is_read_by_a_template_that_fits_or_by_the_only_reader() -> None:
    templates = ({"uriTemplate": "db://{table}/rows", "name": "rows"}, {"uriTemplate": "{{bad", "name": "bad"})
    db, other = Surface(READS, templates=templates), Surface(READS)
    two = Routes.of(catalog_of(other=other, db=db), frozenset())
    assert (two.reader("db://t/rows"), two.reader("db://t/x/rows"), two.reader("else://")) == ("db", None, None)
    assert set(two.templates) == {"db://{table}/rows", "{{bad"}
    assert Routes.of(catalog_of(other=other), frozenset()).reader("else://") == "other"


def test_prompts_are_named_like_tools_and_completed_by_their_server_under_its_own_name() -> None:
    one, two = (Surface(READS, prompts=({"name": "ask"}, {"name": name})) for name in ("only", "other"))
    routes = Routes.of(catalog_of(one=one, two=two), frozenset({"one", "two"}))
    assert list(routes.prompts) == ["one__ask", "only", "two__ask", "other"]
    assert routes.completer({"type": "ref/prompt", "name": "two__ask"}) == ("two", {"type": "ref/prompt", "name": "ask"})
    assert routes.completer({"type": "ref/prompt", "name": "ask"}) is None


@pytest.mark.parametrize("more", ["{b}", "{?" + ",".join(f"v{number}" for number in range(200)) + "}"])
def test_an_upstream_with_very_many_templates_keeps_nobody_waiting(more: str) -> None:
    templates = tuple({"uriTemplate": f"{{+a}}/{number}/q{more}", "name": "one"} for number in range(15_000))
    catalog = catalog_of(files=Surface(READS, (), templates, ()), mail=Surface(READS, resources("mail://one"), (), ()))
    began = time.monotonic()
    routes = Routes.of(catalog, frozenset())
    assert routes.reader("x://" + "/1" * 30_000) is None
    assert routes.reader("x://" + "/1" * 4_000) is None
    assert routes.reader("mail://one") == "mail"
    assert time.monotonic() - began < 2.0
    assert len(routes.templates) == len(templates)
