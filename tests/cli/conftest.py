"""One gateway whose upstream lists tools with hostile names and texts."""

import json
from collections.abc import Iterator

import pytest

from tests.cli.hostile import HOSTILE_NAMES, STYLED
from tests.edge.box import Box, boxed


@pytest.fixture(scope="session")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A running gateway; its own tools are approved, the hostile ones cannot be. `loose` takes arguments of any name."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "box").mkdir()
    schema = {"type": "object", "additionalProperties": True, "description": STYLED}
    tools = [{"name": name, "description": name, "inputSchema": schema} for name in HOSTILE_NAMES]
    tools.append({"name": "styled", "title": STYLED, "description": STYLED, "inputSchema": schema})
    tools.append({"name": "loose", "inputSchema": {"type": "object", "additionalProperties": True}})
    (folder / "box" / "extra.json").write_text(json.dumps(tools))
    with boxed(folder, "  - {match: [box__styled, box__loose], mode: destructive}") as running:
        yield running
        assert running.faults() == []
