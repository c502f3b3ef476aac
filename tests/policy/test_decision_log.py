"""Decisions as OPA logs them: the same field names, no value of a call, never in the way of one."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.bundle import default_policies, load_bundle
from gateway.adapters.policy.deciding import Deciding
from gateway.adapters.policy.decision_log import MAX_WAITING, DecisionLog, event
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.opa import OpaEngine
from gateway.core.circumstances import Circumstances
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.obligations import Obligations, Quorum
from gateway.core.outcome import Reason
from tests.policy.calls import Case, sealed
from tests.policy.conftest import OpaServer
from tests.policy.governed import governed, read, write_policy
from tests.running import free_port, until

pytestmark = pytest.mark.anyio

CANARY = "canary-4711"
CALL = sealed(Case(arguments={"to": CANARY}))
# What OPA's console adds around an event, and what only its HTTP server knows of a request.
CONSOLE = {"level", "msg", "time", "type"}
REQUEST = {"requested_by", "req_id"}
OURS = {"trace_id", "custom"}  # of EventV1 too, where there is something to tell


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def engine() -> EmbeddedEngine:
    return EmbeddedEngine(load_bundle(default_policies()), SystemClock(), dev=False, deadline_seconds=5)


async def test_a_decision_is_one_line_without_values(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    async with engine() as embedded:
        with DecisionLog(path, {"id": "me"}) as log:
            decision = await Deciding(embedded, log=log).decide(CALL, Circumstances())
        (told,) = lines(path)
        assert told["bundles"] == {"sealgate": {"revision": embedded.revision}}
    assert told["decision_id"] == decision.decision_id
    assert told["path"] == "sealgate/authz/decision"
    assert told["labels"] == {"id": "me"}
    assert told["result"]["effect"] == "allow"
    assert told["result"]["reasons"] == [{"code": "read_only.allowed"}]
    assert set(told["erased"]) >= {"/input/context/arguments", "/input/context/fields", "/result/reasons/0/message"}
    assert told["input"]["resource"]["id"] == "mail__send"
    assert told["timestamp"] == told["input"]["context"]["time"]
    assert told["metrics"]["timer_server_handler_ns"] > 0
    assert CANARY not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_obligations_are_told_but_not_the_arguments_they_set() -> None:
    obligations = Obligations(
        approver=f"user:{CANARY}",
        quorum=Quorum(1, (f"user:{CANARY}",)),
        redact=("/a",),
        egress=(f"{CANARY}.example",),
        modify={"/to": CANARY},
    )
    decision = PolicyDecision("d", "opa", "a@r1,b@r2", Effect.ALLOW, (Reason("c", CANARY),), obligations, input=_input())
    told = event("e", "t", decision, 1, labels={})
    assert told["result"]["obligations"] == {"redact": ("/a",)}
    erased = {f"/result/obligations/{name}" for name in ("approver", "quorum", "egress", "modify")}
    assert {path for path in told["erased"] if path.startswith("/result/obligations")} == erased
    assert told["bundles"] == {"a": {"revision": "r1"}, "b": {"revision": "r2"}}
    assert CANARY not in str(told)


def _input() -> bytes:
    context = {"arguments": {"to": CANARY}, "fields": {}, "provenance": {"leaves": []}, "run": {"id": None}, "time": "t"}
    return json.dumps({"context": context}).encode()


async def test_a_file_that_would_grow_too_large_is_renamed_and_the_oldest_removed(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    async with engine() as embedded:
        with DecisionLog(path, {}, max_bytes=4000, old_files=2) as log:
            for _ in range(40):
                await Deciding(embedded, log=log).decide(CALL, Circumstances())
    files = sorted(tmp_path.iterdir())  # noqa: ASYNC240 - nothing else runs
    assert [file.name for file in files] == ["decisions.jsonl", "decisions.jsonl.1", "decisions.jsonl.2"]
    assert all(0 < file.stat().st_size <= 4000 for file in files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert log.status() == {"written": 40, "failed": 0, "dropped": 0}


async def test_a_log_that_cannot_keep_up_is_counted_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    decision = PolicyDecision("d", "embedded", "r", Effect.ALLOW, (), input=_input())
    with DecisionLog(pipe, {}) as log:
        for _ in range(MAX_WAITING + 100):
            log.tell(CALL, decision, 1)  # nobody reads: opening the pipe waits
        dropped = log.status()["dropped"]
        with pipe.open("rb") as reader:
            read = sum(1 for _ in zip(range(MAX_WAITING + 100 - dropped), reader, strict=False))
    assert 90 <= dropped <= 100
    assert log.status() == {"written": read, "failed": 0, "dropped": dropped}


def test_a_failing_decision_log_is_told_once_and_stops_no_call(tmp_path: Path) -> None:
    write_policy(tmp_path / "policies", "allow", "v1")
    with governed(tmp_path, "path: policies, decision_log: /dev/full") as (gateway, client):
        for _ in range(3):
            assert read(client)["outcome"] == "completed"
        until(lambda: gateway.json("status")["policy"]["decision_log"]["failed"] == 3, what="the count of failures")
        assert gateway.output.count("decision_log_failed") == 1
        assert "3 lines could not be written" in gateway.run("status").stderr


def test_a_gateway_writes_its_decisions_beside_its_log(tmp_path: Path) -> None:
    write_policy(tmp_path / "policies", "deny", "v1")
    path = tmp_path / "decisions.jsonl"
    with governed(tmp_path, "path: policies, decision_log: decisions.jsonl") as (gateway, client):
        assert read(client, CANARY) == {"outcome": "denied", "reasons": ["v1"]}
        (told,) = until(lambda: lines(path), what="the line")
        envelope = told["custom"]["envelope_id"]
        assert told["decision_id"] in gateway.run("log", "show", envelope).stdout
    assert CANARY not in path.read_text()


@pytest.mark.opa
@pytest.mark.parametrize("kind", ["embedded", "opa"])
async def test_the_fields_are_those_of_opas_own_decision_log(
    opa_binary: str, policies_folder: Path, tmp_path: Path, kind: str
) -> None:
    (policies_folder / "mask.rego").write_text('package system.log\n\nmask contains "/input/context/arguments"\n')
    told = tmp_path / "opa.log"
    server = OpaServer(opa_binary, policies_folder, free_port(), ("--set", "decision_logs.console=true"), told)
    server.start()
    path = tmp_path / "decisions.jsonl"
    try:
        async with OpaEngine(server.url, SystemClock(), dev=False, deadline_seconds=5) as opa, engine() as embedded:
            with DecisionLog(path, {"id": "me", "version": "1"}) as log:
                asked = Deciding(opa if kind == "opa" else embedded, log=log)
                decision = await asked.decide(CALL, Circumstances())
                if kind == "embedded":
                    await opa.decide(CALL, Circumstances())
        until(lambda: "sealgate/authz/decision" in told.read_text(), what="OPA's line")
    finally:
        server.stop()
    (theirs,) = [line for line in lines(told) if line.get("path") == "sealgate/authz/decision"]
    (ours,) = lines(path)
    # A server without bundles names none.
    assert ours.keys() - OURS - {"bundles"} == theirs.keys() - CONSOLE - REQUEST - {"bundles"}
    assert theirs["labels"].keys() <= {*ours["labels"], "id", "version"}
    assert (theirs["path"], theirs["erased"]) == (ours["path"], ["/input/context/arguments"])
    assert "timer_server_handler_ns" in theirs["metrics"]
    assert theirs["input"].keys() == ours["input"].keys()
    assert theirs["result"].keys() == ours["result"].keys()
    assert {type(theirs[name]) for name in ("timestamp", "decision_id")} == {str}
    if kind == "opa":
        assert decision.decision_id == ours["decision_id"] == theirs["decision_id"]


@pytest.mark.opa
def test_the_names_that_only_some_events_have_are_opas_too(opa_binary: str) -> None:
    """`trace_id`, `custom`, `masked` and `error` are fields of OPA's event: its binary holds their JSON tags."""
    strings = Path(opa_binary).read_bytes()
    for name in (b"trace_id,omitempty", b"custom,omitempty", b"masked,omitempty", b"erased,omitempty"):
        assert name in strings
