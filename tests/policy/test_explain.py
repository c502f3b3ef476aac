"""`sealgate policy explain`: the decision again, the rule behind each reason, and changes that were tried, not guessed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.policy.bundle import PolicyBundle, default_policies, load_bundle
from gateway.adapters.policy.explain import Explanation, explain
from gateway.adapters.policy.smoke import smoke_inputs
from gateway.cli.target import login_name
from tests.policy.conftest import OpaServer
from tests.policy.governed import governed, read, write_policy
from tests.running import ModernClient, RunningGateway, free_port

pytestmark = pytest.mark.anyio

# One rule for each kind of thing that policies look at.
KINDS = """package sealgate.authz

refusals contains {"code": "no.role", "message": "Not a clerk."} if not "clerk" in input.subject.properties.roles

refusals contains {"code": "no.key", "message": "No key of yours."} if input.context.idempotency.derived

refusals contains {"code": "too.high", "message": "Above the ceiling."} if input.context.run.mode_ceiling == "read_only"

refusals contains {"code": "tainted", "message": "Tainted."} if input.context.provenance.tainted

refusals contains {"code": "no.intent", "message": "No intent."} if not input.context.intent.fulfilled

refusals contains {"code": "not.yours", "message": "Not delegated."} if not delegated

delegated if input.resource.id in input.subject.properties.delegation.scopes

refusals contains {"code": "no.source", "message": "Nothing cited."} if not "trusted" in input.context.cited

refusals contains {"code": "busy", "message": "Too many calls."} if input.context.recent_calls > data.house.most_calls

refusals contains {"code": "closed", "message": "Closed."} if {
	not time.weekday(time.parse_rfc3339_ns(input.context.time)) in data.house.open
}

refusals contains {"code": "dear", "message": "Too dear."} if {
	some amount in input.context.fields.amount
	amount > data.house.most
}

refusals contains {"code": "stranger", "message": "Unknown recipient."} if {
	some recipient in input.context.fields.recipient
	not recipient in data.house.recipients
}

refusals contains {"code": "folder", "message": "Another folder."} if not startswith(input.context.arguments.folder, "/srv")

refusals contains {"code": "egress", "message": "Host not allowed."} if {
	some host in input.resource.properties.egress
	not host in data.house.hosts
}

decision := {"effect": "deny", "reasons": [reason | some reason in refusals], "obligations": {}} if {
	count(refusals) > 0
} else := {"effect": "allow", "reasons": [], "obligations": {}}
"""
ENDLESS_IF_TAINTED = """package sealgate.authz

fine := {"effect": "allow", "reasons": [], "obligations": {}}

decision := fine if {
	"admin" in input.subject.properties.roles
} else := fine if {
	input.context.provenance.tainted
	some i in numbers.range(1, 1000000000)
	i < 0
} else := {"effect": "deny", "reasons": [{"code": "v1", "message": "No."}], "obligations": {}}
"""
SECRET = """package sealgate.authz

secret := {"code": "house.secret", "message": "Not that one."}

decision := {"effect": "deny", "reasons": [secret], "obligations": {}} if {
	input.context.arguments.name == "secret"
} else := {"effect": "allow", "reasons": [{"code": "house.fine", "message": "Fine."}], "obligations": {}}
"""
HOUSE = {
    "most_calls": 5,
    "open": ["Monday", "Tuesday"],
    "most": 100,
    "recipients": ["ann@example.com"],
    "hosts": ["a.example"],
    "folders": ["/srv/notes"],
    "roles": ["clerk"],
}


def good() -> dict[str, Any]:
    """What the rules above have nothing against. 2026-01-05 is a Monday."""
    seen: dict[str, Any] = json.loads(dict(smoke_inputs())["a complete local_write call"])
    seen["subject"]["properties"]["roles"] = ["agent", "clerk"]
    seen["subject"]["properties"]["delegation"]["scopes"] = ["smoke__test"]
    seen["resource"]["properties"]["egress"] = ["a.example"]
    context = seen["context"]
    context["arguments"] = {"to": "ann@example.com", "cents": 100, "folder": "/srv/notes"}
    context["fields"] = {"recipient": ["ann@example.com"], "amount": [100]}
    context["idempotency"] = {"key": True, "derived": False}
    context["intent"] = {"tools": None, "fulfilled": True}
    context["cited"] = ["trusted"]
    context["recent_calls"] = 0
    context["time"] = "2026-01-05T10:00:00.000Z"
    return seen


@pytest.fixture
def bundle(tmp_path: Path) -> PolicyBundle:
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "authz.rego").write_text(KINDS)
    (folder / "data.json").write_text(json.dumps({"house": HOUSE}))
    return load_bundle(folder)


def changes(found: Explanation) -> set[str]:
    return {change.what for change in found.changes}


@pytest.mark.parametrize(
    ("path", "value", "code", "change"),
    [
        ("subject.properties.roles", ["agent"], "no.role", "the caller had the role clerk"),
        ("context.idempotency.derived", True, "no.key", "the call came with an idempotency key of the caller's"),
        ("context.run.mode_ceiling", "read_only", "too.high", "the run's ceiling were local_write"),
        ("context.provenance.tainted", True, "tainted", "the run had read nothing untrusted"),
        ("context.intent", None, "no.intent", "the run's intent were registered"),
        ("subject.properties.delegation", None, "not.yours", "smoke had delegated smoke__test"),
        ("context.cited", [], "no.source", "the call cited 1 trusted result"),
        ("context.recent_calls", 9, "busy", "there were no other calls in the last minute"),
        ("context.recent_calls", 9, "busy", "data.house.most_calls were 50"),
        ("context.time", "2026-01-09T10:00:00.000Z", "closed", "it were Monday, 2026-01-12T00:00:00.000Z"),
        ("context.fields.amount", [700], "dear", "the amount were 0"),
        ("context.fields.amount", [700], "dear", "data.house.most were 1000"),
        ("context.fields.recipient", ["eve@example.com"], "stranger", "the recipient were ann@example.com"),
        ("context.fields.recipient", ["eve@example.com"], "stranger", "data.house.recipients held eve@example.com"),
        ("context.arguments.folder", "/etc", "folder", "the argument /folder were /srv/notes"),
        ("resource.properties.egress", ["b.example"], "egress", "data.house.hosts held b.example"),
    ],
)
async def test_each_kind_of_change_that_would_help_is_found(
    bundle: PolicyBundle, path: str, value: object, code: str, change: str
) -> None:
    assert (await explain(bundle, good())).verdict.effect == "allow"
    seen = good()
    *steps, last = path.split(".")
    part = seen
    for step in steps:
        part = part[step]
    part[last] = value
    found = await explain(bundle, seen)
    (ruling,) = found.rulings
    assert ruling.code == code
    line = 1 + next(number for number, line in enumerate(KINDS.split("\n")) if f'"{code}"' in line)
    assert ruling.places == (f"authz.rego:{line}",)
    assert change in changes(found)
    assert {one.effect for one in found.changes} == {"allow"}
    assert found.whole


async def test_where_two_things_are_wrong_no_one_change_is_enough_and_it_says_what_each_takes_away(
    bundle: PolicyBundle,
) -> None:
    seen = good()
    seen["context"]["provenance"]["tainted"] = True
    seen["context"]["recent_calls"] = 9
    found = await explain(bundle, seen)
    assert found.changes == ()
    assert {(step.what, step.gone) for step in found.steps} >= {
        ("the run had read nothing untrusted", ("tainted",)),
        ("there were no other calls in the last minute", ("busy",)),
    }


async def test_what_an_allowed_call_hangs_on_is_told_too(bundle: PolicyBundle) -> None:
    found = await explain(bundle, good())
    assert {"the caller had not the role clerk", "the run had read something untrusted"} <= changes(found)
    assert {one.effect for one in found.changes} == {"deny"}


async def test_a_change_that_makes_the_policies_not_end_is_no_answer_and_ends_nothing(tmp_path: Path) -> None:
    folder = write_policy(tmp_path / "policies", "deny", "v1")
    (folder / "authz.rego").write_text(ENDLESS_IF_TAINTED)
    found = await explain(load_bundle(folder), good())
    assert changes(found) == {"the caller had the role admin"}


async def test_the_policies_that_come_along_are_explained() -> None:
    seen = json.loads(dict(smoke_inputs())["a complete network call"])
    found = await explain(load_bundle(default_policies()), seen)
    assert (found.verdict.effect, [ruling.code for ruling in found.rulings]) == ("ask", ["network.host_not_allowed"])
    assert found.rulings[0].places
    assert "data.sealgate.settings.egress_allow held host.example" in changes(found)


# --- at the gateway ---


@pytest.fixture(scope="module")
def running_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, ModernClient]]:
    folder = tmp_path_factory.mktemp("desk")
    write_secret_policy(folder)
    with governed(folder, "path: policies") as running:
        yield running


@pytest.fixture
def desk(running_desk: tuple[RunningGateway, ModernClient]) -> tuple[RunningGateway, ModernClient]:
    """Denies reads of `secret`."""
    gateway, _ = running_desk
    write_secret_policy(gateway.folder)
    gateway.run("policy", "reload")
    return running_desk


def write_secret_policy(folder: Path) -> None:
    (folder / "policies").mkdir(exist_ok=True)
    (folder / "policies" / "authz.rego").write_text(SECRET)
    (folder / "policies" / "data.json").write_text('{"house": {"names": ["welcome"]}}')


def entry(gateway: RunningGateway, response: dict[str, Any]) -> str:
    envelope: str = response["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"]
    return envelope


def test_a_recorded_decision_is_explained_by_the_policies_that_made_it(desk: tuple[RunningGateway, ModernClient]) -> None:
    gateway, client = desk
    denied = entry(gateway, client.call("notes__read_note", {"name": "secret"}))
    allowed = entry(gateway, client.call("notes__read_note", {"name": "welcome"}))
    written = entry(gateway, client.call("notes__write_note", {"name": "a", "text": "b"}))
    write_policy(gateway.folder / "policies", "deny", "v2")
    gateway.run("policy", "reload")
    told = gateway.json("policy", "explain", denied)
    assert (told["then"]["effect"], told["now"]["effect"], told["same"], told["redacted"]) == ("deny", "deny", True, False)
    assert told["now"]["reasons"] == [{"code": "house.secret", "message": "Not that one.", "places": ["authz.rego:3"]}]
    assert [(change["if"], change["effect"]) for change in told["changes"]] == [("the argument /name were welcome", "allow")]
    by_decision = gateway.json("policy", "explain", told["decision_id"])
    assert by_decision == told
    shown = gateway.run("policy", "explain", denied).stdout
    assert "house.secret  authz.rego:3" in shown
    assert "allow if the argument /name were welcome" in shown
    for envelope in (allowed, written):
        told = gateway.json("policy", "explain", envelope)
        assert (told["now"]["effect"], told["same"]) == ("allow", True)
    other = gateway.json("policy", "explain", allowed, "--policies", str(gateway.folder / "policies"))
    assert (other["now"]["effect"], other["same"]) == ("deny", False)


def test_what_cannot_be_explained_says_why(desk: tuple[RunningGateway, ModernClient]) -> None:
    gateway, client = desk
    envelope = entry(gateway, client.call("notes__read_note", {"name": "secret"}))
    undecided = entry(gateway, client.call("notes__read_note", {"nom": "secret"}))
    assert "no decision" in gateway.run("policy", "explain", undecided, check=False).stderr
    assert "no decision" in gateway.run("policy", "explain", "nobody", check=False).stderr
    assert gateway.json("policy", "explain", envelope)["same"]
    gateway.run("log", "erase", "--subject", f"default/user:{login_name()}", "--reason", "asked", "--yes")
    gone = gateway.run("policy", "explain", envelope, check=False)
    assert gone.returncode == 1
    assert "were erased" in gone.stderr


def test_secrets_are_not_kept_and_it_says_so(desk: tuple[RunningGateway, ModernClient]) -> None:
    gateway, client = desk
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    envelope = entry(gateway, client.call("notes__read_note", {"name": secret}))
    assert gateway.json("policy", "explain", envelope)["redacted"] is True
    with DaemonClient(gateway.state / "control.sock") as daemon:
        kept = daemon.get(f"/api/v1/policy/inputs/{envelope}")["input"]
    assert kept["context"]["arguments"]["name"].startswith("[redacted: ")
    assert secret not in str(kept)


@pytest.mark.opa
def test_a_decision_of_an_opa_server_is_explained_with_policies_that_are_named(opa_binary: str, tmp_path: Path) -> None:
    folder = write_policy(tmp_path / "policies", "deny", "v1")
    server = OpaServer(opa_binary, folder, free_port())
    server.start()
    try:
        with governed(tmp_path, f"engine: opa, opa_url: '{server.url}'") as (gateway, client):
            assert read(client) == {"outcome": "denied", "reasons": ["v1"]}
            envelope = entry(gateway, client.call("notes__read_note", {"name": "welcome"}))
            refused = gateway.run("policy", "explain", envelope, check=False)
            assert refused.returncode == 2
            assert "an OPA server decided this" in refused.stderr
            told = gateway.json("policy", "explain", envelope, "--policies", str(folder))
            assert (told["then"]["effect"], told["same"]) == ("deny", True)
    finally:
        server.stop()
