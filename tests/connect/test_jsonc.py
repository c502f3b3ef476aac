"""Edits of JSON with comments: what is put in is there, and nothing else changes, whatever the text looks like."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.clients.document import Addition, Malformed
from gateway.adapters.clients.json_file import JsonFile
from gateway.adapters.clients.jsonc import parse

FILE = JsonFile(("servers",), comments=True)
ENTRY = {"command": "sealgate", "args": ["serve", "--stdio"], "env": {"A": "ü"}}
GAPS = st.sampled_from(["", " ", "\n", "\n    ", "\r\n\t", " // note, {\n", "/* note } */", "\n  // note\n  "])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
SERVERS = st.dictionaries(st.text(max_size=4), st.dictionaries(st.text(max_size=4), VALUES, max_size=2), max_size=3)
COMMENT = re.compile(r"// note[^\r\n]*|/\* note } \*/")


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A document with servers in it, written in any style, and what it means."""
    document: dict[str, Any] = draw(st.dictionaries(st.sampled_from(["a", "b", "inputs "]), VALUES, max_size=2))
    if draw(st.booleans()):
        document["servers"] = draw(SERVERS)
        order: list[str] = draw(st.permutations(sorted(document)))
        document = {name: document[name] for name in order}

    def written(value: Any) -> str:
        if isinstance(value, dict | list):
            named = isinstance(value, dict)
            items = (
                [f"{json.dumps(key)}{draw(GAPS)}:{draw(GAPS)}{written(one)}" for key, one in value.items()]
                if isinstance(value, dict)
                else [written(one) for one in value]
            )
            text = ",".join(f"{draw(GAPS)}{item}{draw(GAPS)}" for item in items) or draw(GAPS)
            comma = "," if draw(st.booleans()) and items else ""
            return ("{" if named else "[") + text + comma + draw(GAPS) + ("}" if named else "]")
        return json.dumps(value, ensure_ascii=draw(st.booleans()))

    return draw(GAPS) + written(document) + draw(GAPS), document


@given(texts(), st.sampled_from(["sealgate", "a", ""]))
def test_a_server_comes_and_goes_and_nothing_else_changes(made: tuple[str, dict[str, Any]], name: str) -> None:
    text, document = made
    assert parse(text).value == document
    servers = document.get("servers", {})
    changed = FILE.put(text, Addition(name, ENTRY))
    assert parse(changed).value == {**document, "servers": {**servers, name: ENTRY}}
    assert FILE.put(changed, Addition(name, ENTRY)) == changed
    again = FILE.drop(changed, name)
    assert parse(again).value == {**document, "servers": {key: value for key, value in servers.items() if key != name}}
    if name not in servers:
        assert COMMENT.findall(again) == COMMENT.findall(text)


@given(st.text(alphabet='{}[]",:/*\\ \n\tabu01-.e', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for comments in (True, False):
        try:
            value = parse(text, comments=comments).value
        except Malformed:
            continue
        if not comments:
            assert json.loads(text) == value


@pytest.mark.parametrize(
    "text", ["[1 2]", '{"a" 1}', "{,}", "[1,]x", "01", "+1", "'a'", '"\\x"', '"a\nb"', "nul", "/* a", "{1: 2}"]
)
def test_what_json_does_not_allow_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        parse(text)
