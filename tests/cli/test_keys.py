"""`sealgate keys`: rotate and revoke beside a gateway that runs, stops and starts again."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.state import StateFolder
from gateway.core.verifier_key import parse_verifier_key
from tests.edge.box import Said, run_cli
from tests.running import REPOSITORY, ModernClient, RunningGateway, outcome
from tests.store.cut_off import cut
from tests.store.keyed_log import deployment

pytestmark = pytest.mark.long

TOKEN = "alice-token"


class ServingGateway(RunningGateway):
    """`sealgate serve`, and its one caller's token."""

    @property
    def token(self) -> str:
        return TOKEN


def configured(gateway: RunningGateway) -> RunningGateway:
    notes = REPOSITORY / "examples" / "notes.py"
    gateway.configure(
        f"mcpServers: {{notes: {{command: {sys.executable}, args: [{notes}, {gateway.folder}/notes]}}}}\n"
        "tools:\n"
        "  - {match: notes__read_note, mode: read_only, trust: trusted}\n"
        "  - {match: notes__append_note, mode: local_write, trust: trusted}\n"
        "callers:\n"
        f'  - {{principal: "user:alice", token_sha256: {hashlib.sha256(TOKEN.encode()).hexdigest()}}}\n'
    )
    return gateway


def developing(folder: Path) -> RunningGateway:
    return configured(RunningGateway(folder))


def serving(folder: Path) -> RunningGateway:
    gateway = configured(ServingGateway(folder, verb="serve"))
    assert run_cli("keys", "new", "--config", str(folder / "gateway.yaml"), state=gateway.state).code == 0
    return gateway


def write_a_note(gateway: RunningGateway, key: str) -> None:
    """A session of the gateway with one call in it."""
    with gateway, ModernClient(gateway) as client:
        if not (gateway.folder / "gateway.lock").exists():
            assert run_cli("tools", "approve", "--all", "--yes", state=gateway.state).code == 0
        answer = outcome(client.call("notes__append_note", {"name": "a", "text": key}, key=key))
        assert answer["outcome"] == "completed", answer


def fine(*arguments: str, state: Path) -> str:
    """What a command prints that must work."""
    said = run_cli(*arguments, state=state)
    assert said.code == 0, said
    return said.stdout


def keys(state: Path) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(fine("keys", "list", "--json", state=state))["keys"]
    return told


def in_force(state: Path, role: str) -> str:
    (found,) = (one["keyid"] for one in keys(state) if one["role"] == role and one["state"] == "in force")
    return str(found)


def verify(state: Path, *arguments: str) -> Said:
    return run_cli("log", "verify", *arguments, state=state)


@pytest.mark.parametrize("start", [developing, serving])
def test_a_gateway_goes_on_under_new_keys(tmp_path: Path, start: Callable[[Path], RunningGateway]) -> None:
    gateway = start(tmp_path)
    state = gateway.state
    write_a_note(gateway, "one")
    (tmp_path / "first.json").write_text(fine("keys", "public", state=state))
    for role in ("entry", "log", "entry"):
        before = in_force(state, role)
        said = run_cli("keys", "rotate", role, state=state)
        assert (said.code, said.stdout, before in said.stderr) == (0, "", True)
        assert in_force(state, role) != before
    write_a_note(gateway, "two")
    for bundle in ((), ("--keys", str(tmp_path / "first.json"))):
        checked = verify(state, *bundle)
        assert (checked.code, checked.stdout[:4]) == (0, "OK: "), checked
    bundle = json.loads(fine("keys", "public", state=state))
    assert bundle == json.loads((state / "keys" / "public.json").read_text())
    assert (bundle["version"], bundle["dev"]) == (2, start is developing)
    assert [len(bundle["entry_keys"]), len(bundle["log_keys"])] == [3, 2]
    entries = json.loads(fine("log", "list", "--limit", "1000", "--json", state=state))["entries"]
    assert {entry["dev"] for entry in entries} == {start is developing}
    assert [entry["kind"] for entry in entries].count("key") == 3
    for one in keys(state):
        assert one["state"] == ("in force" if one["until"] is None else "retired")


def test_keys_do_not_change_under_a_running_gateway_but_can_be_looked_at(tmp_path: Path) -> None:
    with developing(tmp_path) as gateway:
        state = gateway.state
        before = (state / "keys" / "entry.pem").read_bytes()
        keyid = in_force(state, "entry")
        for command in (["rotate", "entry"], ["rotate", "log"], ["revoke", keyid, "--reason", "stolen"]):
            said = run_cli("keys", *command, state=state)
            assert (said.code, "error[state.locked]" in said.stderr, "next:" in said.stderr) == (1, True, True)
        assert run_cli("status", state=state).code == 0
        vkey = parse_verifier_key(fine("keys", "public", "--vkey", state=state).strip())
        assert vkey.text == json.loads(fine("keys", "public", state=state))["log_keys"][0]["vkey"]
        assert (state / "keys" / "entry.pem").read_bytes() == before


def test_the_list_shows_where_each_key_counts(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state", entries=0).path
    first = in_force(state, "entry")
    fine("keys", "rotate", "log", state=state)
    fine("keys", "revoke", first[:12], "--reason", "the laptop was stolen", state=state)
    lines = [line.split() for line in fine("keys", "list", state=state).splitlines()]
    assert lines[0] == ["role", "id", "since", "until", "state"]
    assert lines[1] == ["entry", first, "0", "2", *["revoked", "from", "2", "on:", "the", "laptop", "was", "stolen"]]
    assert [line[0] for line in lines[1:]] == ["entry", "entry", "log", "log"]
    assert keys(state)[0]["revoked"] == {"since": 2, "entry": 2, "reason": "the laptop was stolen"}
    (vkey,) = fine("keys", "public", "--vkey", state=state).splitlines()
    assert vkey == json.loads(fine("keys", "public", state=state))["log_keys"][-1]["vkey"]


@pytest.mark.parametrize(("role", "named"), [("entry", "2 entries, 5 to 6"), ("log", "checkpoint 6")])
def test_what_a_revoked_key_signed_fails_with_old_and_new_bundles(tmp_path: Path, role: str, named: str) -> None:
    state = deployment(tmp_path / "state", entries=6).path
    (tmp_path / "first.json").write_text(fine("keys", "public", state=state))
    stolen = in_force(state, role)
    said = run_cli("keys", "revoke", stolen, "--since", "5", "--reason", "stolen", state=state)
    assert f"entry 7 revokes {stolen} from 5 on" in said.stderr
    new, old = verify(state), verify(state, "--keys", str(tmp_path / "first.json"))
    (line,) = new.stdout.splitlines()
    assert (new.code, line.startswith(f"revoked: {named}, signed by the {role} key {stolen[:16]}…")) == (6, True), new
    assert line.endswith("which entry 7 revokes from 5 on: stolen")
    assert "error[log.revoked]" in new.stderr
    assert f"--accept-revoked {stolen[:16]}" in new.stderr
    assert (old.code, [line.split(":")[0] for line in old.stdout.splitlines()]) == (6, ["entry 7"])


def test_a_revocation_that_doubts_nothing_leaves_a_log_that_holds(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state").path
    (tmp_path / "first.json").write_text(fine("keys", "public", state=state))
    fine("keys", "revoke", in_force(state, "entry"), "--reason", "to be safe", state=state)
    fine("keys", "revoke", in_force(state, "log"), "--reason", "to be safe", "--since", "5", state=state)
    assert verify(state).code == 0
    assert verify(state, "--keys", str(tmp_path / "first.json")).code == 0
    assert [one["state"] for one in keys(state)] == ["revoked", "in force", "revoked", "in force"]


def test_a_gateway_goes_on_after_its_key_was_revoked_from_before_on_and_is_backed_up(tmp_path: Path) -> None:
    gateway = developing(tmp_path)
    state, copy = gateway.state, tmp_path / "copy"
    write_a_note(gateway, "one")
    stolen = in_force(state, "entry")
    fine("keys", "revoke", stolen, "--since", "1", "--reason", "stolen", state=state)
    write_a_note(gateway, "two")
    accept = ("--accept-revoked", stolen)
    assert (verify(state).code, verify(state, *accept).code) == (6, 0)
    fine("state", "backup", str(copy), "--with-keys", *accept, state=state)
    state.rename(tmp_path / "lost")
    fine("state", "restore", str(copy), "--reason", "the disk died", "--yes", *accept, state=state)
    write_a_note(gateway, "three")
    checked = fine("state", "check", *accept, state=state)
    assert "the values of 3 calls and questions open" in checked
    assert f"signed by the entry key {stolen[:16]}…" in checked


def test_a_start_finishes_a_rotation_that_was_cut_off(tmp_path: Path) -> None:
    gateway = developing(tmp_path)
    write_a_note(gateway, "one")
    left = cut(StateFolder(gateway.state), tmp_path / "left", "rotate", "log")
    half = next(folder for folder in left if (folder.keys / "log.next.pem").exists())
    gateway.state.rename(tmp_path / "before")
    half.path.rename(gateway.state)
    write_a_note(gateway, "two")
    assert not (gateway.state / "keys" / "log.next.pem").exists()
    assert [one["state"] for one in keys(gateway.state)] == ["in force", "retired", "in force"]
    assert verify(gateway.state).code == 0


def test_a_bundle_of_the_first_release_is_read_and_written_anew(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state").path
    path = state / "keys" / "public.json"
    bundle = json.loads(path.read_text())
    old = {
        "origin": bundle["origin"],
        "dev": False,
        "entry_keys": {one["keyid"]: one["public_key"] for one in bundle["entry_keys"]},
        "log_key": bundle["log_keys"][0]["public_key"],
    }
    for copy in (path, tmp_path / "old.json"):
        copy.write_text(json.dumps(old))
    assert json.loads(fine("keys", "public", state=state)) == bundle
    fine("keys", "rotate", "entry", state=state)
    assert json.loads(path.read_text())["version"] == 2
    assert verify(state, "--keys", str(tmp_path / "old.json")).code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (["rotate", "vault"], 2, "vault"),
        (["rotate"], 2, "Usage"),
        (["revoke", "--reason", "x"], 2, "Usage"),
        (["revoke", "0" * 64], 2, "--reason"),
        (["revoke", "0" * 64, "--reason", "x"], 1, "error[keys.unusable]"),
        (["revoke", "", "--reason", "x"], 1, "error[keys.unusable]"),
        (["revoke", "ENTRY", "--reason", "x", "--since", "-1"], 2, "--since"),
        (["revoke", "ENTRY", "--reason", "x", "--since", "4"], 1, "the log has 3 entries"),
        (["revoke", "ENTRY", "--reason", ""], 1, "needs a reason"),
        (["revoke", "ENTRY", "--reason", "\x1b[2J"], 1, "needs a reason"),
    ],
)
def test_wrong_use_is_answered_at_once_and_changes_nothing(
    tmp_path: Path, arguments: list[str], code: int, problem: str
) -> None:
    state = deployment(tmp_path / "state").path
    before = {path.name: path.read_bytes() for path in (state / "keys").iterdir()}
    keyid = in_force(state, "entry")
    said = run_cli("keys", *(keyid if one == "ENTRY" else one for one in arguments), state=state)
    assert (said.code, problem in said.stderr, "Traceback" in said.stderr) == (code, True, False), said
    assert {path.name: path.read_bytes() for path in (state / "keys").iterdir()} == before


@pytest.mark.parametrize("arguments", [["list"], ["public"], ["rotate", "entry"], ["revoke", "0" * 64, "--reason", "x"]])
def test_without_keys_it_says_how_to_make_them_and_makes_nothing(tmp_path: Path, arguments: list[str]) -> None:
    said = run_cli("keys", *arguments, state=tmp_path / "state")
    assert (said.code, "sealgate keys new" in said.stderr, said.stdout) == (1, True, "")
    assert list(tmp_path.iterdir()) == []
