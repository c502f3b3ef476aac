"""What `up` and `serve` refuse to start with."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from gateway.adapters.keys import make_keys
from gateway.adapters.state import StateFolder
from tests.edge.box import Box, configured, run_cli
from tests.running import REPOSITORY, until


def started(verb: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`sealgate up` or `serve` that must end by itself."""
    command = [sys.executable, "-m", "gateway", verb, "--config", str(folder / "gateway.yaml"), *arguments]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30, check=False
    )


def configure(folder: Path, more: str = "") -> None:
    (folder / "box").mkdir()
    (folder / "gateway.yaml").write_text(configured(folder / "box", more))


CALLER = 'callers: [{principal: "user:alice", token_sha256: "' + "0" * 64 + '"}]'


def test_serve_takes_no_development_keys(tmp_path: Path) -> None:
    configure(tmp_path, CALLER)
    make_keys(tmp_path / ".sealgate" / "keys", origin="sealgate.local/default", dev=True)
    done = started("serve", tmp_path)
    assert (done.returncode, "error[keys.development]" in done.stderr, "next:" in done.stderr) == (1, True, True)
    done = started("serve", tmp_path, "--stdio")
    assert (done.returncode, "error[keys.development]" in done.stderr, done.stdout) == (1, True, "")


def test_up_takes_no_production_keys_and_leaves_nothing_behind(tmp_path: Path) -> None:
    configure(tmp_path)
    make_keys(tmp_path / ".sealgate" / "keys", origin="sealgate.local/default", dev=False)
    done = started("up", tmp_path)
    assert (done.returncode, "error[keys.production]" in done.stderr) == (1, True)
    assert not (tmp_path / ".sealgate" / "journal.db").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::"])  # noqa: S104 - it must be refused
def test_up_listens_on_loopback_only(tmp_path: Path, host: str) -> None:
    configure(tmp_path, f'listen: {{host: "{host}"}}')
    done = run_cli("up", "--config", str(tmp_path / "gateway.yaml"), state=tmp_path)
    assert (done.code, "error[config.invalid]" in done.stderr, "loopback" in done.stderr) == (2, True, True)


def test_serve_without_callers_answers_nobody(tmp_path: Path) -> None:
    configure(tmp_path)
    make_keys(tmp_path / ".sealgate" / "keys", origin="sealgate.local/default", dev=False)
    done = run_cli("serve", "--config", str(tmp_path / "gateway.yaml"), state=tmp_path)
    assert (done.code, "`callers` is empty" in done.stderr) == (2, True)


def test_serve_without_keys_says_how_to_make_them(tmp_path: Path) -> None:
    configure(tmp_path, CALLER)
    done = started("serve", tmp_path)
    assert (done.returncode, "sealgate keys new" in done.stderr) == (1, True)


def test_a_second_gateway_on_the_same_state_is_refused(box: Box) -> None:
    done = started("up", box.gateway.folder, "--port", "0")
    assert (done.returncode, "error[state.locked]" in done.stderr) == (1, True)


def test_a_port_that_is_taken_is_named(box: Box, tmp_path: Path) -> None:
    configure(tmp_path)
    done = started("up", tmp_path, "--port", str(box.gateway.port))
    assert (done.returncode, "error[listen.failed]" in done.stderr, str(box.gateway.port) in done.stderr) == (1, True, True)


def test_a_policy_that_does_not_load_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "broken.rego").write_text("package sealgate.authz\nthis is { not rego\n")
    configure(tmp_path, "policy: {path: policies}")
    done = started("up", tmp_path)
    assert (done.returncode, "broken.rego:2" in done.stderr) == (2, True)
    assert "Traceback" not in done.stderr


def test_any_free_port_can_be_taken_and_the_own_address_is_a_known_host(tmp_path: Path) -> None:
    configure(tmp_path, CALLER + "\nlisten: {host: 127.0.0.5}")
    make_keys(tmp_path / ".sealgate" / "keys", origin="sealgate.local/default", dev=False)
    said = tmp_path / "said"
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.yaml"), "--port", "0"]
    with (
        said.open("wb") as errors,
        subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stderr=errors) as serving,
    ):
        try:
            url = until(
                lambda: re.search(r"MCP +(http://127\.0\.0\.5:\d+/mcp)", said.read_text()), what="the address"
            ).group(1)
            json = {"Content-Type": "application/json"}
            answer = httpx2.post(url, content=b"{}", headers=json)
            foreign = httpx2.post(url, content=b"{}", headers={**json, "Host": "127.0.0.6"})
        finally:
            serving.terminate()
    assert (answer.status_code, foreign.status_code, serving.returncode) == (401, 421, 0)


def test_stdio_waits_for_a_gateway_that_is_just_starting(tmp_path: Path) -> None:
    configure(tmp_path)
    with StateFolder(tmp_path / ".sealgate") as state, socket.socket(socket.AF_UNIX) as never:
        command = [sys.executable, "-m", "gateway", "serve", "--stdio", "--config", str(tmp_path / "gateway.yaml")]
        with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relaying:
            assert relaying.stdin is not None
            assert relaying.stdout is not None
            never.bind(str(state.mcp_socket))  # it comes late
            never.listen()
            never.settimeout(20)
            connection, _ = never.accept()
            with connection:
                connection.sendall(b'{"late":true}\n')
                assert relaying.stdout.readline() == b'{"late":true}\n'
            relaying.stdin.close()
    assert relaying.returncode == 0
