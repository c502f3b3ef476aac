"""Servers put into gateway.yaml: whatever form the file has, they are there, and all else is byte for byte what it was."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.settings.merge import NotMerged, with_servers
from gateway.settings.yaml_source import parse_document

NEW = {
    "files": {"command": "npx", "args": ["-y", "1", "true", "a: b # c"], "env": {"A": "${A}", "ON": "yes", "N": "017"}},
    "web": {"url": "https://x.example/mcp", "headers": {"Authorization": 'Bearer "ü\\"'}},
}
FORMS = [
    "",
    "# nothing but a comment\n",
    "tenant: shop  # ours",
    "tenant: shop\n\n# the end\n",
    "mcpServers:\ntools: []\n",
    "mcpServers: {}  # none yet\ntools: []\n",
    "mcpServers:\n  a: {command: x}  # one\n\n# rules\ntools: []\n",
    "mcpServers:\n    a:\n        command: x\n        args:\n        - y  # z\n    # no more\n",
    "mcpServers:\n  a:\n    command: >-\n      x\n\n\ntools: []\n",
    "mcpServers:\n  a:\n    command: x\n    args: [\n      y,\n    ]\ntools: []\n",
    "mcpServers:\n  a: &a {command: x}\n  b: *a\ntools: []\n",
    "mcpServers: {a: {command: x}}\r\ntools: []\r\n",
    "mcpServers:\r\n  a:\r\n    command: x\r\n",
    '{"mcpServers": {"a": {"command": "x"}}, "tools": []}',
    '{\n\t"mcpServers": {\n\t}\n}\n',
    '{"tenant": "x"}\n',
    "\ufeffmcpServers:\n  a: {command: x}\n",
    "---\nmcpServers:\n  a: {command: x}\n",
]


def plain(text: str) -> dict[str, Any]:
    document = parse_document(text.encode(), tabs=True)
    value = {} if document is None else document.root.plain()
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize("text", FORMS)
def test_servers_are_added_to_every_form_and_no_line_changes(text: str) -> None:
    changed = with_servers(text, NEW)
    before = plain(text)
    assert plain(changed) == {**before, "mcpServers": {**(before.get("mcpServers") or {}), **NEW}}
    left = iter(changed)
    assert all(char in left for char in text if char not in "{}"), "something is missing, or not in its order"
    assert changed.count("#") >= text.count("#")


@pytest.mark.parametrize(
    "text", ["- a\n", "x: &a {}\nmcpServers: *a\n", "mcpServers: [a]\n", "mcpServers: {files: {}}\n", "a: b\n...\n"]
)
def test_a_form_in_which_there_is_no_place_for_them_is_refused(text: str) -> None:
    with pytest.raises(NotMerged):
        with_servers(text, NEW)


@settings(max_examples=60)
@given(
    st.sampled_from(FORMS),
    st.dictionaries(
        st.from_regex(r"[a-z]{2,6}", fullmatch=True),
        st.dictionaries(
            st.sampled_from(["command", "url", "cwd"]),
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12),
        ),
        min_size=1,
        max_size=2,
    ),
)
def test_any_text_in_a_server_means_itself(text: str, servers: dict[str, dict[str, str]]) -> None:
    before = plain(text)
    assert plain(with_servers(text, servers)) == {**before, "mcpServers": {**(before.get("mcpServers") or {}), **servers}}
