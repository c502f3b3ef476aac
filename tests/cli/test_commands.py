"""Every command: its help, its exit codes, what it says when it cannot, and what programs read from it."""

import json
import re
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperCommand, TyperGroup, TyperOption

from gateway import __version__
from gateway.cli import app
from tests.edge.box import Box, run_cli
from tests.running import REPOSITORY, ModernClient


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand | TyperGroup]]:
    """Each command and group with its path."""
    yield path, command
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            yield from commands(below, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], tmp_path: Path) -> None:
    said = run_cli(*path, "--help", state=tmp_path)
    assert said.code == 0
    assert said.stdout.startswith("Usage: sealgate")
    command = COMMANDS[path]
    assert command.help
    assert command.help.rstrip().endswith(".")
    undescribed = [option.name for option in command.params if isinstance(option, TyperOption) and not option.help]
    assert undescribed == []


def test_the_version_is_printed(tmp_path: Path) -> None:
    said = run_cli("version", state=tmp_path)
    assert (said.code, said.stdout) == (0, __version__ + "\n")


@pytest.mark.parametrize("arguments", [["nope"], ["tools", "nope"], ["status", "--nope"], ["log", "list", "--limit", "0"]])
def test_wrong_usage_ends_with_2(arguments: list[str], tmp_path: Path) -> None:
    said = run_cli(*arguments, state=tmp_path)
    assert (said.code, "Usage:" in said.stderr) == (2, True)


# httpcore2 leaves a Unix socket that it could not connect to the garbage collector; here nothing ends the process.
UNCLOSED = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

NEED_A_DAEMON = [
    ["status"],
    ["tools", "list"],
    ["tools", "show", "a__b"],
    ["tools", "diff", "a__b"],
    ["tools", "approve", "a__b", "--yes"],
    ["approvals", "list"],
    ["approvals", "show", "1"],
    ["approvals", "watch", "--once"],
]


@UNCLOSED
@pytest.mark.parametrize("arguments", NEED_A_DAEMON, ids=" ".join)
def test_without_a_daemon_a_command_ends_with_4_and_says_how_to_start_one(arguments: list[str], tmp_path: Path) -> None:
    said = run_cli(*arguments, state=tmp_path)
    assert said.code == 4
    assert "error[unreachable]: " in said.stderr
    assert "  next: Start it with sealgate up or sealgate serve." in said.stderr
    assert said.stdout == ""


@UNCLOSED
def test_a_dead_daemons_socket_is_no_daemon(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "control.sock"))
    assert run_cli("status", state=tmp_path).code == 4


FAIL_TIDILY = [
    (["log", "list"], 1),
    (["log", "tail", "--no-follow"], 1),
    (["log", "checkpoint"], 1),
    (["log", "show", "0"], 1),
    (["log", "verify"], 1),
    (["log", "verify", "--keys", "/etc/hostname"], 1),
    (["keys", "public"], 1),
    (["keys", "new", "--config", "/nowhere/gateway.yaml"], 2),
    (["keys", "approver", "--principal", "alice", "--out", "/tmp/k"], 2),
    (["config", "validate", "/nowhere/gateway.yaml"], 2),
    (["config", "show", "/etc/hostname"], 2),
    (["policy", "check", "/nowhere"], 2),
    (["policy", "eval", "--input", "/nowhere"], 2),
    (["policy", "eval", "--input", "/etc/hostname"], 2),
    (["up", "--config", "/nowhere/gateway.yaml"], 2),
    (["serve", "--config", "/nowhere/gateway.yaml"], 2),
    (["approvals", "approve", "1", "--yes"], 1),
]


@UNCLOSED
@pytest.mark.parametrize(("arguments", "code"), FAIL_TIDILY, ids=[" ".join(words) for words, _ in FAIL_TIDILY])
def test_a_command_that_cannot_says_why_and_what_next(arguments: list[str], code: int, tmp_path: Path) -> None:
    said = run_cli(*arguments, state=tmp_path / "state")
    assert said.code == code
    assert re.match(r"error\[[a-z_.]+\]: \S", said.stderr)
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["log", "show", "no such envelope"],
        ["log", "show", "999999"],
        ["log", "show", "9" * 30],
        ["log", "show", "9" * 5000],
        ["log", "show", "\u00b2"],
        ["log", "show", "-1"],
        ["tools", "show", "box__nothing"],
        ["tools", "show", "../approvals"],
        ["tools", "show", "a/b?c#d"],
        ["tools", "diff", "\x1b[31m"],
        ["tools", "approve", "box__nothing", "--yes"],
        ["approvals", "show", "../status"],
        ["approvals", "show", "a/b"],
        ["approvals", "approve", "..", "--yes"],
    ],
    ids=lambda arguments: " ".join(arguments)[:30],
)
def test_what_is_not_there_is_told(box: Box, arguments: list[str]) -> None:
    said = box.run(*arguments)
    assert said.code in (1, 2)
    assert said.code == 2 or re.match(r"error\[[a-z_.]+\]: \S", said.stderr)
    assert "\x1b" not in said.stderr


def test_a_file_that_is_no_log_is_told(box: Box, tmp_path: Path) -> None:
    keys = ("--keys", str(box.gateway.state / "keys" / "public.json"))
    for name, data in (("text", b"no database"), ("empty", b""), ("other", None)):
        path = tmp_path / name
        if data is None:
            sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()
        else:
            path.write_bytes(data)
        said = box.run("log", "verify", "--file", str(path), *keys)
        assert (said.code, said.stderr.startswith("error[")) == (1, True), name
    assert box.run("log", "verify", "--file", str(tmp_path / "missing"), *keys).code == 1


def test_an_approvers_key_is_made_only_where_it_can_be(box: Box, tmp_path: Path) -> None:
    passphrase = tmp_path / "pass"
    passphrase.write_text("secret")
    files = ("--principal", "user:eve", "--passphrase-file", str(passphrase), "--out")
    assert "can be read by others" in box.run("keys", "approver", *files, str(tmp_path / "key.pem")).stderr
    passphrase.chmod(0o600)
    said = box.run("keys", "approver", *files, str(tmp_path / "missing" / "key.pem"))
    assert (said.code, said.stderr.startswith("error[")) == (1, True)
    said = box.run("keys", "approver", *files, str(tmp_path / "key.pem"))
    assert (said.code, 'principal: "user:eve"' in said.stdout) == (0, True)
    assert box.run("keys", "approver", *files, str(tmp_path / "key.pem")).code == 1
    passphrase.write_bytes(b"\xff\xfe")
    said = box.run("keys", "approver", *files, str(tmp_path / "other.pem"))
    assert (said.code, said.stderr.startswith("error[")) == (1, True)


JSON_COMMANDS = [
    ["status"],
    ["tools", "list"],
    ["tools", "show", "box__echo"],
    ["approvals", "list"],
    ["log", "list"],
    ["log", "verify"],
]


@pytest.mark.parametrize("arguments", JSON_COMMANDS, ids=" ".join)
def test_programs_get_json_and_nothing_else(box: Box, arguments: list[str]) -> None:
    said = box.run(*arguments, "--json")
    assert said.code == 0
    assert json.loads(said.stdout)
    assert said.stderr == ""


def test_programs_get_a_line_of_json_per_entry(box: Box) -> None:
    lines = box.run("log", "tail", "--no-follow", "--json").stdout.splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(box.size()))[-len(lines) :]
    assert {"index", "at", "kind", "id", "what", "end"} <= json.loads(lines[0]).keys()


def test_configuration_and_policies_are_told_as_json(box: Box, tmp_path: Path) -> None:
    config = str(box.gateway.folder / "gateway.yaml")
    assert json.loads(run_cli("config", "show", config, "--json", state=tmp_path).stdout)["settings"]
    assert json.loads(run_cli("config", "schema", state=tmp_path).stdout)["$schema"]
    (tmp_path / "input.json").write_text("{}")
    said = run_cli("policy", "eval", "--input", str(tmp_path / "input.json"), state=tmp_path)
    assert json.loads(said.stdout)["effect"] == "deny"
    token = json.loads(run_cli("keys", "token", state=tmp_path).stdout)
    assert len(token["token_sha256"]) == 64


def test_the_log_of_a_running_gateway_verifies(box: Box) -> None:
    with ModernClient(box.gateway) as client:
        client.call("box__echo", {"text": "x"})
    said = box.run("log", "verify")
    assert (said.code, said.stdout.startswith("OK: ")) == (0, True)


def test_a_changed_log_ends_with_6_and_names_the_entry(box: Box, tmp_path: Path) -> None:
    def copy() -> Path:
        target = tmp_path / "journal.db"
        with sqlite3.connect(box.gateway.state / "journal.db") as source, sqlite3.connect(target) as copied:
            source.backup(copied)
        source.close()
        copied.close()
        return target

    kept = tmp_path / "kept.note"
    kept.write_text(box.run("log", "checkpoint").stdout)
    keys = str(box.gateway.state / "keys" / "public.json")
    check = ("log", "verify", "--keys", keys, "--checkpoint", str(kept), "--file")
    assert box.run(*check, str(copy())).code == 0
    journal = copy()
    with sqlite3.connect(journal) as db:
        db.execute("UPDATE entries SET entry = replace(entry, 'a', 'b') WHERE idx = 1")
    db.close()
    said = box.run(*check, str(journal))
    assert (said.code, "entry 1: " in said.stdout) == (6, True)
    assert "error[log.verification_failed]: " in said.stderr
    said = box.run(*check, str(journal), "--json")
    assert (said.code, json.loads(said.stdout)["ok"]) == (6, False)
    kept.write_bytes(b"\xff not a note")
    assert box.run(*check, str(copy())).code == 1


def test_everything_the_readme_tells_to_type_is_a_command() -> None:
    text = (REPOSITORY / "README.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    told = [line.split("#")[0].split() for block in blocks for line in block.splitlines()]
    typed = [words[words.index("sealgate") + 1 :] for words in told if "sealgate" in words[:2]]
    for words in typed:
        path = tuple(word for word in words[:2] if word.isalpha())
        assert path in COMMANDS or path[:1] in COMMANDS, words
        command = COMMANDS.get(path) or COMMANDS[path[:1]]
        known = {name for option in command.params for name in option.opts}
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known, words


def test_a_file_from_somebody_else_is_read_up_to_a_bound(box: Box, tmp_path: Path) -> None:
    large, witness = tmp_path / "large", tmp_path / "witness"
    large.write_bytes(b"#" * 1_000_001)
    assert box.run("witness", "new", "--name", "witness.example/w1", "--out", str(witness)).code == 0
    for command in (
        ["log", "verify", "--keys", str(large)],
        ["log", "verify", "--checkpoint", str(large)],
        ["log", "verify", "--proof", str(large), "--key", str(box.gateway.state / "keys" / "public.json")],
        ["log", "verify", "--proof", str(large), "--key", str(large)],
        ["witness", "serve", "--dir", str(witness), "--log", str(large)],
    ):
        said = box.run(*command)
        assert said.code != 0
        assert "more than 1000000 bytes" in said.stderr, (command, said)
