"""Candidate policies decide beside those in force: their differences are counted and listed, nothing of them is enforced."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.bundle import default_policies, load_bundle
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.in_force import PolicySource
from gateway.adapters.policy.shadow import MAX_WAITING, Shadow
from gateway.core.circumstances import Circumstances
from tests.policy.calls import Case, sealed
from tests.policy.conftest import OpaServer
from tests.policy.governed import governed, policy_text, read, write_policy
from tests.running import RunningGateway, free_port, until

pytestmark = pytest.mark.long

BY_NAME = """package sealgate.authz

name := input.context.arguments.name

decision := {"effect": "allow", "reasons": [{"code": "v1", "message": "As before."}], "obligations": {}} if {
	not name in {"welcome", "reasons", "nonsense", "endless"}
} else := {"effect": "deny", "reasons": [{"code": "c.denied", "message": "No welcome."}], "obligations": {}} if {
	name == "welcome"
} else := {"effect": "allow", "reasons": [{"code": "c.other", "message": "Otherwise."}], "obligations": {}} if {
	name == "reasons"
} else := {"effect": "none"} if {
	name == "nonsense"
} else := {"effect": "allow", "reasons": [], "obligations": {}} if {
	some i in numbers.range(1, 100000000)
	i < 0
}
"""


def candidate(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "authz.rego").write_text(text)


def counts(gateway: RunningGateway) -> dict[str, int]:
    counted: dict[str, int] = gateway.json("policy", "shadow")["counts"]
    return {name: count for name, count in counted.items() if count}


def loaded(gateway: RunningGateway) -> None:
    until(lambda: gateway.json("policy", "shadow")["revision"], what="the candidate")


def test_a_candidate_is_compared_and_never_enforced(tmp_path: Path) -> None:
    write_policy(tmp_path / "policies", "allow", "v1")
    candidate(tmp_path / "candidate", BY_NAME)
    with governed(tmp_path, "path: policies, shadow: candidate") as (gateway, client):
        loaded(gateway)
        for name in ("welcome", "same", "reasons", "nonsense"):
            assert read(client, name)["outcome"] == "completed"
        wanted = {"same": 1, "stricter": 1, "reasons": 1, "failed": 1}
        until(lambda: counts(gateway) == wanted, what="the counts")
        differences = gateway.json("policy", "shadow")["differences"]
        assert [(one["how"], one["candidate_effect"], one["candidate_reasons"]) for one in differences] == [
            ("stricter", "deny", ["c.denied"]),
            ("reasons", "allow", ["c.other"]),
        ]
        assert {one["capability_id"] for one in differences} == {"notes__read_note"}
        assert "welcome" not in str(differences)
        shown = gateway.run("log", "show", differences[0]["envelope_id"]).stdout
        assert "notes__read_note" in shown
        assert "1 stricter" in gateway.run("status").stderr


def test_a_looser_candidate_lets_nothing_through(tmp_path: Path) -> None:
    write_policy(tmp_path / "policies", "deny", "v1")
    write_policy(tmp_path / "candidate", "allow", "c")
    with governed(tmp_path, "path: policies, shadow: candidate") as (gateway, client):
        loaded(gateway)
        assert read(client) == {"outcome": "denied", "reasons": ["v1"]}
        until(lambda: counts(gateway) == {"looser": 1}, what="the count")


def test_a_candidate_that_does_not_end_delays_no_call_and_is_compared_again_later(tmp_path: Path) -> None:
    write_policy(tmp_path / "policies", "allow", "v1")
    candidate(tmp_path / "candidate", BY_NAME)
    with governed(tmp_path, "path: policies, shadow: candidate, deadline_ms: 5000") as (gateway, client):
        loaded(gateway)
        assert read(client, "endless")["outcome"] == "completed"
        assert read(client, "same")["outcome"] == "completed"
        until(lambda: counts(gateway) == {"failed": 1, "same": 1}, seconds=30, what="the comparison after the endless one")


def test_a_candidate_that_cannot_be_loaded_is_told_and_one_that_can_takes_over(tmp_path: Path) -> None:
    write_policy(tmp_path / "policies", "allow", "v1")
    candidate(tmp_path / "candidate", "package sealgate.authz\n\ndecision := := 1\n")
    with governed(tmp_path, "path: policies, shadow: candidate") as (gateway, client):
        assert read(client)["outcome"] == "completed"
        until(lambda: "policy_shadow_refused" in gateway.output, what="the refusal")
        told = gateway.json("policy", "shadow")
        assert told["revision"] is None
        assert "authz.rego:3" in told["trouble"]
        assert "authz.rego:3" in gateway.run("status").stderr
        candidate(tmp_path / "candidate", policy_text("ask", "c"))
        until(lambda: gateway.json("policy", "shadow")["trouble"] is None, what="the mended candidate")
        assert read(client)["outcome"] == "completed"
        until(lambda: counts(gateway) == {"stricter": 1}, what="the count")


def test_a_gateway_without_a_candidate_says_so(tmp_path: Path) -> None:
    write_policy(tmp_path / "policies", "allow", "v1")
    with governed(tmp_path, "path: policies") as (gateway, _):
        told = gateway.run("policy", "shadow", check=False)
        assert told.returncode == 1
        assert "policy.shadow" in told.stderr


@pytest.mark.anyio
async def test_a_call_that_finds_the_queue_full_is_not_compared_and_counted(tmp_path: Path) -> None:
    source = PolicySource(write_policy(tmp_path / "candidate", "deny", "c"), enforced=False)
    clock = SystemClock()
    call = sealed(Case())
    async with (
        EmbeddedEngine(load_bundle(default_policies()), clock, dev=False, deadline_seconds=5) as engine,
        Shadow(source, clock, dev=False) as shadow,
    ):
        await shadow.reload()
        decision = await engine.decide(call, Circumstances())
        for _ in range(MAX_WAITING + 10):
            shadow.show(call, Circumstances(), decision)
        compared = partial(until, lambda: shadow.status()["counts"]["stricter"] == MAX_WAITING, seconds=30)
        await asyncio.to_thread(compared)
        assert shadow.status()["counts"]["dropped"] == 10
        assert len(shadow.differences()) == MAX_WAITING


@pytest.mark.anyio
async def test_a_candidate_decides_on_the_arguments_themselves_also_where_they_are_not_stored(tmp_path: Path) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    candidate(tmp_path / "candidate", BY_NAME.replace('"welcome"', f'"{secret}"'))
    clock = SystemClock()
    call = sealed(Case(arguments={"name": secret}))
    async with (
        EmbeddedEngine(load_bundle(default_policies()), clock, dev=False, deadline_seconds=5) as engine,
        Shadow(PolicySource(tmp_path / "candidate", enforced=False), clock, dev=False) as shadow,
    ):
        await shadow.reload()
        decision = await engine.decide(call, Circumstances())
        assert secret.encode() not in decision.input
        shadow.show(call, Circumstances(), decision)
        compared = partial(until, lambda: shadow.status()["counts"]["stricter"] == 1, seconds=30)
        await asyncio.to_thread(compared)
        assert secret not in str(shadow.differences())


@pytest.mark.opa
def test_a_candidate_is_compared_with_an_opa_server_too(opa_binary: str, tmp_path: Path) -> None:
    server = OpaServer(opa_binary, write_policy(tmp_path / "policies", "allow", "v1"), free_port())
    server.start()
    write_policy(tmp_path / "candidate", "ask", "c")
    try:
        with governed(tmp_path, f"engine: opa, opa_url: '{server.url}', shadow: candidate") as (gateway, client):
            loaded(gateway)
            assert read(client)["outcome"] == "completed"
            until(lambda: counts(gateway) == {"stricter": 1}, what="the count")
    finally:
        server.stop()
