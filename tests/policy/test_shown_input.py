"""What is kept of the input document: the very bytes that policy saw, or a copy with no secret in any part of it."""

import orjson
import pytest

from gateway.adapters.clock import SystemClock
from gateway.adapters.policy.bundle import default_policies, load_bundle
from gateway.adapters.policy.embedded import EmbeddedEngine
from gateway.core.circumstances import Circumstances, Provenance
from gateway.core.decision import policy_input, shown_input
from gateway.core.fields import FieldRole, values_at
from gateway.core.provenance import provenance
from gateway.core.run_memory import RunMemory
from tests.policy.calls import LOCAL_WRITE, Case, sealed

SECRET = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
NOW = "2026-11-30T10:00:00.000Z"
FIELDS = {FieldRole.RECIPIENT: ("/to",), FieldRole.AMOUNT: ("/cents",), FieldRole.CONTENT: ("/text",)}


def case(to: str, text: str = "") -> Case:
    return Case(LOCAL_WRITE, arguments={"to": to, "cents": 5, "text": text}, fields=FIELDS)


def test_without_secrets_it_is_what_policy_saw() -> None:
    call = sealed(case("ann@example.com"))
    document = policy_input(call, Circumstances(), dev=False, now=NOW)
    assert shown_input(call, document) is document


@pytest.mark.parametrize(("to", "text"), [(SECRET, ""), ("ann@example.com", SECRET), (SECRET.upper() + SECRET, "x")])
def test_a_secret_is_in_no_part_of_it(to: str, text: str) -> None:
    call = sealed(case(to, text))
    document = policy_input(call, Circumstances(), dev=False, now=NOW)
    assert SECRET in document.decode()
    shown = shown_input(call, document)
    assert SECRET not in shown.decode()
    told = orjson.loads(shown)
    assert told["context"]["fields"]["amount"] == [5]
    told["context"]["arguments"] = told["context"]["fields"] = None
    seen = orjson.loads(document)
    seen["context"]["arguments"] = seen["context"]["fields"] = None
    assert told == seen


def test_pointers_lead_to_the_names_that_are_kept() -> None:
    """A name may be a secret, spelled in a pointer's own way; what is below a sensitive argument is no place any more."""
    address = "https://bob:hunter22@x.example/a~b"
    arguments = {
        "headers": {SECRET: {"x": [1, {SECRET: 2}]}, SECRET + "2": "b", "plain": "c"},
        "links": [{address: 1}],
        "hidden": {"name-of-a-person": {"x": 1}},
    }
    schema = {"properties": {"hidden": {"x-sealgate-sensitive": True}, "headers": {}, "links": {}}}
    call = sealed(Case(LOCAL_WRITE, arguments=arguments, schema=schema))
    leaves = provenance(arguments, call.capability, RunMemory(), None)
    assert leaves is not None
    around = Circumstances(provenance=Provenance(leaves=tuple(leaves)))
    document = policy_input(call, around, dev=False, now=NOW)
    shown = shown_input(call, document)
    for secret in (SECRET, "hunter22", "name-of-a-person"):
        assert secret in document.decode()
        assert secret not in shown.decode()
    told = orjson.loads(shown)["context"]
    github = "/headers/[redacted: github-token]"
    assert {leaf["pointer"] for leaf in told["provenance"]["leaves"]} == {
        github,
        f"{github}/x",
        f"{github}/x/0",
        f"{github}/x/1/[redacted: github-token]",
        f"{github} 2",
        "/headers/plain",
        "/hidden",
        "/links/0/https:~1~1bob:[redacted: url-password]@x.example~1a~0b",
    }
    for leaf in told["provenance"]["leaves"]:
        assert list(values_at(told["arguments"], leaf["pointer"])), leaf


@pytest.mark.anyio
async def test_a_decision_carries_it() -> None:
    call = sealed(case(SECRET))
    async with EmbeddedEngine(load_bundle(default_policies()), SystemClock(), dev=False, deadline_seconds=5) as engine:
        decision = await engine.decide(call, Circumstances())
    assert decision.cause is None
    assert SECRET not in decision.input.decode()
    assert orjson.loads(decision.input)["context"]["arguments"]["to"].startswith("[redacted: ")
