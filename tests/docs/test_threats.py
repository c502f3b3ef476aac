"""The page on threats names every item of its lists, and controls and tests that exist."""

import re

import pytest

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "explanation" / "threats.md").read_text()
ITEMS = [f"{name}{number:02}" for name in ("LLM", "ASI", "MCP") for number in range(1, 11)]


@pytest.mark.parametrize("item", ITEMS)
def test_each_item_has_one_row_that_says_what_holds(item: str) -> None:
    (row,) = re.findall(rf"^\| {item} [^|]+\|([^|]+)\|$", PAGE, re.MULTILINE)
    assert row.strip()


def test_each_test_it_names_exists_and_tests_something() -> None:
    named = re.findall(r"`((?:tests|policies)/[\w/]+\.(?:py|rego))`", PAGE)
    assert len(named) > 30
    for name in named:
        assert re.search(r"^(?:async )?(?:def )?test_", (ROOT / name).read_text(), re.MULTILINE), name


def test_each_control_names_a_test() -> None:
    table = PAGE.partition("| control |")[2].partition("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines()[2:]]
    assert len(rows) > 15
    assert all("`" in row[3] for row in rows)
