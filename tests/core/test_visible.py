"""What a caller's globs do not name is not there for them, be it a tool or another thing of a server."""

import pytest

from gateway.core.capability import Capability
from gateway.core.catalog import Catalog, build_catalog
from gateway.core.method import READ, Method
from gateway.core.surface import Surface
from gateway.core.visible import is_visible
from tests.core.test_catalog import READ as READ_RULE
from tests.core.test_catalog import pins, tool

TOOLS = (tool("read", "files"), tool("send", "mail"))


def catalog() -> Catalog:
    surfaces = {name: Surface(READ, ({"uri": f"{name}://1", "name": "1"},)) for name in ("files", "mail")}
    return build_catalog(TOOLS, [("*", READ_RULE), ("*/*", READ_RULE)], pins(*TOOLS), surfaces=surfaces)


@pytest.mark.parametrize(
    ("globs", "seen"),
    [
        (None, {"files__read", "files__resources/read"}),
        ((), set()),
        (("files__*",), {"files__read"}),
        (("files__*/*",), {"files__resources/read"}),
        (("files__resources/*", "files__read"), {"files__read", "files__resources/read"}),
        (("mail__*", "*__prompts/get"), set()),
        (("FILES__*",), set()),
    ],
)
def test_globs_without_a_slash_name_tools_and_those_with_one_the_rest(globs: tuple[str, ...] | None, seen: set[str]) -> None:
    assert {name for name in ("files__read", "files__resources/read") if is_visible(name, globs)} == seen


@pytest.mark.parametrize("method", list(Method))
def test_what_is_not_visible_is_as_unknown_as_what_does_not_exist(method: Method) -> None:
    here = catalog()
    name = "send" if method is Method.TOOL else method.value
    assert isinstance(here.resolve(f"mail__{name}", method, ("mail__*", "mail__*/*")), Capability)
    hidden = here.resolve(f"mail__{name}", method, ("files__*", "files__*/*"))
    assert not isinstance(hidden, Capability)
    assert hidden == here.resolve(f"nowhere__{name}", method, ("files__*", "files__*/*"))


def test_that_a_tool_drifted_is_told_to_those_only_who_may_know_of_it() -> None:
    changed = build_catalog(TOOLS, [("*", READ_RULE)], {**pins(*TOOLS), "mail__send": "0" * 64})
    told = changed.resolve("mail__send", Method.TOOL, ("mail__*",))
    kept = changed.resolve("mail__send", Method.TOOL, ("files__*",))
    assert not isinstance(told, Capability)
    assert not isinstance(kept, Capability)
    assert (told.code, kept.code) == ("tool.drifted", "tool.unknown")
