"""The notes server, run for real over stdio and called as an MCP client would."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp_types import TextContent

pytestmark = pytest.mark.anyio
SERVER = Path(__file__).parents[2] / "examples" / "notes.py"
NAMED_CALLS: list[tuple[str, dict[str, str]]] = [
    ("read_note", {}),
    ("delete_note", {}),
    ("write_note", {"text": "x"}),
    ("append_note", {"text": "x"}),
]


@asynccontextmanager
async def attached(folder: Path, mode: Any = "auto") -> AsyncIterator[Client]:
    async with Client(StdioServerParameters(command=sys.executable, args=[str(SERVER), str(folder)]), mode=mode) as client:
        yield client


async def call(client: Client, tool: str, **arguments: object) -> tuple[str, bool]:
    """The text of the result, and whether the server called it an error."""
    result = await client.call_tool(tool, arguments)
    text = result.content[0]
    assert isinstance(text, TextContent)
    return text.text, bool(result.is_error)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_both_eras_list_closed_schemas_and_honest_annotations(tmp_path: Path, mode: str) -> None:
    async with attached(tmp_path, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert sorted(tools) == ["append_note", "delete_note", "list_notes", "read_note", "write_note"]
    for name, tool in tools.items():
        assert tool.input_schema["additionalProperties"] is False
        assert all("description" in field for field in tool.input_schema["properties"].values())
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (name in {"list_notes", "read_note"})
        assert tool.annotations.destructive_hint is (name in {"write_note", "delete_note"})
        assert tool.annotations.idempotent_hint is (name != "append_note")


async def test_a_missing_folder_is_made_with_one_note_in_it(tmp_path: Path) -> None:
    async with attached(tmp_path / "new" / "notes") as client:
        assert await call(client, "list_notes") == ("welcome", False)
        assert "Welcome" in (await call(client, "read_note", name="welcome"))[0]


async def test_a_note_is_written_replaced_read_and_deleted(tmp_path: Path) -> None:
    async with attached(tmp_path) as client:
        await call(client, "write_note", name="plan", text="a long first version")
        await call(client, "write_note", name="plan", text="short")
        assert await call(client, "read_note", name="plan") == ("short", False)
        assert (tmp_path / "plan.md").read_text() == "short"
        assert not (await call(client, "delete_note", name="plan"))[1]
        assert (await call(client, "read_note", name="plan"))[1]
    assert os.listdir(tmp_path) == []


async def test_appending_twice_shows_as_two_lines(tmp_path: Path) -> None:
    async with attached(tmp_path) as client:
        await call(client, "append_note", name="log", text="called")
        text, _ = await call(client, "append_note", name="log", text="called")
    assert "2 lines" in text
    assert (tmp_path / "log.md").read_text() == "called\ncalled\n"


async def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (tmp_path / "outside.md").write_text("secret")
    async with attached(folder) as client:
        for name in ["../outside", "/etc/passwd", "a/b", "..", ".hidden", "", "a\0b", "plan.md", "note\n", "x" * 65]:
            for tool, more in NAMED_CALLS:
                text, is_error = await call(client, tool, name=name, **more)
                assert (is_error, "secret" in text) == (True, False), (tool, name)
            assert os.listdir(folder) == [], name
            assert (tmp_path / "outside.md").read_text() == "secret", name


async def test_a_link_or_a_pipe_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    outside = tmp_path / "outside.md"
    outside.write_text("secret")
    (folder / "link.md").symlink_to(outside)
    os.mkfifo(folder / "pipe.md")
    async with attached(folder) as client:
        for name in ("link", "pipe"):
            for tool, more in {
                "read_note": {},
                "delete_note": {},
                "write_note": {"text": "x"},
                "append_note": {"text": "x"},
            }.items():
                text, is_error = await call(client, tool, name=name, **more)
                assert is_error
                assert "secret" not in text
        assert await call(client, "list_notes") == ("There are no notes.", False)
    assert outside.read_text() == "secret"


async def test_wrong_arguments_and_unknown_tools_are_told_as_errors(tmp_path: Path) -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("read_note", {}),
        ("read_note", {"name": 5}),
        ("read_note", {"name": "plan", "folder": "/"}),
        ("list_notes", {"name": "plan"}),
        ("write_note", {"name": "plan", "text": "x" * 65537}),
        ("shred_note", {"name": "plan"}),
    ]
    async with attached(tmp_path) as client:
        for tool, arguments in wrong:
            _, is_error = await call(client, tool, **arguments)
            assert is_error, (tool, arguments)
    assert os.listdir(tmp_path) == []


async def test_a_note_that_would_grow_too_large_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "big.md").write_text("x" * (256 * 1024 - 10))
    async with attached(tmp_path) as client:
        text, is_error = await call(client, "append_note", name="big", text="y" * 100)
    assert is_error
    assert "another note" in text
    assert "y" not in (tmp_path / "big.md").read_text()
