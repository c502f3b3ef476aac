"""One gateway that runs with a note server behind it, and copies of its state for tests that break something."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.connect.conftest import home
from tests.connect.world import Home
from tests.policy.conftest import opa_binary
from tests.running import REPOSITORY, ModernClient, RunningGateway, run_cli

__all__ = ["home", "opa_binary"]

CONFIG = """\
listen: {{port: {port}}}
mcpServers:
  notes: {{command: {python}, args: [{script}, notes]}}
tools:
  - {{match: notes__write_note, mode: local_write}}
  - {{match: "notes__*", mode: read_only}}
"""


def config_text(port: int = 8750) -> str:
    return CONFIG.format(port=port, python=sys.executable, script=REPOSITORY / "examples" / "notes.py")


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A running gateway whose tools are approved; two calls were made."""
    gateway = RunningGateway(tmp_path_factory.mktemp("shop"))
    gateway.configure(config_text(gateway.port))
    with gateway:
        gateway.approve_tools()
        with ModernClient(gateway) as client:
            client.call("notes__list_notes", {})
            client.call("notes__write_note", {"name": "diary", "text": "x"}, key="k1")
        yield gateway


@pytest.fixture(scope="session")
def backup(shop: RunningGateway, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of its state."""
    folder = tmp_path_factory.mktemp("backups") / "one"
    assert shop.run("state", "backup", str(folder)).returncode == 0
    return folder


@pytest.fixture
def stopped(home: Home, shop: RunningGateway, backup: Path) -> Home:
    """A deployment of its own in the current folder, on a copy of that state. Nothing runs on it."""
    home.config.write_text(config_text())
    shutil.copy(shop.folder / "gateway.lock", home.folder)
    state = home.folder / ".sealgate"
    state.mkdir(mode=0o700)
    for name in ("journal.db", "vault.db"):
        shutil.copy(backup / name, state)
        (state / name).chmod(0o600)
    for name in ("keys", "dev"):
        shutil.copytree(shop.state / name, state / name)
    return home


@pytest.fixture
def beside(home: Home, shop: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home of its own, in the folder of the running gateway."""
    monkeypatch.chdir(shop.folder)
    return Home(home.path, shop.folder)


def repair(line: str) -> None:
    """Run the `sealgate` command that was printed, without its question."""
    words = shlex.split(line)
    assert words[0] == "sealgate"
    said = run_cli(*words[1:], *(["--yes"] if words[1] in ("connect", "import") else []))
    assert said.code == 0, said.stderr


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file of a folder, its mode and its bytes, without what SQLite makes to read a file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(folder.rglob("*"))
        if not path.name.endswith(("-shm", "-wal", ".sock")) and os.path.exists(path)
    }
