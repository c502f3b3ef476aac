"""`sealgate doctor`: each thing is broken for real; it is found, and what is printed repairs it."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from gateway.adapters.keys.change import make_next_key
from gateway.cli.client_files import this_machine
from gateway.core.trust import KeyRole
from gateway.doctor import Deployment, Finding, Level, clock, configuration, engine, examine, keys, log, state, upstreams
from tests.connect.world import Home
from tests.doctor.conftest import config_text, repair, tree
from tests.running import RunningGateway, free_port, run_cli, status_of, until

Look = Callable[[Deployment], Iterator[Finding]]


def deployment() -> Deployment:
    """That of the current folder."""
    return Deployment.found(None, None, this_machine())


def troubles(look: Look) -> list[Finding]:
    """What one check finds that is not well."""
    return [finding for finding in look(deployment()) if finding.level is not Level.OK]


def only(look: Look, level: Level = Level.FAIL) -> Finding:
    """The one thing that a check finds of that level."""
    found = [finding for finding in look(deployment()) if finding.level is level]
    assert len(found) == 1, found
    return found[0]


def shell(line: str) -> None:
    """Run a command that was printed."""
    assert subprocess.run(line, shell=True, check=False).returncode == 0  # noqa: S602 - it is what a person would paste


def test_all_is_well_with_a_running_gateway_and_an_attached_client(beside: Home, shop: RunningGateway) -> None:
    assert run_cli("connect", "cursor", "--yes").code == 0
    said = run_cli("doctor")
    assert said.code == 0, said.stdout
    assert [line for line in said.stdout.splitlines() if not line.startswith("ok ")] == []
    for told in ("notes is up", "entries verify", "load and decide", "leads to this gateway", "version 0.1.0"):
        assert told in said.stdout
    document = json.loads(run_cli("doctor", "--json").stdout)
    assert document["ok"] is True
    assert {finding["about"] for finding in document["findings"]} == {
        "machine", "configuration", "state", "keys", "clock", "engine", "log", "upstreams", "clients",
    }  # fmt: skip


def test_a_failure_is_exit_code_1_with_its_repair_and_looking_changes_nothing(stopped: Home) -> None:
    key = stopped.folder / ".sealgate" / "keys" / "entry.pem"
    key.chmod(0o644)
    before = tree(stopped.folder), tree(stopped.path)
    said = run_cli("doctor")
    assert said.code == 1
    assert f"fail  keys           {key} can be read by others\n{'':<21}→ chmod 600 {key}\n" in said.stdout
    assert "1 failed" in said.stderr
    assert (tree(stopped.folder), tree(stopped.path)) == before


def test_no_check_keeps_another_from_being_made(home: Home) -> None:
    home.config.write_bytes(b"\xff")
    (home.folder / ".sealgate").write_text("not a folder")
    about = {finding.about for finding in examine(deployment()) if finding.level is Level.FAIL}
    assert {"configuration", "state"} <= about
    home.config.unlink()
    assert "there is no gateway.yaml" in only(configuration.look).what


def test_configuration_every_mistake_and_every_unset_variable_is_one_finding(stopped: Home) -> None:
    assert troubles(configuration.look) == []
    stopped.config.write_text("listen: {port: high}\nmcpServers:\n  a: {command: x, env: {A: '${NOT_SET_HERE}'}}\n")
    port, variable = (finding for finding in configuration.look(deployment()) if finding.level is Level.FAIL)
    assert "gateway.yaml:1:16" in port.what
    assert "config validate" in port.fix
    assert (variable.what.endswith("the environment variable NOT_SET_HERE is not set"), variable.fix) == (
        True,
        "export NOT_SET_HERE=…",
    )
    stopped.config.write_text(config_text() + "  - {match: other, mode: read_only}\n".replace("other", '"desk_*"'))
    assert troubles(configuration.look) == []
    stopped.config.write_text("mcpServers:\n  a: {command: x}\ntools: [{match: 'b*__x', mode: read_only}]\n")
    assert "no rule says what the tools of a are" in only(configuration.look, Level.WARN).what


def test_configuration_tools_that_wait_for_approval_are_told(beside: Home, shop: RunningGateway) -> None:
    lock = shop.folder / "gateway.lock"
    assert lock.exists()
    told = dict(deployment().tools or {})
    hidden = [tool for tool in told["tools"] if not tool["callable"]]
    assert hidden == []
    assert troubles(configuration.look) == []


def test_state_a_folder_and_files_that_others_can_read(stopped: Home) -> None:
    folder = stopped.folder / ".sealgate"
    folder.chmod(0o755)
    (folder / "journal.db").chmod(0o644)
    found = [finding for finding in state.look(deployment()) if finding.level is Level.FAIL]
    assert [finding.fix for finding in found] == [f"chmod 700 {folder}", f"chmod 600 {folder / 'journal.db'}"]
    for finding in found:
        shell(finding.fix)
    assert [finding.what for finding in troubles(state.look)] == ["no gateway runs on it"]


def test_state_a_process_that_owns_the_folder_and_does_not_answer_is_named(stopped: Home) -> None:
    lock = stopped.folder / ".sealgate" / "lock"
    hold = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        found = only(state.look)
        assert found.what == f"process {holder.pid} owns it and does not answer"
        shell(found.fix)
        holder.wait(timeout=20)
    assert [finding.level for finding in troubles(state.look)] == [Level.WARN]


def test_state_one_that_an_older_version_wrote(stopped: Home) -> None:
    with apsw.Connection(str(stopped.folder / ".sealgate" / "journal.db")) as db:
        db.pragma("user_version", 2)
    found = only(state.look)
    assert "schema version 2" in found.what
    assert found.fix == "sealgate state migrate"


def test_keys_one_that_is_missing_or_of_another_time(stopped: Home) -> None:
    folder = stopped.folder / ".sealgate" / "keys"
    assert troubles(keys.look) == []
    (folder / "log.pem").rename(folder.parent / "log.pem")
    assert "cannot read" in only(keys.look).what
    (folder.parent / "log.pem").rename(folder / "log.pem")
    shutil.copy(folder / "log.pem", folder / "entry.pem")
    assert "does not belong to the private keys" in only(keys.look).what
    shutil.rmtree(folder)
    assert "the log was signed with it" in only(keys.look).what


def test_keys_a_change_that_was_cut_off_is_finished_by_the_printed_command(stopped: Home) -> None:
    make_next_key(stopped.folder / ".sealgate" / "keys", KeyRole.ENTRY)
    found = only(keys.look)
    assert found.what == "a change of keys was cut off"
    repair(found.fix)
    assert troubles(keys.look) == []


def test_clock_one_that_is_behind_what_was_written(stopped: Home) -> None:
    assert troubles(clock.look) == []
    (behind,) = clock.look(deployment(), now=time.time() - 7200)
    assert behind.level is Level.FAIL
    assert "before" in behind.what
    (ancient,) = clock.look(deployment(), now=0.0)
    assert "before this program was written" in ancient.what
    os.utime(stopped.folder / ".sealgate" / "journal.db", (time.time() + 3600, time.time() + 3600))
    found = only(clock.look)
    assert "s before journal.db was changed" in found.what
    assert found.fix.startswith("timedatectl set-ntp true")
    os.utime(stopped.folder / ".sealgate" / "journal.db")
    assert troubles(clock.look) == []


def test_clock_an_entry_from_the_future_counts_though_the_file_is_old(stopped: Home) -> None:
    for name in ("journal.db", "vault.db"):
        os.utime(stopped.folder / ".sealgate" / name, (0, 0))
    (behind,) = clock.look(deployment(), now=time.time() - 7200)
    assert "was written" in behind.what
    assert "entry" in behind.what


def test_engine_policies_that_do_not_load_or_cannot_decide(stopped: Home) -> None:
    stopped.config.write_text(config_text() + "policy: {path: rules}\n")
    (stopped.folder / "rules").mkdir()
    for broken in ("package sealgate.authz\n\ndecision := {", "package sealgate.authz\n\ndecision := 1\n"):
        (stopped.folder / "rules" / "a.rego").write_text(broken)
        found = only(engine.look)
        assert found.fix.startswith(f"sealgate policy check {stopped.folder / 'rules'}")
    stopped.config.write_text(config_text())
    assert troubles(engine.look) == []


@pytest.mark.opa
def test_engine_an_opa_that_is_not_there_is_started_by_the_printed_command(stopped: Home, opa_binary: str) -> None:
    port = free_port()
    stopped.config.write_text(config_text() + f"policy: {{engine: opa, opa_url: 'http://127.0.0.1:{port}'}}\n")
    found = only(engine.look)
    assert found.what == f"no OPA answers at http://127.0.0.1:{port}, so every call is denied"
    with opa(opa_binary, "run", "--server", "--addr", f"127.0.0.1:{port}", port=port):
        assert "it has none of our policies" in only(engine.look).what
    with opa(opa_binary, *shlex.split(found.fix)[1:], port=port):
        assert troubles(engine.look) == []


@contextmanager
def opa(binary: str, *arguments: str, port: int) -> Iterator[None]:
    with subprocess.Popen([binary, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: status_of(port, "/health") == 200, what="OPA's readiness")
            yield
        finally:
            process.kill()


def test_log_one_that_was_edited_is_found_and_the_backup_repairs_it(stopped: Home, backup: Path) -> None:
    assert [finding.level for finding in log.look(deployment())] == [Level.OK]
    folder = stopped.folder / ".sealgate"
    with apsw.Connection(str(folder / "journal.db")) as db:
        db.execute("UPDATE entries SET entry = (SELECT entry FROM entries WHERE idx = 1) WHERE idx = 2")
    found = only(log.look)
    assert "it is not what was written" in found.what
    assert found.fix.startswith(
        "sealgate log verify names all of it; then stop the gateway and sealgate state restore BACKUP"
    )
    assert run_cli("log", "verify").code == 6
    folder.rename(stopped.folder / "broken")
    restore = shlex.split(found.fix[found.fix.index("sealgate state") :].replace("BACKUP", str(backup)))
    said = run_cli(*restore[1:], "--yes")
    assert said.code == 0, said.stderr
    assert [finding.level for finding in log.look(deployment())] == [Level.OK]


def test_log_the_newest_part_of_a_long_one(stopped: Home) -> None:
    def newest(deployment: Deployment) -> Iterator[Finding]:
        return log.look(deployment, whole=0, newest=3)

    (well,) = newest(deployment())
    assert "the newest 3 of" in well.what
    with apsw.Connection(str(stopped.folder / ".sealgate" / "journal.db")) as db:
        size = db.execute("SELECT size FROM head").get
        db.execute("UPDATE entries SET leaf = zeroblob(32) WHERE idx = ?", (size - 1,))
    assert f"entry {size - 1} is not the one" in only(newest).what
    with apsw.Connection(str(stopped.folder / ".sealgate" / "journal.db")) as db:
        db.execute("DELETE FROM entries WHERE idx = ?", (size - 1,))
    assert f"it should have {size} entries" in only(newest).what


def test_upstreams_a_program_a_script_a_folder_a_name_and_an_address_that_are_not_there(stopped: Home) -> None:
    assert troubles(upstreams.look) == []
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        servers = {
            "program": {"command": "no-such-program"},
            "script": {"command": sys.executable, "args": ["gone.py"]},
            "folder": {"command": sys.executable, "cwd": "gone"},
            "name": {"url": "http://nowhere.invalid/mcp"},
            "address": {"url": f"http://127.0.0.1:{silent.getsockname()[1]}/mcp"},
        }
        stopped.config.write_text(json.dumps({"mcpServers": servers}))
        found = {finding.what.partition(":")[0]: finding for finding in upstreams.look(deployment())}
    assert {name: finding.level for name, finding in found.items()} == dict.fromkeys(servers, Level.FAIL)
    assert "mcpServers.program.command" in found["program"].fix
    (stopped.folder / "gone").mkdir()
    (stopped.folder / "gone.py").touch()
    left = {finding.what.partition(":")[0] for finding in troubles(upstreams.look)}
    assert left == {"program", "name", "address"}


def test_upstreams_a_module_a_python_a_document_and_an_agent_that_are_not_there(stopped: Home) -> None:
    kinds = """
functions:
  shop: {module: gone.py}
  own: {module: shop.tools, python: no/python}
openapi:
  pets: {document: gone.yaml, base_url: "http://127.0.0.1:9"}
agents:
  travel: {card: "http://127.0.0.1:9/card.json"}
"""
    stopped.config.write_text(stopped.config.read_text() + kinds)
    found = {finding.what.partition(":")[0]: finding for finding in troubles(upstreams.look)}
    assert found.keys() == {"shop", "own", "pets", "travel"}
    assert "its script" in found["shop"].what
    assert "functions.shop.module" in found["shop"].fix
    assert "functions.own.python" in found["own"].fix
    assert "openapi.pets.document" in found["pets"].fix
    assert "agents.travel.card" in found["travel"].fix


def test_upstreams_one_that_was_added_after_the_start_is_told(beside: Home, shop: RunningGateway) -> None:
    text = beside.config.read_text()
    try:
        beside.config.write_text(text.replace("tools:", f"  late: {{command: {sys.executable}}}\ntools:"))
        assert "late is not known to the running gateway" in only(upstreams.look, Level.WARN).what
    finally:
        beside.config.write_text(text)
    assert troubles(upstreams.look) == []
