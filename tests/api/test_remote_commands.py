"""`sealgate … --url`: the commands do the same for a gateway elsewhere, and its log is verified without its files."""

import json
import shutil
from pathlib import Path

import pytest

from gateway.adapters.keys import make_keys
from tests.api.office import Office
from tests.approvals.people import ask
from tests.edge.shop import envelope_of, lose
from tests.running import ModernClient, Said, outcome


@pytest.fixture(scope="module")
def keys(office: Office, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """public.json, as the operator gave it to an auditor."""
    path = tmp_path_factory.mktemp("auditor") / "public.json"
    shutil.copy(office.gateway.state / "keys" / "public.json", path)
    return path


def done(said: Said) -> str:
    assert said.code == 0, said
    return said.stdout


def test_an_auditor_reads_what_is_there(office: Office) -> None:
    assert office.gateway.json("tools", "list") == json.loads(done(office.run("auditor", "tools", "list", "--json")))
    shown = json.loads(done(office.run("auditor", "tools", "show", "box__drop", "--json")))
    assert shown["listed"][0]["mode"] == "destructive"
    assert office.run("auditor", "tools", "diff", "box__drop").code == 0
    status = json.loads(done(office.run("auditor", "status", "--json")))
    assert status["log_origin"] == "sealgate.local/default"
    assert office.gateway.json("keys", "list") == json.loads(done(office.run("auditor", "keys", "list", "--json")))
    assert json.loads(done(office.run("auditor", "policy", "list", "--json")))["terms"]
    assert "candidate" in office.run("auditor", "policy", "shadow").stderr
    assert json.loads(done(office.run("auditor", "runs", "in-doubt", "--json"))).keys() == {"in_doubt"}


def test_the_log_is_read_proven_exported_and_verified(
    office: Office, client: ModernClient, keys: Path, tmp_path: Path
) -> None:
    envelope = envelope_of(client.call("box__add_row", {"text": "remote"}))
    assert envelope in done(office.run("auditor", "log", "list", "--json"))
    assert envelope in done(office.run("auditor", "log", "show", envelope))
    assert envelope in done(office.run("auditor", "log", "tail", "--no-follow", "--json"))
    proof, export = tmp_path / "one.tlog-proof", tmp_path / "export"
    done(office.run("auditor", "log", "prove", envelope, "--out", str(proof), "--keys", str(keys)))
    done(office.run("auditor", "log", "verify", "--proof", str(proof), "--key", str(keys)))
    note = tmp_path / "checkpoint"
    note.write_text(done(office.run("auditor", "log", "checkpoint")))
    done(office.run("auditor", "log", "export", str(export), "--keys", str(keys)))
    done(office.run("auditor", "log", "verify", "--dir", str(export), "--keys", str(keys)))
    assert json.loads(done(office.run("auditor", "log", "anchors", "--json"))) == {"anchors": []}
    report = json.loads(
        done(office.run("auditor", "log", "verify", "--keys", str(keys), "--checkpoint", str(note), "--json"))
    )
    assert (report["ok"], report["problems"]) == (True, [])
    assert report["entries"] >= office.box.size() - 2


def test_a_gateway_is_not_asked_by_which_keys_its_own_log_is_true(office: Office, keys: Path, tmp_path: Path) -> None:
    for verb in (("verify",), ("prove", "0"), ("export", str(tmp_path / "export"))):
        said = office.run("auditor", "log", *verb)
        assert (said.code, "--keys public.json" in said.stderr) == (2, True), said
    make_keys(tmp_path / "others", origin="sealgate.local/default", dev=False)
    assert office.run("auditor", "log", "verify", "--keys", str(tmp_path / "others" / "public.json")).code == 6


def answers(office: Office, role: str, verb: str, approval_id: str, *more: str) -> Said:
    files = ("--key", str(office.alice.key), "--passphrase-file", str(office.alice.passphrase))
    return office.run(role, "approvals", verb, approval_id, *files, "--yes", *more)


def test_an_approver_answers_with_their_own_key(office: Office, client: ModernClient) -> None:
    made = ask(client, "remote yes")
    assert made in done(office.run("approver", "approvals", "list", "--json"))
    assert "remote yes" in done(office.run("approver", "approvals", "show", made))
    assert "(pending)" in done(office.run("approver", "approvals", "watch", "--once"))
    done(answers(office, "approver", "approve", made))
    assert outcome(client.call("box__drop", {"text": "remote yes"})) == {"outcome": "completed"}

    no = ask(client, "remote no")
    done(answers(office, "approver", "reject", no, "--comment", "never"))
    assert outcome(client.call("box__drop", {"text": "remote no"}))["outcome"] == "denied"

    changed = ask(client, "remote much")
    done(answers(office, "approver", "modify", changed, "--set", '/text="remote less"'))
    assert outcome(client.call("box__drop", {"text": "remote much"}))["outcome"] == "completed"
    rows = office.box.lines("rows")
    assert ("drop remote less" in rows, "drop remote much" in rows, "drop remote no" in rows) == (True, False, False)


def test_without_a_key_of_their_own_nobody_answers(office: Office, client: ModernClient) -> None:
    """The development key of a state folder is for gateways of this machine."""
    said = office.run("approver", "approvals", "approve", ask(client, "no key"), "--yes")
    assert (said.code, "no approver key was named" in said.stderr) == (1, True)


def test_an_admin_operates(office: Office, client: ModernClient) -> None:
    made = ask(client, "to be revoked")
    done(office.run("admin", "approvals", "revoke", made))
    lost, told = lose(client, "hang-remote"), lose(client, "hang-asked")
    done(office.run("admin", "runs", "resolve", lost, "--as", "failed", "--reason", "looked"))
    assert office.run("admin", "runs", "reconcile", told).code in (0, 1)
    assert office.run("admin", "runs", "resolve", lost, "--as", "failed", "--reason", "r", "--by", "me").code == 2
    revision = done(office.run("admin", "policy", "reload")).strip()
    assert revision == office.get("/api/v1/status")["policy"]["revision"]


@pytest.mark.parametrize(
    ("role", "command", "needed"),
    [
        ("agent", ("status",), "auditor"),
        ("agent", ("tools", "list"), "admin"),
        ("agent", ("approvals", "list"), "approver"),
        ("auditor", ("policy", "reload"), "admin"),
        ("auditor", ("approvals", "show", "x"), "approver"),
        ("admin", ("approvals", "show", "x"), "approver"),
        ("approver", ("log", "list"), "auditor"),
        ("approver", ("log", "tail", "--no-follow"), "auditor"),
        ("approver", ("log", "checkpoint"), "auditor"),
        ("approver", ("runs", "in-doubt"), "auditor"),
        ("approver", ("approvals", "revoke", "x"), "admin"),
        ("approver", ("keys", "list"), "auditor"),
    ],
)
def test_a_refused_command_tells_the_role_it_needs(office: Office, role: str, command: tuple[str, ...], needed: str) -> None:
    said = office.run(role, *command)
    assert (said.code, "error[role.missing]" in said.stderr) == (1, True), said
    assert needed in said.stderr
    assert "callers[].roles" in said.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("log", "disclose", "x"),
        ("log", "erase", "--subject", "default/user:agent", "--reason", "r", "--yes"),
        ("policy", "explain", "x"),
        ("approvals", "rule", "x"),
        ("keys", "api", "new", "--principal", "service:x"),
    ],
)
def test_commands_about_values_and_new_keys_are_for_the_gateways_machine(office: Office, command: tuple[str, ...]) -> None:
    said = office.run("admin", *command)
    assert (said.code, "not done over the network" in said.stderr) == (2, True), said
