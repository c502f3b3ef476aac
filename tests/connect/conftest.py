"""A home and a folder for each test. Nothing of whoever runs the tests is read or written."""

import os
from pathlib import Path

import pytest

from tests.connect.world import YAML, Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty home, and a folder with a gateway.yaml, which is the current one."""
    for name in list(os.environ):
        if name.upper().startswith(("SEALGATE", "XDG_CONFIG", "CLAUDE_CONFIG", "CODEX_HOME")):
            monkeypatch.delenv(name)
    made = Home(tmp_path / "home", tmp_path / "shop")
    made.path.mkdir()
    made.folder.mkdir()
    monkeypatch.setenv("HOME", str(made.path))
    monkeypatch.chdir(made.folder)
    made.config.write_text(YAML)
    return made
