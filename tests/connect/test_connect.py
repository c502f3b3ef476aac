"""`sealgate connect`: the client's file gains one server, as the client reads it, and everything else in it stays."""

import json
import stat
import sys
from pathlib import Path

import pytest

from gateway.adapters.clients import CLIENTS, Scope
from gateway.adapters.edited_file import EditedFile
from gateway.core.errors import ConfigError
from tests.connect.world import CASES, LINKS, YAML, Home, attached, snapshot
from tests.running import run_cli

IDS = ["-".join(case) for case in CASES]


@pytest.mark.parametrize(("client", "how", "start"), CASES, ids=IDS)
def test_each_client_is_attached_as_the_snapshot_says(client: str, how: str, start: str) -> None:
    assert attached(client, how, start) == snapshot(client, f"{start}-{how}")


@pytest.mark.parametrize(("client", "how", "start"), CASES, ids=IDS)
def test_attaching_twice_changes_nothing(client: str, how: str, start: str) -> None:
    text = snapshot(client, f"{start}-{how}")
    addition = CLIENTS[client].attached("sealgate", LINKS[how])
    assert addition is not None
    assert CLIENTS[client].format.put(text, addition) == text


@pytest.mark.parametrize(("client", "how"), sorted({case[:2] for case in CASES}))
def test_taken_out_again_the_file_is_byte_for_byte_what_it_was(client: str, how: str) -> None:
    assert CLIENTS[client].format.drop(snapshot(client, f"before-{how}"), "sealgate") == snapshot(client, "before")
    assert CLIENTS[client].format.servers(CLIENTS[client].format.drop(snapshot(client, f"new-{how}"), "sealgate")) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_connect_shows_the_change_keeps_a_copy_and_writes_once(home: Home, client: str) -> None:
    before = snapshot(client, "before")
    path = home.write(client, before)
    path.chmod(0o640)

    said = run_cli("connect", client, "--yes")
    command = str(Path(sys.executable).with_name("sealgate"))
    wanted = snapshot(client, "before-stdio").replace("/opt/sealgate/bin/sealgate", command)
    assert said.code == 0, said.stderr
    assert path.read_bytes().decode() == wanted.replace("/srv/gateway/gateway.yaml", str(home.config))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [line for line in said.stdout.splitlines() if line.startswith("+") and str(home.config) in line]
    (copy,) = home.copies(client)
    assert copy.read_bytes().decode() == before
    assert str(copy) in said.stderr

    written = path.read_bytes()
    again = run_cli("connect", client, "--yes")
    assert (again.code, again.stdout) == (0, "")
    assert "is attached already" in again.stderr
    assert path.read_bytes() == written
    assert home.copies(client) == [copy]

    assert run_cli("connect", client, "--remove", "--yes").code == 0
    assert path.read_bytes().decode() == before
    assert "has no server" in run_cli("connect", client, "--remove", "--yes").stderr


@pytest.mark.parametrize("client", CLIENTS)
def test_a_file_that_is_not_there_is_made_for_its_owner_only(home: Home, client: str) -> None:
    assert run_cli("connect", client, "--yes").code == 0
    path = home.file(client)
    assert list(CLIENTS[client].format.servers(path.read_text())) == ["sealgate"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert home.copies(client) == []


@pytest.mark.parametrize("client", ["claude-code", "cursor", "vscode", "codex"])
def test_a_project_has_a_file_of_its_own(home: Home, client: str) -> None:
    assert run_cli("connect", client, "--scope", "project", "--yes").code == 0
    path = home.file(client, Scope.PROJECT)
    assert path.is_relative_to(home.folder)
    assert list(CLIENTS[client].format.servers(path.read_text())) == ["sealgate"]
    assert not home.file(client).exists()


def test_claude_code_has_servers_of_one_user_in_one_project(home: Home) -> None:
    before = snapshot("claude-code", "before")
    path = home.write("claude-code", before)
    assert run_cli("connect", "claude-code", "--scope", "local", "--yes").code == 0
    document = json.loads(path.read_text())
    assert list(document["projects"][str(home.folder)]["mcpServers"]) == ["sealgate"]
    assert document["projects"]["/srv/shop"] == json.loads(before)["projects"]["/srv/shop"]
    assert "is attached already" in run_cli("connect", "claude-code", "--scope", "local", "--yes").stderr
    assert run_cli("connect", "cursor", "--scope", "local", "--yes").code == 2


def test_nothing_is_written_without_a_yes(home: Home) -> None:
    path = home.write("cursor", snapshot("cursor", "before"))
    for answer in ("n\n", ""):
        said = run_cli("connect", "cursor", stdin=answer)
        assert said.code == 1
        assert '+        "sealgate": {' in said.stdout
    assert run_cli("connect", "cursor", "--dry-run").code == 0
    assert path.read_text() == snapshot("cursor", "before")
    assert home.copies("cursor") == []
    assert run_cli("connect", "cursor", stdin="y\n").code == 0
    assert "sealgate" in path.read_text()


@pytest.mark.parametrize(
    ("client", "text", "place"),
    [
        ("claude-code", '{"mcpServers": {\n  // mine\n}}', ":2:3: a comment cannot stand"),
        ("claude-desktop", '{"mcpServers": {}', ":1:18: a comma or } is missing"),
        ("claude-desktop", '{"mcpServers": []}', ":1:16: mcpServers is not an object"),
        ("cursor", '{"mcpServers": {"a": {}, "a": {}}}', ":1:26: a name stands twice"),
        ("cursor", "[" * 100_000, ": nested deeper than 64 levels"),
        ("vscode", '{"servers": {"a": 1}}', ":1:19: servers.a is not an object"),
        ("codex", "a = 1\nb = \n", ":2:"),
        ("codex", "mcp_servers = 1\n", "mcp_servers is not a table"),
    ],
)
def test_a_malformed_file_is_told_with_its_place_and_not_touched(home: Home, client: str, text: str, place: str) -> None:
    path = home.write(client, text)
    for arguments in (("connect", client, "--yes"), ("connect", client, "--remove", "--yes"), ("import", client, "--yes")):
        said = run_cli(*arguments)
        assert said.code == 2, said.stderr
        assert str(path) in said.stderr
        assert place in said.stderr.replace(f"{path}:1:65", "")
        assert "Nothing was written" in said.stderr
    assert path.read_text() == text
    assert home.copies(client) == []
    assert home.config.read_text() == YAML


def test_a_file_that_is_not_text_is_not_touched(home: Home) -> None:
    path = home.write("cursor", b'{"mcpServers": {}}\xff')
    said = run_cli("connect", "cursor", "--yes")
    assert (said.code, path.read_bytes()[-1:]) == (2, b"\xff")
    assert "byte 18 is not UTF-8" in said.stderr


def test_a_stale_entry_is_brought_up_to_date_and_another_name_counts_too(home: Home) -> None:
    path = home.write("cursor", json.dumps({"mcpServers": {"sealgate": {"command": "sealgate", "args": ["serve"]}}}))
    assert run_cli("connect", "cursor", "--yes").code == 0
    entry = json.loads(path.read_text())["mcpServers"]["sealgate"]
    assert entry["args"][-1] == str(home.config)
    path.write_text(json.dumps({"mcpServers": {"mine": entry}}))
    said = run_cli("connect", "cursor", "--yes")
    assert "is attached already: mine" in said.stderr
    assert json.loads(path.read_text()) == {"mcpServers": {"mine": entry}}


def test_a_link_stays_a_link(home: Home) -> None:
    real = home.path / "dotfiles" / "mcp.json"
    real.parent.mkdir()
    real.write_text("{}\n")
    home.file("cursor").parent.mkdir()
    home.file("cursor").symlink_to(real)
    assert run_cli("connect", "cursor", "--yes").code == 0
    assert home.file("cursor").is_symlink()
    assert "sealgate" in real.read_text()


def test_a_link_in_a_project_is_told_before_anything_is_written_through_it(home: Home) -> None:
    (home.folder / ".cursor").mkdir()
    (home.folder / ".cursor" / "mcp.json").symlink_to(home.path / "elsewhere.json")
    said = run_cli("connect", "cursor", "--scope", "project", stdin="n\n")
    assert said.code == 1
    assert f"which leads to {home.path / 'elsewhere.json'}" in said.stderr
    assert not (home.path / "elsewhere.json").exists()


def test_what_another_program_wrote_meanwhile_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    read = EditedFile.read(path)
    path.write_text('{"theirs": 1}')
    with pytest.raises(ConfigError, match="changed meanwhile"):
        read.write('{"ours": 1}')
    assert path.read_text() == '{"theirs": 1}'
    assert not list(tmp_path.glob(".*"))


def test_secrets_beside_the_change_are_not_shown(home: Home) -> None:
    neighbours = {
        "a": {"command": "x", "env": {"DB_PASSWORD": "correct-horse-1"}},
        "b": {"url": "https://x.example/mcp?api_key=correct-horse-2", "headers": {"X-Api-Key": "correct-horse-3"}},
        "c": {"command": "x", "args": ["--token", "correct-horse-4", "--password=correct-horse-5"]},
    }
    home.write("cursor", json.dumps({"mcpServers": neighbours}))
    home.write("codex", '[mcp_servers.a]\ncommand = "x"\nenv = { API_TOKEN = "correct-horse-6" }\n')
    for client in ("cursor", "codex"):
        said = run_cli("connect", client, "--yes")
        assert said.code == 0
        assert "(hidden)" in said.stdout
        assert "correct-horse" not in said.stdout + said.stderr


def test_over_http_the_token_is_named_and_never_written(home: Home) -> None:
    (home.folder / ".sealgate" / "dev").mkdir(parents=True)
    (home.folder / ".sealgate" / "dev" / "token").write_text("not-a-real-token")
    for client in CLIENTS:
        said = run_cli("connect", client, "--http", "--yes")
        if client == "claude-desktop":
            assert said.code == 2
            assert "takes no server over HTTP" in said.stderr
            assert not home.file(client).exists()
            continue
        assert said.code == 0, said.stderr
        assert home.file(client).read_text() == snapshot(client, "new-http")
        assert "not-a-real-token" not in said.stdout + said.stderr


def test_a_port_that_is_another_at_each_start_is_refused(home: Home) -> None:
    home.config.write_text("listen: {port: 0}\n" + YAML)
    said = run_cli("connect", "cursor", "--http", "--yes")
    assert said.code == 2
    assert "Name a port" in said.stderr


def test_a_client_can_be_attached_where_a_servers_variable_is_not_set(home: Home) -> None:
    api = "openapi:\n  b: {document: b.json, base_url: 'https://b.example', headers: {K: '${NOR_THIS_ONE}'}}\n"
    home.config.write_text("mcpServers:\n  a: {command: x, env: {A: '${NOT_SET_HERE}'}}\n" + api)
    said = run_cli("connect", "claude-desktop", "--yes")
    assert said.code == 0
    assert "it must have NOT_SET_HERE, NOR_THIS_ONE in its environment then" in said.stderr


def test_what_the_client_reaches_directly_is_told(home: Home) -> None:
    home.write("cursor", snapshot("cursor", "before"))
    said = run_cli("connect", "cursor", "--yes")
    assert "not governed: linear, files. Next: sealgate import cursor" in said.stderr


def test_a_large_file_is_changed_at_once_and_shown_at_the_change_only(home: Home) -> None:
    many = {f"project-{number}": {"history": ["x" * 50] * 20} for number in range(500)}
    for text in (json.dumps({"projects": many}, indent=2), json.dumps({"projects": many})):
        path = home.write("claude-code", text)
        said = run_cli("connect", "claude-code", "--yes")
        assert said.code == 0, said.stderr
        assert json.loads(path.read_text())["projects"] == many
        assert str(home.config) in said.stdout
        assert len(said.stdout) < 2_000
