"""`sealgate doctor` on clients: what leads nowhere any more, or around the gateway. The printed command repairs it."""

import json
import shlex
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from gateway.adapters.clients import Scope
from gateway.cli.client_files import this_machine
from gateway.doctor import Deployment, Finding, Level, clients
from tests.connect.world import Home
from tests.doctor.conftest import config_text, repair
from tests.running import NO_AUTHORITIES, REPOSITORY, RunningGateway, run_cli


def findings() -> list[Finding]:
    return list(clients.look(Deployment.found(None, None, this_machine())))


def trouble() -> Finding:
    """The one thing that is not well."""
    found = [finding for finding in findings() if finding.level is not Level.OK]
    assert len(found) == 1, found
    return found[0]


def servers(home: Home, client: str = "cursor", scope: Scope = Scope.USER) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(home.file(client, scope).read_text())["mcpServers"]
    return read


def write(home: Home, entries: dict[str, Any], client: str = "cursor", scope: Scope = Scope.USER) -> None:
    home.write(client, json.dumps({"mcpServers": entries}), scope)


def test_no_client_at_all_is_told_with_the_command_that_attaches_one(beside: Home) -> None:
    found = trouble()
    assert found.fix == "sealgate connect claude-code"
    repair(found.fix)
    assert [finding.level for finding in findings()] == [Level.OK]


@pytest.mark.parametrize("scope", [Scope.USER, Scope.PROJECT])
@pytest.mark.parametrize("stale", ["program", "config"])
def test_an_entry_that_starts_what_is_not_there_any_more(beside: Home, scope: Scope, stale: str) -> None:
    where = () if scope is Scope.USER else ("--scope", "project")
    assert run_cli("connect", "cursor", *where, "--name", "gate", "--yes").code == 0
    try:
        entry = servers(beside, scope=scope)["gate"]
        gone = {"command": "/gone/sealgate"} if stale == "program" else {"args": [*entry["args"][:3], "/gone"]}
        write(beside, {"gate": {**entry, **gone}}, scope=scope)
        found = trouble()
        assert found.level is Level.FAIL
        assert "is not there any more" in found.what
        assert found.fix == " ".join(("sealgate connect cursor", *where, "--name gate"))
        repair(found.fix)
        assert [finding.level for finding in findings()] == [Level.OK]
        assert servers(beside, scope=scope) == {"gate": entry}
    finally:
        if scope is Scope.PROJECT:
            for path in beside.file("cursor", scope).parent.iterdir():
                path.unlink()


def test_an_address_with_a_port_that_is_another_now(stopped: Home) -> None:
    assert run_cli("connect", "cursor", "--http", "--yes").code == 0
    stopped.config.write_text(config_text(8751))
    found = next(finding for finding in findings() if finding.level is Level.FAIL)
    assert "it calls http://127.0.0.1:8750/mcp, and this gateway listens at http://127.0.0.1:8751/mcp" in found.what
    repair(found.fix)
    assert not [finding for finding in findings() if finding.level is Level.FAIL]


def test_a_token_is_tried_where_the_gateway_runs(
    beside: Home, shop: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for client in ("cursor", "codex"):
        assert run_cli("connect", client, "--http", "--yes").code == 0
    unset = findings()
    assert [finding.level for finding in unset] == [Level.WARN, Level.WARN]
    assert unset[0].fix == f'export SEALGATE_TOKEN="$(cat {shop.state}/dev/token)"'
    monkeypatch.setenv("SEALGATE_TOKEN", "not-a-token-of-ours")
    assert {(finding.level, finding.fix) for finding in findings()} == {(Level.FAIL, unset[0].fix)}
    monkeypatch.setenv("SEALGATE_TOKEN", shop.token)
    assert {finding.level for finding in findings()} == {Level.OK}
    entry = servers(beside)["sealgate"]
    write(beside, {"sealgate": {**entry, "headers": {"Authorization": f"Bearer {shop.token}"}}})
    found = trouble()
    assert "with the token itself in the file" in found.what
    assert shop.token not in found.what + found.fix


def test_a_server_that_is_reached_around_the_gateway_is_taken_out_by_the_printed_command(beside: Home) -> None:
    assert run_cli("connect", "claude-code", "--yes").code == 0
    behind = run_cli("config", "show", "gateway.yaml", "--json")
    notes = json.loads(behind.stdout)["settings"]
    entry = {"command": notes["mcpServers.notes.command"]["value"], "args": notes["mcpServers.notes.args"]["value"]}
    write(beside, {**servers(beside, "claude-code"), "my notes": {"type": "stdio", **entry}}, "claude-code")
    found = trouble()
    assert found.level is Level.WARN
    assert found.what == "Claude Code reaches my notes directly, around the gateway, which has it as notes"
    repair(found.fix)
    assert list(servers(beside, "claude-code")) == ["sealgate"]
    assert [finding.level for finding in findings()] == [Level.OK]


def test_a_server_that_is_not_governed_is_put_behind_the_gateway_by_the_printed_commands(stopped: Home) -> None:
    assert run_cli("connect", "cursor", "--yes").code == 0
    secret = {"url": "https://mcp.example.com/mcp?api_key=s3cret-value"}
    write(stopped, {**servers(stopped), "crm": secret, "off": {"command": "x", "disabled": True}})
    around = [finding for finding in findings() if "directly" in finding.what]
    assert [finding.what for finding in around] == ["Cursor reaches crm directly: it is not governed"]
    repair(around[0].fix)
    around = [finding for finding in findings() if "directly" in finding.what]
    assert [finding.what for finding in around] == ["Cursor reaches crm directly, around the gateway, which has it as crm"]
    repair(around[0].fix)
    assert not [finding for finding in findings() if "directly" in finding.what]


def test_a_server_of_one_user_in_one_project_is_looked_at_too(beside: Home) -> None:
    """What `claude mcp add` makes by default."""
    assert run_cli("connect", "claude-code", "--yes").code == 0
    document = json.loads(beside.file("claude-code").read_text())
    document["projects"] = {
        str(beside.folder): {"mcpServers": {"crm": {"type": "http", "url": "https://mcp.example.com/mcp"}}}
    }
    beside.file("claude-code").write_text(json.dumps(document, indent=2))
    found = trouble()
    assert found.what == "Claude Code reaches crm directly: it is not governed"
    assert found.fix == "sealgate import claude-code --scope local --only crm"
    assert run_cli("connect", "claude-code", "--scope", "local", "--remove", "--name", "crm", "--yes").code == 0
    assert [finding.level for finding in findings()] == [Level.OK]


def test_a_file_that_the_client_cannot_read_either(stopped: Home) -> None:
    path = stopped.write("vscode", "{")
    found = next(finding for finding in findings() if str(path) in finding.what)
    assert (found.level, found.what) == (Level.WARN, f"VS Code cannot read {path}:1:2: a name in quotes is missing")


def test_a_client_of_another_gateway_is_left_to_it(beside: Home) -> None:
    other = beside.path / "other.yaml"
    other.write_text("mcpServers: {}\n")
    write(beside, {"sealgate": {"command": "python3", "args": ["-m", "gateway", "serve", "--stdio", f"--config={other}"]}})
    assert [(finding.level, finding.what) for finding in findings()] == [
        (Level.OK, f"Cursor, sealgate in {beside.file('cursor')}: leads to another gateway, that of {other}")
    ]


@pytest.mark.anyio
async def test_what_connect_wrote_leads_to_the_running_gateway(beside: Home, shop: RunningGateway) -> None:
    """Started as the file says, and called as the file says, with the token from the variable."""
    for arguments in (("claude-desktop",), ("cursor", "--http")):
        assert run_cli("connect", *arguments, "--yes").code == 0
    entry = servers(beside, "claude-desktop")["sealgate"]
    program = StdioServerParameters(
        command=entry["command"], args=entry["args"], env={"PYTHONPATH": str(REPOSITORY)}, cwd=beside.path
    )
    text = beside.config.read_text()
    try:  # a relay needs no variable of a server's credentials: many clients start programs with next to none
        beside.config.write_text(text.replace("tools:", "  late: {command: x, env: {KEY: '${NOT_SET_HERE}'}}\ntools:"))
        async with Client(program) as client:
            by_stdio = {tool.name for tool in (await client.list_tools()).tools}
    finally:
        beside.config.write_text(text)
    entry = servers(beside)["sealgate"]
    headers = {key: value.replace("${env:SEALGATE_TOKEN}", shop.token) for key, value in entry["headers"].items()}
    async with (
        httpx2.AsyncClient(headers=headers, verify=NO_AUTHORITIES) as http,
        Client(streamable_http_client(entry["url"], http_client=http)) as client,
    ):
        by_http = {tool.name for tool in (await client.list_tools()).tools}
    assert "notes__read_note" in by_stdio
    assert by_http == by_stdio


def test_what_a_file_says_acts_on_no_terminal_and_in_no_shell(beside: Home) -> None:
    """A project's file comes with its repository, from whoever wrote that."""
    assert run_cli("connect", "cursor", "--yes").code == 0
    hostile = "x'; touch pwned #\u001b[31m"
    write(beside, {**servers(beside), hostile: {"url": "https://mcp.example.com/mcp"}})
    found = trouble()
    assert shlex.split(found.fix)[-1] == hostile
    said = run_cli("doctor")
    assert "touch pwned" in said.stdout
    assert "\u001b" not in said.stdout + said.stderr


def test_blocks_that_mean_nothing_keep_nothing_from_being_looked_at(beside: Home, shop: RunningGateway) -> None:
    assert run_cli("connect", "cursor", "--yes").code == 0
    odd = {"a": {"url": shop.url, "headers": ["x"]}, "b": {"command": 1, "args": {}}, "c": {}, "d": {"url": ["x"]}}
    write(beside, {**servers(beside), **odd})
    found = [finding for finding in findings() if finding.level is not Level.OK]
    assert [(finding.level, finding.what.partition(" in ")[0]) for finding in found] == [
        (Level.FAIL, "Cursor, a"),
        *((Level.WARN, f"Cursor reaches {name} directly: it is not governed") for name in "bcd"),
    ]
    assert found[0].what.endswith("it sends no token")
