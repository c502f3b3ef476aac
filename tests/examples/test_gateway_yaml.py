"""The example configuration fits the servers it is about: each tool has a rule, but the one that is left out on purpose."""

import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from gateway.settings import load_settings

pytestmark = pytest.mark.anyio
EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_every_tool_but_delete_note_has_a_rule_and_every_rule_a_tool(desk: str, tmp_path: Path) -> None:
    notes = StdioServerParameters(command=sys.executable, args=[str(EXAMPLES / "notes.py"), str(tmp_path)])
    tools = set()
    for upstream, server in (("notes", notes), ("desk", desk)):
        async with Client(server) as client:
            tools |= {f"{upstream}__{tool.name}" for tool in (await client.list_tools()).tools}
    settings = load_settings(EXAMPLES / "gateway.yaml")
    globs = [glob for rule in settings.configuration.tools for glob in rule.match]
    assert settings.warnings == ()
    assert {tool for tool in tools if not any(fnmatchcase(tool, glob) for glob in globs)} == {"notes__delete_note"}
    assert [glob for glob in globs if not any(fnmatchcase(tool, glob) for tool in tools)] == []
