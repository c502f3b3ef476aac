"""What a definition says of its own tool counts where the operator named its origin, until a rule says something else."""

from typing import Any

import pytest

from gateway.core.capability import ApprovalMode, Capability, Classification, DeclaredBy, IdempotencyRule, TrustLevel
from gateway.core.capability import ToolDefinition as Definition
from gateway.core.catalog import Catalog, Hidden, build_catalog
from gateway.core.seed import DECLARED, Believed

BELIEVED = {"shop": Believed(DeclaredBy.DECORATOR, "shop-team", ("api.example.com",))}
RULE = ("shop__*", Classification(ApprovalMode.DELEGATED, TrustLevel.UNTRUSTED, "ops", IdempotencyRule.REQUIRED))


def tool(said: Any, upstream: str = "shop") -> Definition:
    document = {"name": "send", "inputSchema": {"type": "object"}, "_meta": {DECLARED: said}}
    return Definition.from_document(upstream, document)


def built(one: Definition, rules: Any = (), pinned: Definition | None = None) -> Catalog:
    pins = {one.capability_id: (pinned or one).digest}
    return build_catalog([one], rules, pins, believed=BELIEVED)


def classified(one: Definition, rules: Any = ()) -> Classification:
    capability = built(one, rules).resolve(one.capability_id)
    assert isinstance(capability, Capability), capability
    return capability.classification


def test_a_believed_definition_says_what_its_tool_is() -> None:
    said = {"mode": "destructive", "owner": "me", "trust": "trusted", "idempotency": "required", "egress": ["B.example"]}
    told = classified(tool(said))
    assert (told.mode, told.owner, told.trust_level) == (ApprovalMode.DESTRUCTIVE, "me", TrustLevel.TRUSTED)
    assert (told.idempotency, told.egress, told.declared_by) == (
        IdempotencyRule.REQUIRED,
        ("b.example",),
        DeclaredBy.DECORATOR,
    )


@pytest.mark.parametrize(("mode", "usual"), [("read_only", IdempotencyRule.NONE), ("network", IdempotencyRule.DERIVED)])
def test_what_it_does_not_say_is_what_the_operator_says_of_all_or_the_usual(mode: str, usual: IdempotencyRule) -> None:
    told = classified(tool({"mode": mode}))
    assert (told.owner, told.egress, told.trust_level) == ("shop-team", ("api.example.com",), TrustLevel.UNTRUSTED)
    assert told.idempotency is usual


def test_a_rule_goes_before_the_definition() -> None:
    told = classified(tool({"mode": "read_only"}), [RULE])
    assert (told.mode, told.owner, told.declared_by) == (ApprovalMode.DELEGATED, "ops", DeclaredBy.RULE)


def test_a_server_that_nobody_said_to_believe_says_nothing() -> None:
    catalog = built(tool({"mode": "read_only"}, upstream="stranger"))
    assert [hidden.why for hidden in catalog.hidden] == [Hidden.UNCLASSIFIED]


def test_a_definition_with_another_mode_is_another_definition() -> None:
    catalog = built(tool({"mode": "read_only"}), pinned=tool({"mode": "network"}))
    assert [hidden.why for hidden in catalog.hidden] == [Hidden.DRIFTED]


def test_what_waits_for_a_pin_shows_what_it_would_be() -> None:
    one = tool({"mode": "network"})
    (hidden,) = build_catalog([one], (), {}, believed=BELIEVED).hidden
    assert hidden.classification is not None
    assert (hidden.why, hidden.classification.mode) == (Hidden.UNPINNED, ApprovalMode.NETWORK)


@pytest.mark.parametrize(
    "said",
    [
        "read_only",
        {},
        {"mode": "harmless"},
        {"mode": ["read_only"]},
        {"mode": "read_only", "roots": ["/"]},
        {"mode": "network", "idempotency": "none"},
        {"mode": "read_only", "trust": True},
        {"mode": "read_only", "owner": "two\nlines"},
        {"mode": "read_only", "owner": ""},
        {"mode": "network", "egress": "api.example.com"},
        {"mode": "network", "egress": ["a.example, b.example"]},
        {"mode": "network", "egress": [1]},
        {"mode": "network", "egress": ["a.example"] * 65},
    ],
)
def test_what_no_rule_could_say_hides_the_tool(said: Any) -> None:
    catalog = built(tool(said))
    assert [hidden.why for hidden in catalog.hidden] == [Hidden.UNCLASSIFIED]
    assert "cannot be used" in catalog.hidden[0].explanation
    assert not catalog.capabilities


def test_no_rule_makes_a_tool_less_than_the_least_its_upstream_may_be() -> None:
    agents = {"shop": Believed(DeclaredBy.CARD, least=ApprovalMode.DELEGATED)}

    def catalog(said: str, *rules: Any) -> Catalog:
        one = tool({"mode": said})
        return build_catalog([one], rules, {one.capability_id: one.digest}, believed=agents)

    assert catalog("delegated").capabilities["shop__send"].classification.declared_by is DeclaredBy.CARD
    low = Classification(ApprovalMode.NETWORK, TrustLevel.TRUSTED, "ops", IdempotencyRule.DERIVED)
    high = Classification(ApprovalMode.DESTRUCTIVE, TrustLevel.TRUSTED, "ops", IdempotencyRule.DERIVED)
    assert catalog("delegated", ("*", high)).capabilities["shop__send"].mode is ApprovalMode.DESTRUCTIVE
    for hiding, by in ((catalog("delegated", ("*", low)), "rule"), (catalog("read_only"), "card")):
        (hidden,) = hiding.hidden
        assert hidden.why is Hidden.UNCLASSIFIED
        assert f"its {by} says" in hidden.explanation
        assert "never less than delegated" in hidden.explanation
