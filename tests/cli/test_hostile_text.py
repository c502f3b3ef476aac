"""Nothing that a tool, an agent or an upstream wrote acts on the operator's terminal, and all of it can be seen."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.daemon import DaemonClient
from gateway.cli.render import one_line, visible
from gateway.core.errors import GatewayError
from tests.cli.hostile import HOSTILE_NAMES, MARKUP, STYLED, acts
from tests.edge.box import Box
from tests.running import ModernClient, outcome, until


def test_hostile_tools_are_listed_one_a_line_with_their_names_visible(box: Box) -> None:
    said = box.run("tools", "list")
    assert said.code == 0
    assert acts(said.stdout) == []
    for name in HOSTILE_NAMES[:4]:
        assert one_line(name)[:200] in said.stdout
    assert MARKUP in said.stdout
    tools = json.loads(box.run("tools", "list", "--json").stdout)["tools"]
    assert len(said.stdout.splitlines()) >= len(tools) + 1
    rows = [line for line in said.stdout.splitlines() if line.startswith(("error[", "  next:"))]
    assert rows == []


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_a_hostile_tool_can_be_looked_at_and_not_approved(box: Box, name: str) -> None:
    shown = box.run("tools", "show", f"box__{name}")
    assert (shown.code, acts(shown.stdout)) == (0, [])
    assert json.loads(box.run("tools", "show", f"box__{name}", "--json").stdout)["listed"][0]["id"] == f"box__{name}"
    refused = box.run("tools", "approve", f"box__{name}", "--yes")
    assert (refused.code, acts(refused.stderr), "error[tool." in refused.stderr) == (1, [], True)


def test_json_is_the_same_document_and_acts_on_no_terminal(box: Box) -> None:
    said = box.run("tools", "list", "--json")
    assert acts(said.stdout) == []
    assert {f"box__{name}" for name in HOSTILE_NAMES} <= {tool["id"] for tool in json.loads(said.stdout)["tools"]}


def test_a_hostile_definition_is_shown_as_it_is_and_cannot_be_approved(box: Box) -> None:
    for arguments, code in (
        (["show", "box__styled"], 0),
        (["diff", "box__styled"], 1),
        (["approve", "box__styled", "--yes"], 1),
    ):
        said = box.run("tools", *arguments)
        assert (said.code, acts(said.stdout + said.stderr)) == (code, [])
    assert "error[tool.invisible]" in box.run("tools", "approve", "box__styled", "--yes").stderr
    assert r"\\[bold]bold" in box.run("tools", "show", "box__styled").stdout
    assert ":warning:" in box.run("tools", "show", "box__styled").stdout


def test_hostile_arguments_are_shown_to_the_approver_as_they_are(box: Box) -> None:
    with ModernClient(box.gateway) as client:
        told = outcome(client.call("box__loose", {STYLED: STYLED, "amount": 5}, key="hostile"))
    shown = box.run("approvals", "show", told["approval_id"])
    assert (shown.code, acts(shown.stdout)) == (0, [])
    assert ":warning:" in shown.stdout
    assert '"amount": 5' in shown.stdout
    for arguments in (["show", told["approval_id"], "--json"], ["list", "--json"], ["watch", "--once", "--json"], ["list"]):
        assert acts(box.run("approvals", *arguments).stdout) == []
    assert json.loads(box.run("approvals", "show", told["approval_id"], "--json").stdout)["arguments"][STYLED] == STYLED
    approved = box.run("approvals", "approve", told["approval_id"], "--yes")
    assert (approved.code, acts(approved.stdout + approved.stderr)) == (0, [])


def test_hostile_names_in_the_log_are_shown_escaped(box: Box) -> None:
    with ModernClient(box.gateway) as client:
        client.request("tools/call", {"name": "box__x", "arguments": {}})
    for arguments in (["log", "list"], ["log", "list", "--json"], ["log", "tail", "--no-follow"]):
        assert acts(box.run(*arguments).stdout) == []


def test_a_definition_that_changed_after_it_was_shown_is_not_approved(box: Box) -> None:
    (box.folder / "description").write_text("changed")
    with ModernClient(box.gateway) as client, DaemonClient(box.gateway.state / "control.sock") as daemon:
        shown = daemon.get("/api/v1/tool?id=box__drifting")["listed"][0]["digest"]
        client.call("box__relist", {})
        until(lambda: not daemon.get("/api/v1/tool?id=box__drifting")["listed"][0]["callable"], what="the drift")
        with pytest.raises(GatewayError, match="changed after it was shown") as refused:
            daemon.post("/api/v1/tools/approve", {"tools": {"box__drifting": shown}})
    assert refused.value.code == "tool.changed"
    assert box.run("tools", "approve", "box__drifting", "--yes").code == 0


@given(st.text())
def test_what_is_visible_is_plain_and_loses_nothing(text: str) -> None:
    shown = visible(text)
    assert acts(shown) == []
    assert all(char == "\n" or char.isprintable() for char in shown)
    assert "\n" not in one_line(text)


def test_a_command_in_a_closed_pipe_ends_quietly(box: Box) -> None:
    command = f"{sys.executable} -m gateway tools list --json | head -c 1"
    done = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SEALGATE_STATE": str(box.gateway.state)},
    )
    assert "Traceback" not in done.stderr
