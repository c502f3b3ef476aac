"""Settings are changed in the text of their files: what is not changed stays as it is, however it is laid out."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.policy.settings_files import edited, unified_diff
from gateway.core.errors import ConfigError
from gateway.core.lifts import SETTINGS, Copied, Edit, Longer, Number

HOSTS = (*SETTINGS, "egress_allow")
RATE = (*SETTINGS, "network_calls_per_minute")
LAYOUTS = {
    "one line": '{"sealgate": {"settings": {"egress_allow": ["a.example", "b.example"], "x": 1}}}',
    "compact": '{"sealgate":{"settings":{"egress_allow":["a.example","b.example"],"x":1}}}\n',
    "tabs": '{\n\t"sealgate": {\n\t\t"settings": {\n\t\t\t"egress_allow": [\n\t\t\t\t"a.example",\n\t\t\t\t"b.example"'
    '\n\t\t\t],\n\t\t\t"x": 1\n\t\t}\n\t}\n}\n',
    "one of a list": '{"sealgate": {"settings": {\n  "egress_allow": [\n    "a.example"\n  ]\n}}}\n',
    "empty": '{"sealgate": {"settings": {"egress_allow": [ ], "x": 1}}}\n',
    "not there": '{"sealgate": {"settings": {\n    "x": 1,\n    "y": "egress_allow"\n}}}\n',
    "no settings yet": '{"sealgate": {"settings": {}}}',
    "windows": '{"sealgate": {\r\n "settings": {\r\n  "x": "\\"}]",\r\n  "egress_allow": ["a.example"]\r\n }\r\n}}\r\n',
    "odd characters": '{"sealgate": {"settings": {"x": "\u2028\x85é",\n "egress_allow": ["a.example"]}}}',
    "odd names": '{"sealgate": {"settings": {"egress\\u005fallow": ["a.example"], "x": {"egress_allow": [1]}}}}',
}
DATA = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


def after(text: str, *edits: Edit) -> str:
    return edited({"data.json": text.encode()}, edits, Path("policies"))["data.json"]


@pytest.mark.parametrize("command", [("git", "apply", "-"), ("patch", "-p1", "--binary")], ids=["git", "patch"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_diff_makes_the_new_text_of_the_old_one(layout: str, command: tuple[str, ...], tmp_path: Path) -> None:
    before = LAYOUTS[layout]
    new = after(before, Longer(HOSTS, ("c.example",)))
    (tmp_path / "data.json").write_bytes(before.encode())
    diff = "# a comment\n" + unified_diff("data.json", before, new)
    done = subprocess.run(command, cwd=tmp_path, input=diff.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done
    assert (tmp_path / "data.json").read_bytes() == new.encode()
    old, now = json.loads(before)["sealgate"]["settings"], json.loads(new)["sealgate"]["settings"]
    assert now == {**old, "egress_allow": [*old.get("egress_allow", []), "c.example"]}


def test_a_list_is_longer_in_its_own_layout() -> None:
    assert after(LAYOUTS["compact"], Longer(HOSTS, ("c.example",))) == LAYOUTS["compact"].replace(
        '"b.example"', '"b.example","c.example"'
    )
    assert after(LAYOUTS["tabs"], Longer(HOSTS, ("c.example",))) == LAYOUTS["tabs"].replace(
        '"b.example"', '"b.example",\n\t\t\t\t"c.example"'
    )
    assert after(LAYOUTS["one of a list"], Longer(HOSTS, ("c.example",))) == LAYOUTS["one of a list"].replace(
        '"a.example"', '"a.example",\n    "c.example"'
    )
    assert after(LAYOUTS["one line"], Longer(HOSTS, ("b.example", "a.example"))) == LAYOUTS["one line"]


def test_what_enters_is_written_so_that_it_can_be_seen() -> None:
    new = after(LAYOUTS["one line"], Longer(HOSTS, ("\u202ea<b>\n",)))
    assert r'"\u202ea\u003cb\u003e\n"]' in new
    assert json.loads(new)["sealgate"]["settings"]["egress_allow"][-1] == "\u202ea<b>\n"


@pytest.mark.parametrize("indent", [None, 0, 1, 4, "\t"])
@settings(deadline=None)
@given(other=st.dictionaries(st.text(max_size=6), DATA, max_size=4), value=st.integers(0, 10**6))
def test_whatever_else_is_there_stays(indent: Any, other: dict[str, Any], value: int) -> None:
    before = {**other, "constraints": {"a__*": {"ask_above": 1, "paths": ["x"]}}}
    document = {"first": other, "sealgate": {"settings": before, "last": other}}
    new = after(
        json.dumps(document, indent=indent, ensure_ascii=False),
        Number(RATE, value),
        Longer(HOSTS, ("x", "y")),
        Copied((*SETTINGS, "constraints", "a__*"), "a__b", "ask_above", value),
    )
    hosts = other.get("egress_allow", [])
    hosts = hosts if isinstance(hosts, list) else []
    constraints = {"a__*": {"ask_above": 1, "paths": ["x"]}, "a__b": {"ask_above": value, "paths": ["x"]}}
    wanted = {**other, "constraints": constraints, RATE[-1]: value, "egress_allow": [*hosts, "x", "y"]}
    assert json.loads(new) == {"first": other, "sealgate": {"settings": wanted, "last": other}}


def test_the_file_is_the_one_that_holds_the_setting() -> None:
    files = {
        "authz.rego": b"package sealgate.authz\n",
        "data.json": b'{"sealgate": {"settings": {"x": 1}}}',
        "sealgate/settings/data.json": b'{"egress_allow": ["a.example"], "constraints": {}}',
        "sealgate/settings/constraints/a__*/data.json": b'{"ask_above": 1}',
        "other/sealgate/settings/data.json": b'{"egress_allow": []}',
    }
    path = Path("policies")
    assert list(edited(files, [Longer(HOSTS, ("b.example",))], path)) == ["sealgate/settings/data.json"]
    limit = Number((*SETTINGS, "constraints", "a__*", "ask_above"), 2)
    assert list(edited(files, [limit], path)) == ["sealgate/settings/constraints/a__*/data.json"]
    with pytest.raises(ConfigError, match="one entry alone"):
        edited(files, [Copied((*SETTINGS, "constraints", "a__*"), "a__b", "ask_above", 2)], path)
    with pytest.raises(ConfigError, match="cannot be told to patch"):
        unified_diff("sealgate/settings/constraints/a__*/data.json", "a", "b")
    with pytest.raises(ConfigError, match=r"no data\.json has a place for the setting egress_allow"):
        edited({"data.json": b'{"sealgate": {}}'}, [Longer(HOSTS, ("b.example",))], path)
