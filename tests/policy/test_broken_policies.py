"""Policies that throw, loop, answer nonsense or are missing, in a running gateway: its calls are denied, and it goes on."""

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import httpx2
import pytest

from tests.policy.conftest import OpaServer
from tests.policy.governed import config, governed, read, write_policy
from tests.running import ModernClient, RunningGateway, free_port, status_of, until

pytestmark = pytest.mark.long

POLICY_ERROR = {"outcome": "denied", "reasons": ["policy.error"]}

# Allows every call, but for arguments that ask for trouble: no call that is tried at load has such ones.
TROUBLE = """package sealgate.authz

allow := {"effect": "allow", "reasons": [{"code": "fine", "message": "Fine."}], "obligations": {}}

name := object.get(input.context.arguments, "name", "")

troubles := {"endless", "throws", "undefined", "effect", "obligation", "text", "null", "codes", "conflict"}

decision := allow if not name in troubles

decision := allow if {
	name == "endless"
	count([1 | some i in numbers.range(1, 30000); some j in numbers.range(1, 30000); i * j == 7]) > 0
}

decision := allow if {
	name == "throws"
	regex.match("[", name)
}

decision := object.union(allow, {"effect": "maybe"}) if name == "effect"

decision := object.union(allow, {"obligations": {"sing": true}}) if name == "obligation"

decision := object.union(allow, {"reasons": [{"code": "Not a code", "message": name}]}) if name == "codes"

decision := "allow" if name == "text"

decision := null if name == "null"

decision := allow if name == "conflict"

decision := "another" if name == "conflict"
"""
KINDS = ("endless", "throws", "undefined", "effect", "obligation", "codes", "text", "null", "conflict")


def trouble(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "authz.rego").write_text(TROUBLE)
    return folder


def pid(gateway: RunningGateway) -> int:
    assert gateway.process is not None
    assert gateway.process.poll() is None, gateway.output
    return gateway.process.pid


def ready(gateway: RunningGateway) -> bool:
    return status_of(gateway.port, "/readyz") == 200


# --- embedded ---


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, ModernClient]]:
    folder = tmp_path_factory.mktemp("troubled")
    trouble(folder / "policies")
    with governed(folder, "path: policies") as running:
        before = pid(running[0])
        yield running
        assert pid(running[0]) == before
        verified = running[0].run("log", "verify")
        assert verified.returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_policy_cannot_decide_is_denied_and_the_next_one_is_decided(
    troubled: tuple[RunningGateway, ModernClient], kind: str
) -> None:
    gateway, client = troubled
    assert read(client, kind) == POLICY_ERROR
    until(lambda: read(client)["outcome"] == "completed", what="the next call")
    assert "policy_failed" in gateway.output


def test_many_endless_calls_at_once_are_all_denied_and_take_nobody_with_them(
    troubled: tuple[RunningGateway, ModernClient],
) -> None:
    gateway, client = troubled

    def call(kind: str) -> object:
        with ModernClient(gateway) as own:
            return read(own, kind)

    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(call, ["endless"] * 8))
    assert outcomes == [POLICY_ERROR] * 8
    until(lambda: read(client)["outcome"] == "completed", what="a harmless call after them")
    assert ready(gateway)


def test_a_policy_process_that_is_killed_is_replaced(troubled: tuple[RunningGateway, ModernClient]) -> None:
    gateway, client = troubled
    for _ in range(3):
        os.kill(worker(gateway), signal.SIGKILL)
        until(lambda: read(client)["outcome"] == "completed", what="the next decision")


def worker(gateway: RunningGateway) -> int:
    """The process in which policies run."""

    def found() -> int | None:
        for child in Path(f"/proc/{pid(gateway)}/task/{pid(gateway)}/children").read_text().split():
            if b"policy/worker.py" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        return None

    process: int = until(found, what="the policy process")
    return process


def test_where_no_call_can_be_decided_all_are_denied_until_good_policies_come(tmp_path: Path) -> None:
    folder = trouble(tmp_path / "policies")
    (folder / "authz.rego").write_text(
        TROUBLE.replace('object.get(input.context.arguments, "name", "")', "real")
        + '\nreal := "fine" if input.resource.id == "smoke__test"\n'
        + '\nreal := "endless" if input.resource.id != "smoke__test"\n'
    )
    with governed(tmp_path, "path: policies") as (gateway, client):
        before = pid(gateway)
        for _ in range(5):
            assert read(client) == POLICY_ERROR
        write_policy(folder, "allow", "good")
        until(lambda: read(client)["outcome"] == "completed", what="the good policies")
        assert pid(gateway) == before


def test_policies_that_go_missing_or_bad_never_replace_those_in_force(tmp_path: Path) -> None:
    folder = write_policy(tmp_path / "policies", "allow", "v1")
    with governed(tmp_path, "path: policies") as (gateway, client):
        shutil.rmtree(folder)
        until(lambda: "there is no such folder" in gateway.output, what="the refusal of nothing")
        assert read(client)["outcome"] == "completed"
        assert "there is no such folder" in gateway.run("policy", "reload", check=False).stderr
        for text in ("package sealgate.authz\n", "package sealgate.authz\n\ndecision := 1\n", "not rego"):
            folder.mkdir(exist_ok=True)
            (folder / "authz.rego").write_text(text)
            assert gateway.run("policy", "reload", check=False).returncode == 2
            assert read(client)["outcome"] == "completed"
        assert ready(gateway)
        write_policy(folder, "deny", "v2")
        until(lambda: read(client) == {"outcome": "denied", "reasons": ["v2"]}, what="the good policies")


@pytest.mark.parametrize("text", [None, "package sealgate.authz\n", "package other\n", "not rego"])
def test_a_gateway_does_not_start_without_policies_that_can_decide(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "policies").mkdir()
        (tmp_path / "policies" / "authz.rego").write_text(text)
    gateway = RunningGateway(tmp_path)
    gateway.configure(config(tmp_path, "path: policies"))
    gateway.launch()
    assert gateway.process is not None
    assert gateway.process.wait(timeout=30) == 2
    assert "policies" in gateway.output


# --- engine opa ---


@pytest.fixture
def server(opa_binary: str, tmp_path: Path) -> Iterator[OpaServer]:
    server = OpaServer(opa_binary, trouble(tmp_path / "policies"), free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


def put(server: OpaServer, text: str | None) -> None:
    """Replace or remove the server's policy, as whoever runs it may."""
    listed = httpx2.get(f"{server.url}/v1/policies").json()["result"]
    (name,) = [policy["id"] for policy in listed]
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("DELETE" if text is None else "PUT", f"/v1/policies/{name}", text)
        assert connection.getresponse().status == 200
    finally:
        connection.close()


@pytest.mark.opa
def test_a_server_whose_policy_cannot_decide_denies_and_goes_on(tmp_path: Path, server: OpaServer) -> None:
    with governed(tmp_path, f"engine: opa, opa_url: '{server.url}'") as (gateway, client):
        before = pid(gateway)
        for kind in KINDS:
            assert read(client, kind) == POLICY_ERROR, kind
            until(lambda: read(client)["outcome"] == "completed", what=f"the call after {kind}")
        put(server, None)
        assert read(client) == POLICY_ERROR
        server.stop()
        server.start()
        until(lambda: read(client)["outcome"] == "completed", what="the policy that is there again")
        assert pid(gateway) == before


@pytest.mark.opa
def test_a_server_that_stops_in_the_middle_denies_and_recovers_by_itself(tmp_path: Path, server: OpaServer) -> None:
    with governed(tmp_path, f"engine: opa, opa_url: '{server.url}'") as (gateway, client):
        before = pid(gateway)
        assert read(client)["outcome"] == "completed"

        def call(number: int) -> object:
            with ModernClient(gateway) as own:
                if number == 20:
                    server.stop()
                return read(own)["outcome"]

        with ThreadPoolExecutor(4) as threads:
            outcomes = list(threads.map(call, range(60)))
        assert outcomes[0] == "completed"
        assert outcomes[-1] == "denied"
        assert set(outcomes) == {"completed", "denied"}
        assert read(client) == POLICY_ERROR
        until(lambda: not ready(gateway), what="readiness to be gone")
        server.start()
        until(lambda: read(client)["outcome"] == "completed", what="a decision of the server that is there again")
        until(lambda: ready(gateway), what="readiness")
        assert pid(gateway) == before
