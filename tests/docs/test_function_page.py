"""The sample module of the page on functions is one that can be served, and does what the page says of it."""

import asyncio
import sys
from pathlib import Path

import pytest

from gateway.functions.module import load_module, tools_of
from sealgate import ToolError
from tests.docs.pages import blocks

(SAMPLE,) = (block for block in blocks("python") if block.page.name == "functions.md")


def test_the_sample_module_has_the_tools_that_the_page_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    module = tmp_path / "sample_of_the_page.py"
    module.write_text(SAMPLE.text)
    tools = tools_of(load_module(str(module)))
    listed = next(block for block in blocks("") if block.page == SAMPLE.page)
    assert {f"shop__{name}" for name in tools} == {line.split()[0] for line in listed.text.splitlines()[1:]}
    ordered = asyncio.run(tools["order"].function("pencil", 2))
    assert tools["order"].signature.written(ordered) == {"item": "pencil", "total": 240}
    with pytest.raises(ToolError):
        tools["price"].function("ship")
