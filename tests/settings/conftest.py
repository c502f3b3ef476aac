"""A folder of its own and no SEALGATE__ variable from outside: settings come from the test alone."""

import os
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.core.errors import ConfigError
from gateway.settings import load_settings

Write = Callable[..., Path]
Told = Callable[[str], list[str]]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("SEALGATE"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file into the current folder and gives its relative path, so that messages are the same everywhere."""

    def write_file(text: str | bytes, name: str = "gateway.yaml") -> Path:
        data = textwrap.dedent(text).encode() if isinstance(text, str) else text
        (tmp_path / name).write_bytes(data)
        return Path(name)

    return write_file


@pytest.fixture
def told(write: Write) -> Told:
    """The lines of the error that loading a text raises."""

    def lines(text: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            load_settings(write(text))
        assert raised.value.exit_code == 2
        assert raised.value.hint
        return raised.value.message.splitlines()

    return lines
