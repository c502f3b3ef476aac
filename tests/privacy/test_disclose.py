"""`sealgate log disclose`: what an authorised auditor is shown, and what they can check without the gateway."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from gateway.adapters.daemon import DaemonClient
from gateway.core.errors import GatewayError
from tests.privacy.desk import Desk, running_desk
from tests.running import REPOSITORY, outcome

NOTE = {"text": "the customer moved to Lyon"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running_desk(tmp_path_factory.mktemp("desk")) as running:
        yield running


def made(desk: Desk, tool: str, arguments: dict[str, Any], key: str) -> str:
    """Make a call; its envelope id."""
    with desk.client() as client:
        answer = client.call(f"desk__{tool}", arguments, key=key)
    assert outcome(answer)["outcome"] == "completed", answer
    envelope: str = answer["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"]
    return envelope


def by_name(document: dict[str, Any], part: str = "disclosed") -> dict[str, Any]:
    return {item["name"]: item for item in document[part]}


def test_arguments_and_result_are_shown_with_what_opens_their_commitments(desk: Desk) -> None:
    call = made(desk, "note", NOTE, "shown")
    document = desk.json("log", "disclose", call)
    shown = by_name(document)
    assert shown["text"]["value"] == NOTE["text"]
    assert shown["result"]["value"]["content"][0]["text"] == f"note did {json.dumps(NOTE)}"
    assert document["withheld"] == []
    entry = json.loads(desk.run("log", "show", call).stdout.split("\n}\n")[-2] + "\n}")
    committed = entry["statement"]["predicate"]
    assert committed["call"]["arguments"] == {"text": shown["text"]["digest"]}
    assert committed["result"]["commitment"] == shown["result"]["digest"]
    printed = desk.run("log", "disclose", call).stdout
    for part in shown.values():
        assert part["disclosure"] in printed
        assert part["digest"] in printed


def test_one_field_can_be_asked_for(desk: Desk) -> None:
    call = made(desk, "note", NOTE, "field")
    assert list(by_name(desk.json("log", "disclose", call, "--field", "text"))) == ["text"]
    refused = desk.run("log", "disclose", call, "--field", "other")
    assert refused.code == 1
    assert "has no 'other'" in refused.stderr


def test_what_was_never_stored_is_said_to_be_redacted(desk: Desk) -> None:
    call = made(desk, "login", {"user": "ann", "password": "hunter22", "device": {"label": "x", "pin": 4711}}, "redacted")
    document = desk.json("log", "disclose", call)
    assert list(by_name(document)) == ["user"]
    held = by_name(document, "withheld")
    assert held["password"]["why"] == "redacted before it was stored: sensitive"
    assert held["device"]["redacted_copy"] == {"label": "x", "pin": "[redacted: sensitive]"}
    assert "hunter22" not in json.dumps(document)


@pytest.mark.parametrize("unknown", ["0192f1c0-0000-7000-8000-000000000000", "nonsense", "12", ""])
def test_a_call_that_is_not_in_the_log_cannot_be_disclosed(desk: Desk, unknown: str) -> None:
    refused = desk.run("log", "disclose", unknown)
    assert refused.code == 1
    assert "error[log.unknown]" in refused.stderr


def test_an_entry_without_values_cannot_be_disclosed(desk: Desk) -> None:
    boot = desk.json("log", "list", "--kind", "boot")["entries"][0]["id"]
    refused = desk.run("log", "disclose", boot)
    assert refused.code == 1
    assert "error[log.no_values]" in refused.stderr


def test_an_approval_request_is_no_call_and_the_error_says_where_to_look(desk: Desk) -> None:
    with desk.client() as client:
        approval_id = outcome(client.call("desk__drop", {"user": "asked"}, key="asked"))["approval_id"]

        def refused(entry_id: str) -> str:
            said = desk.run("log", "disclose", entry_id)
            assert (said.code, "error[log.no_values]" in said.stderr) == (1, True), said
            return " ".join(said.stderr.split())

        assert f"{approval_id} is no call: it is an approval request" in refused(approval_id)
        assert f"sealgate approvals show {approval_id}" in refused(approval_id)
        with DaemonClient(desk.gateway.state / "control.sock") as daemon, pytest.raises(GatewayError) as told:
            daemon.get(f"/api/v1/calls/{approval_id}/values")
        assert (told.value.code, told.value.hint) == ("log.no_values", f"sealgate approvals show {approval_id}")
        assert desk.run("approvals", "approve", approval_id, "--yes").code == 0
        ran = client.call("desk__drop", {"user": "asked"}, key="asked")["result"]["_meta"]["dev.sealgate/receipt"]
    answered = [entry["id"] for entry in desk.json("log", "list", "--kind", "approval")["entries"]]
    assert approval_id in answered
    assert all(f"sealgate log disclose {ran['envelope_id']}" in refused(entry_id) for entry_id in answered[-2:])
    assert by_name(desk.json("log", "disclose", ran["envelope_id"]))["user"]["value"] == "asked"


# --- offline ---


@pytest.fixture(scope="module")
def handed_out(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an auditor gets: disclosures, the proof of the entry, and the trust bundle; and the proof of another entry."""
    folder = tmp_path_factory.mktemp("auditor")
    call, other = made(desk, "note", NOTE, "audited"), made(desk, "note", {"text": "other"}, "other")
    (folder / "values.json").touch(mode=0o644)  # one that was there before, for all to read
    for command in (
        ["log", "disclose", call, "--out", str(folder / "values.json")],
        ["log", "prove", call, "--out", str(folder / "entry.tlog-proof")],
        ["log", "prove", other, "--out", str(folder / "other.tlog-proof")],
        ["log", "prove", call, "--kind", "intent", "--out", str(folder / "intent.tlog-proof")],
    ):
        said = desk.run(*command)
        assert said.code == 0, said
    (folder / "public.json").write_text(desk.run("keys", "public").stdout)
    return folder


def check(desk: Desk, folder: Path, *, values: str = "values.json", proof: str = "entry.tlog-proof") -> Any:
    """The auditor's command, in a folder that has no gateway."""
    key = ["--key", str(folder / "public.json")]
    return desk.run("log", "disclose", "--check", str(folder / values), "--proof", str(folder / proof), *key, "--json")


def test_an_auditor_checks_disclosures_against_the_proof_of_an_entry(desk: Desk, handed_out: Path) -> None:
    said = check(desk, handed_out)
    assert said.code == 0, said
    shown = by_name(json.loads(said.stdout))
    assert shown["text"]["value"] == NOTE["text"]
    assert set(shown) == {"text", "result"}
    assert (handed_out / "values.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.openssl
def test_a_disclosure_is_checked_by_hand_as_the_page_shows(handed_out: Path) -> None:
    page = (REPOSITORY / "docs" / "how-to" / "privacy.md").read_text()
    (command,) = [line for line in page.splitlines() if line.startswith('printf %s "$DISCLOSURE"')]
    for item in json.loads((handed_out / "values.json").read_text())["disclosures"]:
        for disclosure, same in ((item["disclosure"], True), (item["disclosure"][:-1] + "~", False)):
            done = subprocess.run(
                ["sh", "-c", command], env={**os.environ, "DISCLOSURE": disclosure}, capture_output=True, check=True
            )
            assert (done.stdout.decode().strip() == item["digest"]) is same


@pytest.mark.parametrize("proof", ["other.tlog-proof", "intent.tlog-proof"])
def test_disclosures_do_not_hold_for_another_entry(desk: Desk, handed_out: Path, proof: str) -> None:
    said = check(desk, handed_out, proof=proof)
    assert said.code == 6, said
    assert "the disclosures do not hold" in said.stderr


def changes(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The file with one thing changed each."""
    for number, item in enumerate(document["disclosures"]):
        other = document["disclosures"][1 - number]
        for field in item:
            for value in (other[field], "", 1, None, item[field][:-1], item[field] + "A"):
                changed = json.loads(json.dumps(document))
                changed["disclosures"][number][field] = value
                yield f"{number} {field} {value!r}", changed
    for field, value in (("envelope_id", "x"), ("format", "x"), ("disclosures", {}), ("disclosures", ["x"])):
        yield f"{field} {value!r}", {**document, field: value}


def test_every_change_to_a_disclosure_file_is_found(desk: Desk, handed_out: Path) -> None:
    document = json.loads((handed_out / "values.json").read_text())
    tried = 0
    for what, changed in changes(document):
        (handed_out / "changed.json").write_bytes(orjson.dumps(changed))
        said = check(desk, handed_out, values="changed.json")
        assert said.code == 6, (what, said)
        assert "Traceback" not in said.stderr
        tried += 1
    assert tried == 2 * 4 * 6 + 4


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b'{"a": 1, "a": 2}'])
def test_what_is_no_disclosure_file_is_refused(desk: Desk, handed_out: Path, data: bytes) -> None:
    (handed_out / "odd.json").write_bytes(data)
    said = check(desk, handed_out, values="odd.json")
    assert said.code == 6, said
    assert "Traceback" not in said.stderr


def test_options_that_do_not_go_together_are_refused(desk: Desk, handed_out: Path) -> None:
    for options in (["--check", "x"], ["--proof", "x"], [], ["id", "--check", "x", "--proof", "y", "--key", "z"]):
        assert desk.run("log", "disclose", *options).code == 2


# --- with the gateway stopped, and erased ---


def test_values_are_disclosed_and_erased_without_a_daemon_as_well(tmp_path: Path) -> None:
    with running_desk(tmp_path) as desk:
        call = made(desk, "note", NOTE, "stopped")
        chain = json.loads(desk.run("log", "show", call).stdout.split("\n}\n")[0] + "\n}")["statement"]["predicate"]["run"]
        subject = f"{chain['tenant_id']}/{chain['principal_chain'][0]}"
        assert desk.gateway.stop() == 0
        assert by_name(desk.json("log", "disclose", call))["text"]["value"] == NOTE["text"]
        erase = ["log", "erase", "--subject", subject, "--reason", "left the company", "--by", "dpo"]
        assert desk.run(*erase, stdin="n\n").code != 0
        assert by_name(desk.json("log", "disclose", call))["text"]["value"] == NOTE["text"]
        done = desk.json(*erase, "--yes")
        assert done["keys"] == [0]
        held = by_name(desk.json("log", "disclose", call), "withheld")
        assert {item["why"] for item in held.values()} == {"erased: its key was destroyed"}
        desk.verify()
        with desk.gateway:
            with desk.client() as client:
                again = client.call("desk__note", NOTE, key="stopped")
            assert outcome(again)["reasons"] == ["idempotency.result_gone"]
            assert "its result was erased" in again["result"]["content"][0]["text"]
            assert desk.calls() == [["note", NOTE]]
            assert by_name(desk.json("log", "disclose", call), "withheld") == held
            made(desk, "note", {"text": "a new one"}, "new")
            desk.verify()


def test_a_stored_value_that_was_changed_is_not_shown(tmp_path: Path) -> None:
    with running_desk(tmp_path) as desk:
        one, other = made(desk, "note", {"text": "one"}, "one"), made(desk, "note", {"text": "two"}, "two")
    db = apsw.Connection(str(desk.gateway.state / "journal.db"))
    db.execute(
        "UPDATE evidence SET arguments = (SELECT arguments FROM evidence WHERE envelope_id = ?) WHERE envelope_id = ?",
        (other, one),
    )
    db.close()
    said = desk.run("log", "disclose", one)
    assert said.code == 1
    assert "was changed or moved" in said.stderr
    assert "two" not in said.stdout


@pytest.mark.long
def test_an_erasure_that_was_killed_is_finished_when_the_gateway_starts_again(tmp_path: Path) -> None:
    with running_desk(tmp_path) as desk:
        call = made(desk, "note", NOTE, "killed")
        holder = apsw.Connection(str(desk.gateway.state / "vault.db"))
        subject = str(holder.execute("SELECT subject FROM subject_keys").get)
        holder.execute("BEGIN IMMEDIATE")  # keys cannot be destroyed while somebody else writes
        said = desk.run("log", "erase", "--subject", subject, "--reason", "asked for it", "--yes")
        assert said.code == 1
        assert "error[store.failed]" in said.stderr
        desk.gateway.kill()
        holder.execute("ROLLBACK")
        holder.close()
        with desk.gateway:
            held = by_name(desk.json("log", "disclose", call), "withheld")
            assert {item["why"] for item in held.values()} == {"erased: its key was destroyed"}
            (entry,) = desk.json("log", "list", "-n", "1000", "--kind", "erasure")["entries"]
            assert entry["what"] == subject
            desk.verify()
