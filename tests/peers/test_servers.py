"""Published MCP servers over stdio behind one gateway: three from npm and two from PyPI, by command, as a user has them.

Of each: its tools, a read, a write that happens once however often it is made, a resource and a prompt where it has some,
and a log that verifies.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.running import ModernClient, RunningGateway, outcome, running, text

pytestmark = [pytest.mark.node, pytest.mark.peers]


@dataclass(frozen=True)
class World:
    """The gateway, and what its servers work on."""

    gateway: RunningGateway
    files: Path
    memory: Path
    repository: Path


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=repository, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def configured(npm: Path, pypi: Path, files: Path, memory: Path, repository: Path) -> str:
    """Every server with its tools that read and the one that writes; nothing is said of the others."""

    def node(package: str, *arguments: Path, env: str = "{}") -> str:
        program = npm / "@modelcontextprotocol" / package / "dist" / "index.js"
        words = json.dumps([str(each) for each in (program, *arguments)])
        return f"{{command: {npm / '.bin' / 'node'}, args: {words}, env: {env}}}"

    return f"""
mcpServers:
  files: {node("server-filesystem", files)}
  everything: {node("server-everything")}
  memory: {node("server-memory", env=f"{{MEMORY_FILE_PATH: {memory}}}")}
  git: {{command: {pypi / "mcp-server-git"}, args: [--repository, {repository}]}}
  time: {{command: {pypi / "mcp-server-time"}, args: [--local-timezone, Etc/UTC]}}
tools:
  - match: [files__read_text_file, everything__get-sum, memory__read_graph, git__git_log, time__convert_time]
    mode: read_only
    trust: trusted
  - {{match: [files__write_file, memory__create_entities, git__git_commit], mode: local_write, trust: trusted}}
"""


@pytest.fixture(scope="module")
def world(node_modules: Path, peer_programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All five servers behind one gateway. At the end its log must verify."""
    files, repository = tmp_path_factory.mktemp("files"), tmp_path_factory.mktemp("repository")
    memory = tmp_path_factory.mktemp("memory") / "graph.jsonl"
    (files / "hello.txt").write_text("hello from a file\n")
    for setup in (("init", "--initial-branch=main"), ("config", "user.name", "t"), ("config", "user.email", "t@t")):
        git(repository, *setup)
    git(repository, "commit", "--allow-empty", "--message=first")
    config = configured(node_modules, peer_programs, files, memory, repository)
    with running(tmp_path_factory.mktemp("gateway"), config) as gateway:
        yield World(gateway, files, memory, repository)
        gateway.run("log", "verify")


DOCUMENT = "demo://resource/static/document/architecture.md"
SERVERS = {
    "files": {"files__read_text_file", "files__write_file"},
    "everything": {"everything__get-sum"},
    "memory": {"memory__read_graph", "memory__create_entities"},
    "git": {"git__git_log", "git__git_commit"},
    "time": {"time__convert_time"},
}


def test_the_tools_that_are_classified_are_listed_and_no_others(world: World) -> None:
    with ModernClient(world.gateway) as client:
        listed = client.request("tools/list", {})["result"]["tools"]
    names = {tool["name"] for tool in listed}
    for server, expected in SERVERS.items():
        assert {name for name in names if name.startswith(f"{server}__")} == expected


READS: dict[str, tuple[str, Callable[[World], dict[str, Any]], str]] = {
    "files": ("files__read_text_file", lambda world: {"path": str(world.files / "hello.txt")}, "hello from a file"),
    "everything": ("everything__get-sum", lambda world: {"a": 20, "b": 22}, "42"),
    "memory": ("memory__read_graph", lambda world: {}, "entities"),
    "git": ("git__git_log", lambda world: {"repo_path": str(world.repository)}, "first"),
    "time": (
        "time__convert_time",
        lambda world: {"source_timezone": "Asia/Tokyo", "time": "09:00", "target_timezone": "Etc/UTC"},
        "T00:00:00",
    ),
}


@pytest.mark.parametrize("server", READS)
def test_a_read_is_answered_by_the_server(world: World, server: str) -> None:
    tool, arguments, says = READS[server]
    with ModernClient(world.gateway) as client:
        answer = client.call(tool, arguments(world))
    assert outcome(answer) == {"outcome": "completed"}, text(answer)
    assert answer["result"].get("isError", False) is False
    assert says in text(answer)


def write_file(world: World) -> dict[str, Any]:
    return {"path": str(world.files / "new.txt"), "content": "written once"}


def create_entities(world: World) -> dict[str, Any]:
    return {"entities": [{"name": "sealgate", "entityType": "gateway", "observations": ["stands between"]}]}


def commit(world: World) -> dict[str, Any]:
    (world.repository / "work.txt").write_text("work")
    git(world.repository, "add", "work.txt")
    return {"repo_path": str(world.repository), "message": "second"}


def undo_file(world: World) -> None:
    (world.files / "new.txt").write_text("changed by hand")


def undo_entities(world: World) -> None:
    world.memory.write_text("")


def undo_commit(world: World) -> None:
    git(world.repository, "reset", "--soft", "HEAD~1")


WRITES: dict[str, tuple[str, Callable[[World], dict[str, Any]], Callable[[World], str], Callable[[World], None]]] = {
    "files": ("files__write_file", write_file, lambda world: (world.files / "new.txt").read_text(), undo_file),
    "memory": ("memory__create_entities", create_entities, lambda world: world.memory.read_text(), undo_entities),
    "git": ("git__git_commit", commit, lambda world: git(world.repository, "log", "--format=%s"), undo_commit),
}


@pytest.mark.parametrize("server", WRITES)
def test_a_write_that_is_made_twice_happens_once(world: World, server: str) -> None:
    """After the first one the effect is undone behind the server's back, so that a second one would show."""
    tool, arguments, effect, undo = WRITES[server]
    before = effect(world) if server == "git" else ""
    sent = arguments(world)
    with ModernClient(world.gateway) as client:
        first = client.call(tool, sent, key=f"{server}-1")
        assert outcome(first) == {"outcome": "completed"}, text(first)
        assert first["result"].get("isError", False) is False, text(first)
        assert effect(world) != before
        undo(world)
        undone = effect(world)
        assert outcome(client.call(tool, sent, key=f"{server}-1")) == {"outcome": "replayed"}
        assert effect(world) == undone


def test_a_resource_is_listed_and_read(world: World) -> None:
    with ModernClient(world.gateway) as client:
        listed = client.request("resources/list", {})["result"]["resources"]
        answer = client.request("resources/read", {"uri": DOCUMENT})["result"]
    assert DOCUMENT in {resource["uri"] for resource in listed}
    assert [content["uri"] for content in answer["contents"]] == [DOCUMENT]
    assert answer["contents"][0]["text"].startswith("# Everything Server")


def test_a_prompt_is_listed_and_got_with_its_arguments(world: World) -> None:
    with ModernClient(world.gateway) as client:
        listed = client.request("prompts/list", {})["result"]["prompts"]
        answer = client.request("prompts/get", {"name": "everything__args-prompt", "arguments": {"city": "Bern"}})["result"]
    assert "everything__args-prompt" in {prompt["name"] for prompt in listed}
    assert answer["messages"][0]["content"]["text"] == "What's weather in Bern?"


@pytest.mark.parametrize("tool", ["files__move_file", "memory__delete_entities", "git__git_checkout", "everything__get-env"])
def test_a_tool_that_nobody_classified_cannot_be_called(world: World, tool: str) -> None:
    with ModernClient(world.gateway) as client:
        assert client.call(tool, {})["error"]["code"] == -32602
