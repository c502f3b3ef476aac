"""Which policies decide, in a running gateway: reload, roll-back, restart; and bundles that are refused."""

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.bundle import load_bundle
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.adapters.policy.in_force import InForce, PolicySource
from gateway.adapters.policy.kept import KEEP_BUNDLES, KeptPolicies
from gateway.adapters.policy.manifest import Manifest
from gateway.core.circumstances import Circumstances
from gateway.core.commitment import CommitmentKey
from gateway.core.errors import StoreFault
from gateway.core.policy_told import PolicyTold
from tests.policy.calls import Case, sealed
from tests.policy.conftest import OpaServer
from tests.policy.governed import config, governed, read, write_policy
from tests.policy.hostile import nested_names
from tests.running import ModernClient, RunningGateway, free_port, until
from tests.state.states import predicates

pytestmark = pytest.mark.long


def denied(code: str) -> dict[str, object]:
    return {"outcome": "denied", "reasons": [code]}


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    return write_policy(tmp_path / "policies", "allow", "v1")


def becomes(client: ModernClient, wanted: dict[str, object]) -> None:
    until(lambda: read(client) == wanted, what=str(wanted))


def test_a_changed_folder_decides_at_once_and_a_broken_one_never(tmp_path: Path, policies: Path) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        assert read(client)["outcome"] == "completed"
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        (policies / "authz.rego").write_text("package sealgate.authz\n\ndecision := := 1\n")
        until(lambda: "policy_reload_refused" in gateway.output, what="the refusal")
        assert read(client) == denied("v2")
        assert "authz.rego:3" in gateway.run("policy", "reload", check=False).stderr
        terms = gateway.json("policy", "list")["terms"]
        assert [term["how"] for term in terms] == ["start", "reload"]


def test_a_roll_back_decides_also_after_a_restart_until_the_configured_policies_change(
    tmp_path: Path, policies: Path
) -> None:
    first = load_bundle(policies).revision
    with governed(tmp_path, "path: policies") as (gateway, client):
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        second = gateway.json("status")["policy"]["revision"]
        told = gateway.run("policy", "rollback")
        assert told.stdout.strip() == first
        assert "do not decide" in told.stderr
        assert read(client)["outcome"] == "completed"
        status = gateway.json("status")["policy"]
        assert (status["revision"], status["rolled_back"]["over"]) == (first, second)
        assert f"rolled back at {status['rolled_back']['at']}" in gateway.run("status").stderr
        gateway.stop()
        assert "do not decide" in gateway.run("policy", "list").stderr  # without a daemon
        gateway.start()
        assert read(client)["outcome"] == "completed"
        assert gateway.json("status")["policy"]["rolled_back"]["over"] == second
        write_policy(policies, "deny", "v3")
        becomes(client, denied("v3"))
        assert gateway.json("status")["policy"]["rolled_back"] is None
        history = gateway.json("policy", "list")
        assert [term["revision"] for term in history["terms"][:3]] == [first, second, first]
        assert [term["how"] for term in history["terms"]] == ["start", "reload", "rollback", "reload"]


def test_a_roll_back_ends_with_a_reload_and_with_a_change_while_nothing_ran(tmp_path: Path, policies: Path) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        gateway.run("policy", "rollback")
        gateway.run("policy", "reload")
        assert read(client) == denied("v2")
        assert gateway.json("status")["policy"]["rolled_back"] is None
        gateway.run("policy", "rollback")
        gateway.stop()
        write_policy(policies, "deny", "v3")
        gateway.start()
        assert read(client) == denied("v3")
        assert gateway.json("status")["policy"]["rolled_back"] is None


def test_a_roll_back_goes_to_what_was_named_and_only_to_what_is_kept(tmp_path: Path, policies: Path) -> None:
    first = load_bundle(policies).revision
    with governed(tmp_path, "path: policies") as (gateway, client):
        assert "no earlier policies" in gateway.run("policy", "rollback", check=False).stderr
        for number in range(2, KEEP_BUNDLES + 2):
            write_policy(policies, "deny", f"v{number}")
            gateway.run("policy", "reload")
        kept = gateway.json("policy", "list")["kept"]
        assert len(kept) == KEEP_BUNDLES
        assert first not in kept
        files = list((gateway.state / "policies").glob("*.tar.gz"))
        assert {f"sha256:{file.name.removesuffix('.tar.gz')}" for file in files} == set(kept)
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        gone = gateway.run("policy", "rollback", first, check=False)
        assert gone.returncode == 2
        assert "no other kept policies" in gone.stderr
        gateway.run("policy", "rollback", kept[-1][7:17])
        assert read(client) == denied("v2")


def test_kept_policies_that_someone_changed_do_not_decide(tmp_path: Path, policies: Path) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        now, before = gateway.json("policy", "list")["kept"]
        names = [gateway.state / "policies" / f"{revision[7:]}.tar.gz" for revision in (now, before)]
        forged = write_policy(tmp_path / "forged", "allow", "forged")
        names[1].write_bytes(load_bundle(forged).packed())
        refused = gateway.run("policy", "rollback", check=False)
        assert refused.returncode == 2
        assert "was changed" in refused.stderr
        assert read(client) == denied("v2")


# --- what the state folder says ---


def test_each_change_is_in_the_log_and_a_start_tells_a_roll_back(tmp_path: Path, policies: Path) -> None:
    first = load_bundle(policies).revision
    with governed(tmp_path, "path: policies") as (gateway, client):
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        second = gateway.json("status")["policy"]["revision"]
        gateway.run("policy", "rollback")
        gateway.stop()
        gateway.start()
        gateway.run("policy", "reload")
        listed = gateway.run("log", "list").stdout
        gateway.stop()
        said = list(predicates(gateway.state / "journal.db"))
        events = [one["policy"] for one in said if one["kind"] == "policy"]
        assert events == [
            {"event": "reloaded", "engine": "embedded", "revision": second, "by": "change", "number": 2},
            {"event": "rolled_back", "engine": "embedded", "revision": first, "by": "operator", "number": 3, "over": second},
            {"event": "reloaded", "engine": "embedded", "revision": second, "by": "operator", "number": 5},
        ]
        boots = [one["boot"] for one in said if one["kind"] == "boot"]
        assert [boot["policy_revision"] for boot in boots] == [first, first]
        assert [boot.get("policy_rolled_back_over") for boot in boots] == [None, second]
        assert [boot["policy_number"] for boot in boots] == [1, 4]
        assert "rolled_back" in listed


@pytest.mark.parametrize("what", ["another's", "no mac", "terms", "revision", "rolled_back", "no object", "no JSON"])
def test_a_roll_back_that_someone_wrote_into_the_state_folder_is_not_honoured(
    tmp_path: Path, policies: Path, what: str
) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        first = gateway.json("status")["policy"]["revision"]
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        second = gateway.json("status")["policy"]["revision"]
        gateway.stop()
        index = gateway.state / "policies" / "index.json"
        told = json.loads(index.read_text())
        planted = {"revision": first, "name": "", "since": "2026-01-01T00:00:00.000Z", "how": "rollback"}
        rolled_back = {"over": second, "at": "2026-01-01T00:00:00.000Z"}
        whole = {**told, "terms": [*told["terms"], planted], "rolled_back": rolled_back}
        index.write_text(
            {
                "another's": json.dumps(whole),
                "no mac": json.dumps({name: value for name, value in whole.items() if name != "mac"}),
                "terms": json.dumps({**whole, "terms": []}),
                "revision": json.dumps({**whole, "terms": [{**planted, "revision": 5}]}),
                "rolled_back": json.dumps({**whole, "rolled_back": [5]}),
                "no object": "[" * 100_000,
                "no JSON": "\0",
            }[what]
        )
        gateway.start()
        assert read(client) == denied("v2")
        assert "policy_history_refused" in gateway.output
        assert gateway.json("status")["policy"]["rolled_back"] is None
        assert (index.parent / "index.json.refused").exists()


def test_an_older_history_brings_back_no_roll_back_and_ends_none(tmp_path: Path, policies: Path) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        index = gateway.state / "policies" / "index.json"
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        before = index.read_bytes()
        second = gateway.json("status")["policy"]["revision"]
        gateway.run("policy", "rollback")
        rolled_back = index.read_bytes()

        for replayed in (before, None):  # the log says that a roll-back is in force
            gateway.stop()
            index.unlink()
            if replayed is not None:
                index.write_bytes(replayed)
            gateway.launch()
            assert gateway.process is not None
            assert gateway.process.wait(timeout=30) == 2
            assert "a roll-back over the configured policies is in force" in gateway.output
        index.write_bytes(rolled_back)
        gateway.start()
        assert gateway.json("status")["policy"]["rolled_back"]["over"] == second
        assert read(client)["outcome"] == "completed"

        gateway.run("policy", "reload")
        gateway.stop()
        index.write_bytes(rolled_back)  # the log says that it ended
        gateway.start()
        assert "an older one was put back" in gateway.output
        assert read(client) == denied("v2")
        assert gateway.json("status")["policy"]["rolled_back"] is None
        assert (index.parent / "index.json.refused").read_bytes() == rolled_back
        gateway.stop()
        checked = gateway.run("state", "check")
        assert checked.returncode == 0


def test_other_policies_start_where_the_history_of_a_roll_back_is_lost(tmp_path: Path, policies: Path) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        gateway.run("policy", "rollback")
        gateway.stop()
        (gateway.state / "policies" / "index.json").unlink()
        write_policy(policies, "deny", "v3")
        gateway.start()
        assert read(client) == denied("v3")
        assert "policy_history_gone" in gateway.output
        number = gateway.json("policy", "list")["number"]
        gateway.stop()
        boots = [one["boot"] for one in predicates(gateway.state / "journal.db") if one["kind"] == "boot"]
        assert boots[-1]["policy_number"] == number > boots[0]["policy_number"] + 2


def test_a_roll_back_that_cannot_be_remembered_does_not_happen(tmp_path: Path, policies: Path) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))
        second = gateway.json("status")["policy"]["revision"]
        in_the_way = gateway.state / "policies" / "index.json.new"
        in_the_way.mkdir()
        refused = gateway.run("policy", "rollback", check=False)
        assert refused.returncode != 0
        assert "cannot be written" in refused.stderr
        assert read(client) == denied("v2")
        status = gateway.json("status")["policy"]
        assert (status["revision"], status["rolled_back"]) == (second, None)
        in_the_way.rmdir()
        gateway.stop()
        gateway.start()
        assert read(client) == denied("v2")


@pytest.mark.anyio
async def test_a_change_that_the_log_does_not_take_does_not_happen(tmp_path: Path, policies: Path) -> None:
    async def full(said: Mapping[str, Any]) -> None:
        raise StoreFault("the disk is full")

    kept = KeptPolicies(tmp_path / "kept", CommitmentKey(bytes(32)))
    in_force = InForce(PolicySource(policies), kept, SystemClock(), full)
    bundle = in_force.at_start()
    async with EmbeddedEngine(bundle, SystemClock(), dev=False, deadline_seconds=5) as engine:
        await in_force.begun(engine, bundle)
        write_policy(policies, "deny", "v2")
        with pytest.raises(StoreFault):
            await in_force.reload("operator")
        assert engine.revision == in_force.status()["revision"] == bundle.revision
        assert [term.revision for term in kept.history().terms] == [bundle.revision]
        assert (await engine.decide(sealed(Case()), Circumstances())).reasons[0].code == "v1"
    # The log may have taken it all the same, and must not make the history look old then.
    again = InForce(PolicySource(policies), kept, SystemClock(), full, PolicyTold(2, "sha256:v2", None))
    again.at_start()
    assert again.history() == kept.history()
    assert again.history().number > 2


# --- signed ---


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key in a PEM file, with the public one beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "signer.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.with_suffix(".pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def put(path: Path, policies: Path, name: str, key: Path | None) -> None:
    """Replace the bundle at `path`."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(load_bundle(policies).packed(Manifest(name), key))
    fresh.replace(path)


SIGNED = "path: policies.tar.gz, verification_key: signer.pub"


def test_a_signed_bundle_decides_and_an_unsigned_one_never_takes_its_place(
    tmp_path: Path, policies: Path, key: Path
) -> None:
    bundle = tmp_path / "policies.tar.gz"
    put(bundle, policies, "first", key)
    with governed(tmp_path, SIGNED) as (gateway, client):
        assert read(client)["outcome"] == "completed"
        status = gateway.json("status")["policy"]
        assert (status["name"], status["revision"]) == ("first", load_bundle(policies).revision)
        assert "called first" in gateway.run("status").stderr
        write_policy(policies, "deny", "v2")
        put(bundle, policies, "second", None)
        until(lambda: "is not signed" in gateway.output, what="the refusal")
        assert read(client)["outcome"] == "completed"
        assert "is not signed" in gateway.run("policy", "reload", check=False).stderr
        put(bundle, policies, "second", key)
        becomes(client, denied("v2"))
        gateway.run("policy", "rollback", "first")
        assert read(client)["outcome"] == "completed"
        assert gateway.json("status")["policy"]["name"] == "first"


def test_the_gateway_does_not_start_with_a_bundle_that_is_not_signed_by_the_key(
    tmp_path: Path, policies: Path, key: Path
) -> None:
    bundle = tmp_path / "policies.tar.gz"
    for packed_with, said, keys in (
        (None, "is not signed", SIGNED),
        (key, "nothing says by whom", "path: policies.tar.gz"),
    ):
        put(bundle, policies, "first", packed_with)
        gateway = RunningGateway(tmp_path)
        gateway.configure(config(tmp_path, keys))
        gateway.launch()
        assert gateway.process is not None
        assert gateway.process.wait(timeout=30) == 2
        assert said in gateway.output


def test_a_hostile_archive_ends_no_watch(tmp_path: Path, policies: Path, key: Path) -> None:
    bundle = tmp_path / "policies.tar.gz"
    put(bundle, policies, "first", key)
    with governed(tmp_path, SIGNED) as (gateway, client):
        nested = tmp_path / "nested"
        nested.write_bytes(nested_names())
        nested.replace(bundle)
        until(lambda: "no sound tar archive" in gateway.output, what="the refusal")
        assert read(client)["outcome"] == "completed"
        write_policy(policies, "deny", "v2")
        put(bundle, policies, "second", key)
        becomes(client, denied("v2"))


def test_the_watch_goes_on_when_what_it_watches_was_away(tmp_path: Path, policies: Path) -> None:
    with governed(tmp_path, "path: policies") as (gateway, client):
        policies.rename(tmp_path / "away")
        until(lambda: "policy_reload_refused" in gateway.output, what="the refusal")
        assert read(client)["outcome"] == "completed"
        write_policy(policies, "deny", "v2")
        becomes(client, denied("v2"))


# --- engine opa ---


@pytest.fixture
def server(opa_binary: str, tmp_path: Path, policies: Path) -> Iterator[OpaServer]:
    server = OpaServer(opa_binary, policies, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.opa
def test_policies_of_an_opa_server_cannot_be_rolled_back_here(tmp_path: Path, server: OpaServer) -> None:
    with governed(tmp_path, f"engine: opa, opa_url: '{server.url}'") as (gateway, client):
        assert read(client)["outcome"] == "completed"
        refused = gateway.run("policy", "rollback", check=False)
        assert refused.returncode == 2
        assert "loads its policies itself" in refused.stderr
        assert gateway.json("policy", "list")["terms"] == []
        assert gateway.run("policy", "reload").stdout.strip() == gateway.json("status")["policy"]["revision"]


@pytest.mark.opa
def test_a_change_at_the_opa_server_is_in_the_log_before_any_call_that_it_decided(
    tmp_path: Path, policies: Path, opa_binary: str
) -> None:
    server = OpaServer(opa_binary, policies, free_port(), ("--watch",))
    server.start()
    try:
        with governed(tmp_path, f"engine: opa, opa_url: '{server.url}'") as (gateway, client):
            assert read(client)["outcome"] == "completed"
            first = gateway.json("status")["policy"]["revision"]
            write_policy(policies, "deny", "v2")
            until(lambda: gateway.json("status")["policy"]["revision"] != first, what="the background look")
            assert read(client) == denied("v2")
            gateway.stop()
    finally:
        server.stop()
    said = list(predicates(gateway.state / "journal.db"))
    (change,) = [one for one in said if one["kind"] == "policy"]
    second = change["policy"]["revision"]
    assert change["policy"] == {"event": "loaded", "engine": "opa", "revision": second, "by": "change"}
    decided = [(one["index"], one["policy"]["bundle_revision"]) for one in said if one["kind"] in ("outcome", "denied")]
    assert {revision for index, revision in decided if index < change["index"]} == {first}
    assert {revision for index, revision in decided if index > change["index"]} == {second}
