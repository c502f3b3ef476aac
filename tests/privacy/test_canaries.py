"""Canary values go through every way in; then every place that keeps or tells something is searched for them.

Ordinary values may be stored encrypted, and shown to approvers and by `log disclose`. Sensitive values and secrets of known
formats are nowhere. After an erasure, ordinary values are nowhere either, also not for whoever has all keys and files.
"""

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import load_keys
from gateway.adapters.store.sqlite.database import open_for_reading
from gateway.adapters.store.sqlite.evidence import read_values
from gateway.adapters.vault import FileVault
from gateway.core.commitment import read_kept
from gateway.core.errors import KeyFault
from tests.privacy.desk import Desk, places, running_desk
from tests.running import outcome

ORDINARY = {
    place: f"canary-{place}-{number:02d}-7f3a91"
    for number, place in enumerate(["argument", "nested", "named", "read", "denied", "waiting", "key", "meta", "invalid"])
}
SENSITIVE = {
    place: f"hidden-{place}-{number:02d}-c40d22"
    for number, place in enumerate(["password", "answer", "ssn", "card", "waiting"])
}
PIN = 731_846_295
GITHUB, AWS, STRIPE = "ghp_" + "cA9y" * 9, "AKIA" + "CANARY7Q" * 2, "sk_live_" + "c4n4rY" * 5
SECRETS = {
    "argument": f"{GITHUB}argument",
    "result": f"{GITHUB}result",
    "name": f"{GITHUB}name",
    "tool": f"{GITHUB}tool",
    "run": f"{GITHUB}run",
    "trace": f"{GITHUB}trace",
    "comment": f"{GITHUB}comment",
    "reason": f"{GITHUB}reason",
    "aws": AWS,
    "stripe": STRIPE,
}
NEVER = [*SENSITIVE.values(), str(PIN), *SECRETS.values()]


@dataclass
class Sinks:
    """The desk, the calls that ran, and everything that is stored or was told by then."""

    desk: Desk
    calls: list[str]
    found: dict[str, bytes]


def meta(**more: str) -> dict[str, Any]:
    return {
        "dev.sealgate/idempotency-key": f"{ORDINARY['key']}-{len(more)}-{sorted(more.values())}",
        "dev.sealgate/run": {"run_id": "run of the desk"},
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": f"v={SECRETS['trace']}",
        "example.org/more": ORDINARY["meta"],
    }


def use(desk: Desk) -> Iterator[str]:
    """Every way in; the envelope ids of the calls that were sent upstream."""
    login = {
        "user": f"{ORDINARY['argument']} {SECRETS['argument']}",
        "password": SENSITIVE["password"],
        "device": {"label": ORDINARY["nested"], "pin": PIN},
        "answers": [SENSITIVE["answer"]],
    }
    profile = {"name": f"x {AWS}", "ssn": SENSITIVE["ssn"], "cards": [{"label": "l", "number": SENSITIVE["card"]}]}
    note = {"text": f"{SECRETS['result']} {STRIPE}", SECRETS["name"]: ORDINARY["named"]}
    waiting = {"user": ORDINARY["waiting"], "password": SENSITIVE["waiting"]}
    (desk.folder / "profile.json").write_text(json.dumps(profile))
    with desk.client() as client:
        for tool, arguments in (
            ("login", login),
            ("profile", {"of": "ann"}),
            ("note", note),
            ("read", {"text": ORDINARY["read"]}),
        ):
            for end in ("completed", "replayed"):
                answer = client.request("tools/call", {"name": f"desk__{tool}", "arguments": arguments}, meta(tool=tool))
                assert outcome(answer)["outcome"] == end, answer
                if tool == "profile":
                    assert (SENSITIVE["ssn"] in json.dumps(answer)) is (end == "completed")
            yield answer["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"]
        client.request("tools/call", {"name": f"desk__{SECRETS['tool']}", "arguments": login}, meta(tool="unknown"))
        wrong = {"user": "u", "undeclared": ORDINARY["invalid"], "password": SENSITIVE["password"]}
        client.request("tools/call", {"name": "desk__login", "arguments": wrong}, meta(tool="wrong"))
        named = {**meta(tool="run"), "dev.sealgate/run": {"run_id": f"run {SECRETS['run']}"}}
        answer = client.request("tools/call", {"name": "desk__read", "arguments": {"text": "x"}}, named)
        assert (answer["error"]["code"], SECRETS["run"] in json.dumps(answer)) == (-32602, False)
        client.post(f'{{"jsonrpc": "2.0", "id": 1, "method": "{ORDINARY["invalid"]}", '.encode())
        client.post(b"{}", {"User-Agent": ORDINARY["meta"], "Mcp-Session-Id": ORDINARY["meta"]})
        client.post(b"{}", {"Authorization": f"Bearer {ORDINARY['invalid']}"})
        answer = client.request("tools/call", {"name": "desk__drop", "arguments": waiting}, meta(tool="drop"))
        approval = outcome(answer)["approval_id"]
        shown = desk.json("approvals", "show", approval)
        assert shown["arguments"] == {**waiting, "password": "[redacted: sensitive]"}
        said = desk.run("approvals", "approve", approval, "--yes", "--comment", f"fine {SECRETS['comment']}")
        assert said.code == 0, said
        answer = client.request("tools/call", {"name": "desk__drop", "arguments": waiting}, meta(tool="drop"))
        assert outcome(answer)["outcome"] == "completed", answer
        denied = {"user": ORDINARY["denied"], "password": SENSITIVE["password"]}
        answer = client.request("tools/call", {"name": "desk__drop", "arguments": denied}, meta(tool="denied"))
        approval = outcome(answer)["approval_id"]
        assert desk.run("approvals", "reject", approval, "--yes").code == 0
        answer = client.request("tools/call", {"name": "desk__drop", "arguments": denied}, meta(tool="denied"))
        assert outcome(answer)["outcome"] == "denied", answer


def tell(desk: Desk, folder: Path) -> dict[str, bytes]:
    """What operators and auditors are told, but for what they ask of one call's values."""
    commands = {
        "log list": ["log", "list", "-n", "1000"],
        "log tail": ["log", "tail", "--no-follow"],
        "log verify": ["log", "verify", "--json"],
        "approvals list": ["approvals", "list", "--all"],
        "tools list": ["tools", "list"],
        "runs in-doubt": ["runs", "in-doubt"],
        "status": ["status", "--json"],
    }
    told = {name: desk.run(*command) for name, command in commands.items()}
    assert {name: said.code for name, said in told.items()} == dict.fromkeys(commands, 0), told
    export = folder / "export"
    assert desk.run("log", "export", str(export)).code == 0
    found = {name: f"{said.stdout}{said.stderr}".encode() for name, said in told.items()}
    found |= {f"export/{path.name}": path.read_bytes() for path in export.rglob("*") if path.is_file()}
    with DaemonClient(desk.gateway.state / "control.sock") as client:
        found["api approvals"] = json.dumps(client.get("/api/v1/approvals?all=true")).encode()
        found["api status"] = json.dumps(client.get("/api/v1/status")).encode()
    return found


@pytest.fixture(scope="module")
def sinks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sinks]:
    """A gateway that was used, and everything that it has told since."""
    folder = tmp_path_factory.mktemp("canaries")
    with running_desk(folder) as desk:
        replays = list(use(desk))
        told = tell(desk, tmp_path_factory.mktemp("told"))
        calls = [item["id"] for item in desk.json("log", "list", "-n", "1000", "--kind", "outcome")["entries"]]
        assert set(replays) < set(calls)
        yield Sinks(desk, [call for call in calls if call not in replays], {**desk.stored(), **told})


# --- teeth ---


def test_the_search_finds_a_planted_canary(tmp_path: Path) -> None:
    text = ORDINARY["argument"]
    for before in ("", "x", "xy", "xyz"):
        plain = f"{before}{text} and more"
        for spelled in (plain, plain.encode().hex(), base64.b64encode(plain.encode()).decode()):
            assert places(text, {"planted": spelled.encode()}) == ["planted"], spelled
        assert places(text, {"planted": base64.urlsafe_b64encode(plain.encode())}) == ["planted"]
    assert places(text, {"other": base64.b64encode(text[:-1].encode())}) == []


def test_the_search_looks_where_values_are_kept(sinks: Sinks) -> None:
    found = sinks.found
    for name in (".sealgate/journal.db", ".sealgate/vault.db", "gateway.err", "entries", ".sealgate/keys/entry.pem"):
        assert found[name], name
    assert b"desk__login" in found[".sealgate/journal.db"] + found.get(".sealgate/journal.db-wal", b"")
    assert places("desk__login", {"entries": found["entries"]})
    (sinks.desk.gateway.state / "planted").write_text(ORDINARY["argument"])
    assert places(ORDINARY["argument"], sinks.desk.stored()) == [".sealgate/planted"]
    (sinks.desk.gateway.state / "planted").unlink()


# --- before an erasure ---


def test_what_reached_the_tool_is_what_was_sent(sinks: Sinks) -> None:
    sent = dict(sinks.desk.calls())
    assert sent["login"]["password"] == SENSITIVE["password"]
    assert sent["login"]["device"]["pin"] == PIN
    assert sent["note"]["text"] == f"{SECRETS['result']} {STRIPE}"
    assert sent["drop"]["password"] == SENSITIVE["waiting"]
    assert [tool for tool, _ in sinks.desk.calls()] == ["login", "profile", "note", "read", "drop"]


@pytest.mark.parametrize("place", ORDINARY)
def test_an_ordinary_value_is_nowhere_in_clear(sinks: Sinks, place: str) -> None:
    assert places(ORDINARY[place], sinks.found) == []


@pytest.mark.parametrize("value", NEVER)
def test_a_secret_is_nowhere_in_clear(sinks: Sinks, value: str) -> None:
    assert places(value, sinks.found) == []


def disclosed(desk: Desk, calls: list[str]) -> dict[str, bytes]:
    """What `log disclose` shows of these calls."""
    return {call: json.dumps(desk.json("log", "disclose", call)).encode() for call in calls}


def opened(state: Path, calls: list[str]) -> dict[str, bytes]:
    """What whoever has all keys and files can read of these calls and of pending requests: every row, every blob."""
    vault = FileVault(state / "vault.db", load_keys(state / "keys").vault_key)
    db = open_for_reading(state / "journal.db")
    found: dict[str, bytes] = {}
    rows = db.execute("SELECT envelope_id, subject, CAST(arguments AS BLOB), CAST(result AS BLOB) FROM evidence").fetchall()
    for key, subject, *blobs in rows:
        for blob in blobs:
            for what in ("arguments", "result", "pending", "reasons"):
                try:
                    data = vault.keys(str(subject)).open(blob, f"{key}:{what}".encode())  # type: ignore[arg-type]
                except KeyFault:
                    continue
                found[f"{key} {what}"] = data + decoded(data)
    kept = {call: read_values(vault, db, call).all() for call in calls}
    found |= {call: repr(values).encode() for call, values in kept.items()}
    db.close()
    vault.close()
    return found


def decoded(data: bytes) -> bytes:
    """The disclosures in a stored blob, without their base64."""
    try:
        items = json.loads(data) if data[:1] in b"[{" else [data.decode()]
        return repr([read_kept(item.encode()) for item in items if isinstance(item, str)]).encode()
    except ValueError:
        return b""


def copied(desk: Desk, folder: Path) -> Path:
    """The state folder as a thief takes it."""
    copy = folder / "stolen"
    shutil.copytree(desk.gateway.state, copy, ignore=shutil.ignore_patterns("*.sock", "lock"))
    return copy


def test_an_auditor_is_shown_ordinary_values_and_no_secret(sinks: Sinks) -> None:
    shown = disclosed(sinks.desk, sinks.calls)
    for place in ("argument", "nested", "named", "read", "waiting"):
        assert places(ORDINARY[place], shown), place
    assert [value for value in NEVER if places(value, shown)] == []


def test_whoever_has_all_keys_reads_ordinary_values_and_no_secret(sinks: Sinks, tmp_path: Path) -> None:
    read = opened(copied(sinks.desk, tmp_path), sinks.calls)
    for place in ("argument", "nested", "named", "read", "waiting", "denied"):
        assert places(ORDINARY[place], read), place
    assert [value for value in NEVER if places(value, read)] == []


def test_a_replay_says_that_its_result_was_redacted(sinks: Sinks) -> None:
    with sinks.desk.client() as client:
        first = client.call("desk__login", {"user": "u", "password": "hunter22-live"}, key="replay")
        again = client.call("desk__login", {"user": "u", "password": "hunter22-live"}, key="replay")
        plain = [client.call("desk__note", {"text": "nothing"}, key="plain") for _ in range(2)][1]
    assert "hunter22-live" in json.dumps(first)
    assert "dev.sealgate/redacted" not in first["result"]["_meta"]
    assert "hunter22-live" not in json.dumps(again)
    assert again["result"]["_meta"]["dev.sealgate/redacted"] == ["sensitive"]
    assert "dev.sealgate/redacted" not in plain["result"]["_meta"]


# --- after it ---


def test_after_an_erasure_nothing_is_left_for_anybody(tmp_path: Path) -> None:
    with running_desk(tmp_path / "desk") as desk:
        list(use(desk))
        calls = [item["id"] for item in desk.json("log", "list", "-n", "1000", "--kind", "outcome")["entries"]]
        with desk.client() as client:
            waits = client.call("desk__drop", {"user": ORDINARY["waiting"]}, key="still waiting")
        before = copied(desk, tmp_path)
        assert places(ORDINARY["argument"], opened(before, calls))
        subject = next(subject for subject in subjects(before))
        said = desk.run("log", "erase", "--subject", subject, "--reason", f"asked {SECRETS['reason']}", "--yes")
        assert said.code == 0, said
        stolen = copied(desk, tmp_path / "after")
        old = shutil.copytree(stolen, tmp_path / "old")
        for journal in before.glob("journal.db*"):  # an older copy of the journal still has the values, encrypted
            shutil.copy(journal, old)
        for found in (
            opened(stolen, calls),
            opened(old, calls),
            disclosed(desk, calls),
            desk.stored(),
            tell(desk, tmp_path / "told"),
        ):
            left = [value for value in [*ORDINARY.values(), *NEVER] if places(value, found)]
            assert left == []
        shown = desk.json("approvals", "show", outcome(waits)["approval_id"])
        assert (shown["state"], shown["arguments"]) == ("void", None)
        desk.verify()
        assert [tool for tool, _ in desk.calls()] == ["login", "profile", "note", "read", "drop"]


def subjects(state: Path) -> list[str]:
    db = open_for_reading(state / "journal.db")
    found = [str(row[0]) for row in db.execute("SELECT DISTINCT subject FROM evidence")]
    db.close()
    return found
