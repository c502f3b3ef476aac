"""Published npm programs on both sides of the gateway: the MCP Inspector in front, server-filesystem behind."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running import ModernClient, RunningGateway, outcome, running, text

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    (folder / "hello.txt").write_text("hello from a file\n")
    return folder


@pytest.fixture(scope="module")
def gateway(node_modules: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    server = node_modules / "@modelcontextprotocol" / "server-filesystem" / "dist" / "index.js"
    config = f"""
mcpServers:
  files:
    command: {node_modules / ".bin" / "node"}
    args: [{server}, {folder}]
tools:
  - {{match: files__read_text_file, mode: read_only, trust: trusted, owner: test}}
  - {{match: files__list_directory, mode: read_only, trust: trusted, owner: test}}
  - {{match: files__write_file, mode: local_write, trust: trusted, owner: test}}
"""
    with running(tmp_path_factory.mktemp("gateway"), config) as gateway:
        yield gateway


def inspect(gateway: RunningGateway, node_modules: Path, home: Path, *arguments: str) -> Any:
    """Run the Inspector's command line against the gateway; its JSON."""
    done = subprocess.run(
        [
            str(node_modules / ".bin" / "mcp-inspector"),
            *("--cli", gateway.url, "--transport", "http", "--header", f"Authorization: Bearer {gateway.token}"),
            *arguments,
        ],
        env={**os.environ, "HOME": str(home), "PATH": f"{node_modules / '.bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_lists_and_calls_tools_through_the_gateway(
    gateway: RunningGateway, node_modules: Path, folder: Path, tmp_path: Path, era: str
) -> None:
    listed = inspect(gateway, node_modules, tmp_path, "--protocol-era", era, "--method", "tools/list")
    assert {tool["name"] for tool in listed["tools"]} == {
        "files__read_text_file",
        "files__list_directory",
        "files__write_file",
    }

    called = inspect(
        gateway,
        node_modules,
        tmp_path,
        *("--protocol-era", era, "--method", "tools/call", "--tool-name", "files__read_text_file"),
        *("--tool-arg", f"path={folder / 'hello.txt'}"),
    )
    assert "hello from a file" in called["content"][0]["text"]


def test_server_filesystem_works_behind_the_gateway_and_a_repeated_write_happens_once(
    gateway: RunningGateway, folder: Path
) -> None:
    with ModernClient(gateway) as client:
        written = {"path": str(folder / "new.txt"), "content": "first"}
        first = client.call("files__write_file", written, key="write-1")
        assert outcome(first) == {"outcome": "completed"}, text(first)
        (folder / "new.txt").write_text("changed by hand")
        again = client.call("files__write_file", written, key="write-1")
        assert outcome(again) == {"outcome": "replayed"}
    assert (folder / "new.txt").read_text() == "changed by hand"


def test_a_tool_that_nobody_classified_stays_hidden(gateway: RunningGateway, folder: Path) -> None:
    with ModernClient(gateway) as client:
        answer = client.call("files__move_file", {"source": str(folder / "hello.txt"), "destination": str(folder / "x")})
    assert answer["error"]["code"] == -32602
    assert (folder / "hello.txt").exists()
