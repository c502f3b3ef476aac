"""The page about entries names every field that real entries have."""

import json
import re
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.daemon import DaemonClient, DaemonLog
from tests.docs.pages import ROOT
from tests.running import ModernClient, RunningGateway, outcome, running

PAGE = ROOT / "docs" / "reference" / "entries.md"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def documented() -> dict[str, str]:
    """Field names and kinds, each with the rest of its rows: the words there are the names below it."""
    fields: dict[str, str] = {}
    for names, text in re.findall(r"^\| (`.*?) \| (.*) \|$", PAGE.read_text(), re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            fields[name] = f"{fields.get(name, '')} {text}"
    return fields


def undocumented(predicate: dict[str, Any], fields: dict[str, str]) -> Iterator[str]:
    """Names in `predicate` that the page does not have."""
    kind = fields[predicate["kind"]]
    for name, value in predicate.items():
        told = fields.get(name, kind if f"`{name}`" in kind else "")
        if not told:
            yield name
        below = value[0] if isinstance(value, list) and value else value
        if isinstance(below, dict) and name != "signed_answer":  # that one is the approver's, a DSSE envelope
            yield from (f"{name}.{key}" for key in below if re.search(rf"\b{key}\b", told) is None)


def predicates(gateway: RunningGateway) -> list[dict[str, Any]]:
    """What each entry says, in order."""
    with DaemonClient(gateway.state / "control.sock") as daemon:
        entries = [json.loads(stored.entry) for stored in DaemonLog(daemon).entries()]
    return [json.loads(b64decode(entry["payload"]))["predicate"] for entry in entries]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    config = (
        f"mcpServers: {{notes: {{command: {sys.executable}, args: [{ROOT}/examples/notes.py, {tmp_path}/notes]}}}}\n"
        "tools:\n"
        "  - {match: notes__read_note, mode: read_only, trust: trusted}\n"
        "  - {match: notes__append_note, mode: local_write, trust: trusted}\n"
        "  - {match: notes__delete_note, mode: destructive, trust: trusted}\n"
    )
    with running(tmp_path, config) as gateway:
        yield gateway


def test_the_page_has_every_field_of_entries_of_every_kind_there_is(gateway: RunningGateway) -> None:
    with ModernClient(gateway) as client:
        client.call("notes__read_note", {"name": "welcome"})
        note = {"name": "notes__append_note", "arguments": {"name": "demo", "text": "a value"}}
        meta = {"traceparent": TRACE, "dev.sealgate/run": {"run_id": "run-7"}}
        for _ in range(2):
            client.request("tools/call", note, meta)
        client.call("notes__nothing", {})
        asked = outcome(client.call("notes__delete_note", {"name": "demo"}))
        gateway.run("approvals", "approve", asked["approval_id"], "--yes")
        assert outcome(client.call("notes__delete_note", {"name": "demo"}))["outcome"] == "completed"
    fields, found = documented(), predicates(gateway)
    assert {entry["kind"] for entry in found} == {"boot", "pin", "outcome", "intent", "denied", "approval"}
    assert {name for entry in found for name in undocumented(entry, fields)} == set()


def test_an_effects_envelope_has_request_result_decision_mode_evidence_key_and_trace(gateway: RunningGateway) -> None:
    with ModernClient(gateway) as client:
        note = {"name": "notes__append_note", "arguments": {"name": "demo", "text": "a value"}}
        client.request("tools/call", note, {"traceparent": TRACE, "tracestate": "a=1"})
    *_, intent, said = predicates(gateway)
    assert (intent["kind"], said["kind"], intent["envelope_id"]) == ("intent", "outcome", said["envelope_id"])
    assert set(said["call"]["arguments"]) == {"name", "text"}
    assert (said["traceparent"], said["tracestate"], said["run"]["trace_id"]) == (TRACE, "a=1", TRACE[3:35])
    assert said["approval_mode_effective"] == "local_write"
    assert (said["policy"]["effect"], said["policy"]["reasons"]) == ("allow", ["local_write.allowed"])
    assert said["policy"]["decision_id"]
    assert (said["idempotency"]["derived"], said["idempotency"]["scope"]) == (True, "principal")
    assert said["result"]["status"] == "completed"
    assert said["evidence_refs"][0]["commitment"] == said["result"]["commitment"]
    assert said["evidence_refs"][0]["trust_level"] == "trusted"
    assert "a value" not in str(said)
