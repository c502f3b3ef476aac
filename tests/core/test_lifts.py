"""Which setting lifts a reason; and nothing is lifted where a setting is odd, a value is unknown, or the mode forbids it."""

import copy
import json
from typing import Any

import pytest

from gateway.adapters.policy.smoke import smoke_inputs
from gateway.core.circumstances import Origin
from gateway.core.lifts import MAX_VALUES, SETTINGS, Copied, Lift, Longer, Number, Stays, lifts

HOST, RATE, AMOUNT = "network.argument_not_allowed", "network.rate_exceeded", "arguments.amount_above"
OWN: dict[str, Any] = {"constraints": {"smoke__test": {"ask_above": 1}}}


def call(mode: str = "network") -> dict[str, Any]:
    """What policy sees of a call with fields, whose arguments were seen here and there."""
    inputs = dict(smoke_inputs())
    seen: dict[str, Any] = json.loads(inputs[f"a {mode} call with fields in a run that is doubtful"])
    return seen


def lifted(code: str, settings: Any, seen: dict[str, Any] | None = None) -> Lift | Stays:
    (found,) = lifts(seen or call(), {"sealgate": {"settings": settings}}, [code])
    return found


def test_a_value_is_told_with_all_places_it_was_seen_in() -> None:
    found = lifted(HOST, {"egress_allow": []})
    assert isinstance(found, Lift)
    assert found.edit == Longer((*SETTINGS, "egress_allow"), ("host.example",))
    (value,) = found.values
    assert value.origins == frozenset({Origin.DEFINITION, Origin.UNTRUSTED})
    assert (value.untrusted, value.seen()) == (True, "definition, untrusted")


def test_one_host_in_two_spellings_is_one_value_and_untrusted_if_either_is() -> None:
    seen = call()
    seen["context"]["arguments"] |= {"host": "https://Host.example/a", "other": "host.example"}
    told = {"/host": ["intent"], "/other": ["untrusted"]}
    seen["context"]["provenance"]["leaves"] = [
        {"pointer": pointer, "role": None, "origins": origins} for pointer, origins in told.items()
    ]
    seen["context"]["fields"]["host"] = ["host.example", "host.example"]
    found = lifted(HOST, {}, seen)
    assert isinstance(found, Lift)
    (value,) = found.values
    assert (value.source, value.untrusted) == ("the argument /host and /other", True)


@pytest.mark.parametrize("told", [None, {"tainted": True, "complete": False, "leaves": []}])
def test_of_arguments_whose_origin_was_not_looked_for_there_is_no_rule(told: dict[str, Any] | None) -> None:
    """Whoever pads a call until the gateway stops looking must not make an untrusted host look new."""
    seen = call()
    del seen["context"]["provenance"]
    if told is not None:
        seen["context"]["provenance"] = told
    for code in (HOST, AMOUNT):
        found = lifted(code, OWN, seen)
        assert isinstance(found, Stays)
        assert "not known of all" in found.why
    assert isinstance(lifted(RATE, OWN, seen), Lift)


def test_a_value_that_was_looked_for_and_not_found_is_told_as_such() -> None:
    seen = call()
    for leaf in seen["context"]["provenance"]["leaves"]:
        leaf["origins"] = []
    found = lifted(HOST, {}, seen)
    assert isinstance(found, Lift)
    assert found.values[0].seen() == "unknown: seen nowhere before"


def test_amounts_are_added_up_to_a_millionth() -> None:
    seen = call()
    seen["context"]["fields"]["amount"] = [0.1, 0.2, 3]
    found = lifted(AMOUNT, OWN, seen)
    assert isinstance(found, Lift)
    assert found.edit == Number((*SETTINGS, "constraints", "smoke__test", "ask_above"), 3.3)
    assert len(found.values) == 3


def test_the_entry_of_the_tool_is_preferred_and_that_of_its_upstream_is_copied() -> None:
    everywhere = {"constraints": {"smoke__*": {"ask_above": 1}}}
    found = lifted(AMOUNT, everywhere)
    assert isinstance(found, Lift)
    assert found.edit == Copied((*SETTINGS, "constraints", "smoke__*"), "smoke__test", "ask_above", 1.5)
    both = {"constraints": {**everywhere["constraints"], **OWN["constraints"]}}
    found = lifted(AMOUNT, both)
    assert isinstance(found, Lift)
    assert isinstance(found.edit, Number)


@pytest.mark.parametrize("code", [HOST, "network.host_not_allowed", RATE, AMOUNT])
@pytest.mark.parametrize("mode", ["delegated", "destructive"])
def test_nothing_of_a_call_that_needs_its_own_signature_is_lifted(code: str, mode: str) -> None:
    assert isinstance(lifted(code, {"egress_allow": [], "network_calls_per_minute": 1, **OWN}, call(mode)), Stays)


@pytest.mark.parametrize(
    ("code", "settings"),
    [
        (HOST, {"egress_allow": "host.example"}),
        (HOST, {"egress_allow": ["host.example"]}),
        (RATE, {"network_calls_per_minute": "60"}),
        (RATE, {"network_calls_per_minute": True}),
        (AMOUNT, {}),
        (AMOUNT, {"constraints": []}),
        (AMOUNT, {"constraints": {"smoke__test": None, "smoke__*": {"ask_above": 1}}}),
        (AMOUNT, {"constraints": {"smoke__test": {"ask_above": "1"}}}),
        ("always_ask.listed", {}),
        ("network.egress_undeclared", {}),
        ("flow.no_intent", {"flow": {"gated_modes": ["network"]}}),
        ("flow.not_fulfilled", {}),
        ("flow.unknown_origin", {}),
        ("house.own", {}),
    ],
)
def test_what_no_setting_lifts_stays_and_says_what_to_do(code: str, settings: dict[str, Any]) -> None:
    found = lifted(code, settings)
    assert isinstance(found, Stays)
    assert found.code == code
    assert found.why
    assert found.instead.endswith(".")


@pytest.mark.parametrize("count", [MAX_VALUES, MAX_VALUES + 1])
def test_more_values_than_a_person_looks_at_are_no_rule(count: int) -> None:
    seen = call()
    seen["context"]["fields"] = {"host": [f"h{number}.example" for number in range(count)], "amount": [1.0] * count}
    for code in (HOST, AMOUNT):
        assert isinstance(lifted(code, OWN, seen), Lift) is (count == MAX_VALUES)


def test_a_redacted_value_is_no_rule() -> None:
    seen = copy.deepcopy(call())
    seen["resource"]["properties"]["egress"] = ["[redacted: sensitive]"]
    assert isinstance(lifted("network.host_not_allowed", {}, seen), Stays)


def test_settings_that_are_not_there_are_no_fault() -> None:
    odd: list[dict[str, Any]] = [{}, {"sealgate": None}, {"sealgate": {"settings": []}}]
    for data in odd:
        assert isinstance(lifts(call(), data, [RATE])[0], Lift)
