"""The tutorial, typed in: every block is run by a shell, and what it prints is what the page says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks
from tests.examples.conftest import running_desk
from tests.running import RunningGateway

TUTORIAL = ROOT / "docs" / "tutorial" / "first-governed-call.md"
STARTS = "make run"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    """What `make run` starts, in a folder and on ports of its own."""
    with running_desk(tmp_path / "desk.sqlite") as desk:
        config = (ROOT / "examples" / "gateway.yaml").read_text()
        for theirs, ours in (
            ("state: ../.sealgate", "state: .sealgate"),
            ("${EXAMPLES_PYTHON:-../.venv/bin/python}", sys.executable),
            ("notes.py, data/notes", f"{ROOT}/examples/notes.py, {tmp_path}/notes"),
            ("http://127.0.0.1:8801/mcp", desk),
        ):
            assert theirs in config
            config = config.replace(theirs, ours)
        shutil.copy(ROOT / "examples" / "gateway.lock", tmp_path)
        running = RunningGateway(tmp_path)
        running.configure(config)
        with running:
            yield running


class Shell:
    """A reader in a terminal: each block is typed after all definitions of the ones before."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self._definitions = ""
        self.code = 0
        self.approval = ""
        bin_ = gateway.folder / ".venv" / "bin"
        bin_.mkdir(parents=True)
        (bin_ / "python").symlink_to(sys.executable)
        (bin_ / "sealgate").write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m gateway "$@"\n')
        (bin_ / "sealgate").chmod(0o755)

    def type(self, block: Block) -> str:
        """Run it, answering yes to a question; what was printed."""
        text = block.text.replace("127.0.0.1:8750", f"127.0.0.1:{self._gateway.port}")
        text = text.replace("/tmp/copy", str(self._gateway.folder / "copy")).replace(
            "approve ID", f"approve {self.approval}"
        )
        if text.startswith("export "):
            exported, _, text = text.partition("\n")
            self._definitions += exported + "\n"
        if text.startswith("call()"):
            self._definitions += text
            return ""
        done = subprocess.run(
            ["bash", "-c", self._definitions + text],
            cwd=self._gateway.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self._gateway.folder), "NO_COLOR": "1"},
            input="y\n",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.code = done.returncode
        if asked := re.search(r"Approval id: ([0-9a-f-]{36})", done.stdout):
            self.approval = self.approval or asked[1]
        return done.stdout


@pytest.mark.timeout(300)
def test_a_reader_gets_what_the_page_says(gateway: RunningGateway) -> None:
    steps = [block for block in blocks("sh", "text") if block.page == TUTORIAL]
    assert steps[0].text.strip() == STARTS
    shell = Shell(gateway)
    typed: list[tuple[str, str]] = []
    for step in steps[1:]:
        if step.language == "sh":
            typed.append((step.text.strip(), shell.type(step)))
        else:
            told = ".*".join(re.escape(part) for part in step.text.strip().split("…"))
            assert re.search(told, typed[-1][1], re.DOTALL), f"{step}: {typed[-1][1]}"
    ends = [printed.partition("\n")[0] for text, printed in typed if text.startswith("call desk__refund")]
    assert ends == ["awaiting_approval", "awaiting_approval", "completed"]
    assert re.search(r"notes__delete_note +hidden: unclassified", typed[0][1])
    assert [text for text, printed in typed if "\nOK: " in printed] == ["sealgate log list\nsealgate log verify"]
    assert shell.code == 6
