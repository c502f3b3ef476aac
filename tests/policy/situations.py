"""Settings and input documents for comparing the engines: much of what can be, and some of what should never be."""

import json
from dataclasses import dataclass
from random import Random
from typing import Any

from gateway.core.capability import ApprovalMode
from gateway.core.circumstances import Circumstances, IntentTold, Leaf, Origin, Provenance
from gateway.core.decision import policy_input
from gateway.core.fields import FieldRole, Fields
from gateway.core.run_context import Delegation, PrincipalKind
from tests.policy.calls import FAR_FUTURE, PAST, Case, sealed

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
HOSTS = ["api.example.com", "cdn.example.com", "evil.example.net"]
RICH: dict[str, Any] = {
    "always_ask": ["delete_database", "crm__find"],
    "egress_allow": ["api.example.com", "cdn.example.com"],
    "network_calls_per_minute": 60,
    "pin_egress": True,
    "delegated_evidence": 2,
    "tenants": {
        "default": {"roles": {"agent": {"max_mode": "destructive"}}},
        "small": {
            "roles": {"agent": {"max_mode": "network", "upstreams": ["mail", "web"]}, "admin": {"max_mode": "destructive"}}
        },
    },
    "constraints": {
        "mail__*": {"recipients": ["bob@example.com", "@alice"], "optional": True},
        "mail__pay": {"max_amount": 500.3, "ask_above": 100, "recipients": ["bob@example.com"], "optional": True},
        "files__*": {"paths": ["/srv/a", "docs", "/home/bob"], "optional": True},
        "files__write": {"paths": ["/srv/a"]},
        "web__post": {"hosts": ["api.example.com"], "optional": True},
    },
    "budgets": {"run_calls": 1000, "run_effects": 100, "calls_per_minute": 120},
    "windows": {
        "destructive": [{"days": [*DAYS, "Sunday"], "from": "00:00", "to": "24:00"}],
        "mail__pay": [
            {"days": DAYS, "from": "06:00", "to": "20:00"},
            {"days": ["Sunday"], "from": "09:30", "to": "12:00"},
        ],
        "web__*": [{"days": [*DAYS, "Saturday", "Sunday"], "from": "00:30", "to": "23:59"}],
    },
    "flow": {"tainted": "ask", "gated_modes": ["local_write", "network", "delegated", "destructive"]},
    "approvals": {
        "quorum": {"destructive": {"count": 2, "of": ["user:bob", "user:eve"]}, "network": {"count": 1}},
        "routes": {"destructive": ["cli", "webhook"], "delegated": ["cli"]},
        "run": True,
    },
    "results": {"mail__read": {"redact": ["/secret", "/a/b"], "max_bytes": 1000}, "files__*": {"max_bytes": 65536}},
    "downgrades": {"mail__send": {"/draft": True}, "web__get": {"/options/0/depth": 1, "/a~1b": "x"}},
}
PLAIN: dict[str, Any] = {"egress_allow": RICH["egress_allow"], "network_calls_per_minute": 60}
ODD: list[Any] = [None, False, True, 0, -1, 1.5, "", "ask", "destructive", "60", [], {}, [None], ["x"], {"x": None}, [[]]]

TOOLS = ["mail__send", "mail__read", "mail__pay", "files__read", "files__write", "web__get", "web__post", "crm__find"]
TIMES = [
    "2026-11-23T10:00:00.000Z",
    "2026-11-24T15:30:59.999Z",
    "2026-11-26T12:00:00.000Z",
    "2026-11-22T09:30:00.000Z",
    "2026-11-28T23:59:00.000Z",
    "2028-02-29T06:00:00.000Z",
    "2026-11-25T08:00:00.000Z",
    "2026-11-27T19:59:59.999Z",
]
WORKING_TIMES = [TIMES[0], TIMES[1], TIMES[2], TIMES[6], TIMES[7]]
ODD_TIMES = [
    "2026-02-30T10:00:00.000Z",
    "2026-11-23T23:59:60.000Z",
    "2026-13-01T10:00:00.000Z",
    "0000-00-00T00:00:00.000Z",
    "9999-12-31T23:59:59.999Z",
    "2026-11-23T10:00:00Z",
    "2026-11-23T10:00:00.000+01:00",
    "٢٠٢٦-11-23T10:00:00.000Z",
    "",
    "now",
]
EXPIRIES = [*[FAR_FUTURE] * 20, PAST, "2026-11-23T10:00:00.000Z", "2099-01-01T00:00:00Z", "soon", "٢٠٩٩"]
SCOPES = ["mail__send", "mail__*", "files__*", "web__*", "mail__pay", "*", "mail__"]
PATHS = ["/srv/a", "/srv/a/b", "/srv/ab", "/srv", "/etc/passwd", "docs/héllo", "docs", "/home/bob/x", "/"]
AMOUNTS = [0, 1, 5, 50, 99.99, 100, 100.01, 0.1, 0.2, 0.3, 400, 500.3, 10**9]
FAIR_AMOUNTS = [amount for amount in AMOUNTS if amount <= 400]
RECIPIENTS = [*["bob@example.com"] * 8, "@alice", "eve@example.net", "Zoë"]
ODD_TEXTS = [
    "",
    "\u0000",
    "héllo \u2028 \U0001f600",
    "/srv/a/../b",
    "/srv/a/",
    "a\u202eb",
    "API.example.com",
    "*",
    "ﬁ",
    "\ufeff",
]
VALUES = ["", "héllo \u2028 \U0001f600", 0, -1, 1.5, 2**53 - 1, True, None, [], {"deep": [{"er": [None]}]}]
FIELDS: Fields = {
    FieldRole.PATH: ("/path",),
    FieldRole.HOST: ("/host",),
    FieldRole.AMOUNT: ("/amounts/*",),
    FieldRole.RECIPIENT: ("/to/*",),
}


@dataclass(frozen=True, slots=True)
class Situation:
    """A set of settings, or none, and how many documents are decided under it. `proper`: every setting has its form."""

    settings: dict[str, Any] | None
    inputs: int
    proper: bool = True


def situations(chance: Random, inputs: int) -> list[Situation]:
    """Most documents under the rich settings, some under stricter, plain and none, and some under broken ones."""
    strict = {**RICH, "flow": {"tainted": "deny"}, "budgets": {"run_calls": 5, "run_effects": 2, "calls_per_minute": 3}}
    told = {**RICH, "flow": {"gated_modes": ["network", "read_only"]}, "pin_egress": False, "delegated_evidence": 0}
    told["constraints"] = {
        "web__post": {"hosts": HOSTS},
        "mail__pay": {"max_amount": 500.3, "ask_above": 100},
        "mail__read": {"recipients": ["bob@example.com"]},
    }
    untenanted = {name: value for name, value in RICH.items() if name not in {"tenants", "constraints", "windows"}}
    share = inputs // 10
    broken = [Situation(_broken(chance, name), inputs // 120, proper=False) for name in RICH]
    wrong: list[dict[str, Any]] = [{**RICH, "windows": []}, {**RICH, "window": RICH["windows"]}]
    broken += [Situation(settings, inputs // 120, proper=False) for settings in wrong]
    rest = [Situation(strict, share // 2), Situation(told, share), Situation(untenanted, share), Situation(PLAIN, share)]
    rest += [Situation({}, share // 4, proper=False), Situation(None, share // 4, proper=False)]
    done = sum(one.inputs for one in (*rest, *broken))
    return [Situation(RICH, inputs - done), *rest, *broken]


def an_input(chance: Random) -> tuple[ApprovalMode | None, bytes]:
    """Some call's mode and document: of ten, three that nothing stands against under most settings, seven with anything.

    So well over half are allowed or asked about, and no single rule's share decides whether it is half.
    """
    return _ordinary(chance) if chance.random() < 0.3 else _anything(chance)


def _ordinary(chance: Random) -> tuple[ApprovalMode, bytes]:
    upstream, _, tool = chance.choice(TOOLS).partition("__")
    given = {
        "path": "/srv/a/b",
        "host": "api.example.com",
        "amounts": chance.sample(FAIR_AMOUNTS, 2),
        "to": ["bob@example.com"],
    }
    case = Case(
        mode=chance.choice(list(ApprovalMode)),
        upstream=upstream,
        tool=tool,
        arguments={name: given[name] for name in given if name == "path" or chance.random() < 0.6},
        egress=("api.example.com",),
        delegation=Delegation("alice", (f"{upstream}__{tool}",), FAR_FUTURE),
        fields=FIELDS,
    )
    provenance = Provenance(chance.random() < 0.5, True, (Leaf("/a0", None, frozenset({Origin.TRUSTED})),))
    told = Circumstances(run_calls=3, run_effects=1, provenance=provenance, cited=("untrusted", "trusted"))
    return case.mode, policy_input(sealed(case), told, dev=chance.random() < 0.5, now=chance.choice(WORKING_TIMES))


def _anything(chance: Random) -> tuple[ApprovalMode | None, bytes]:
    """One of twelve has lost a member, or has an odd one, and so no mode to count on."""
    upstream, _, tool = chance.choice(TOOLS).partition("__")
    egress = tuple(chance.sample(HOSTS, chance.choice([0, 1, 1, 1, 2])))
    case = Case(
        mode=chance.choice(list(ApprovalMode)),
        upstream=upstream,
        tool=tool,
        arguments=_arguments(chance),
        egress=egress if chance.random() < 0.4 else ("api.example.com",),
        key=chance.random() < 0.97,
        roles=chance.choice([*[("agent",)] * 40, *[("admin", "agent")] * 3, ("approver",), ()]),
        kind=chance.choice(list(PrincipalKind)),
        ceiling=chance.choice([*ApprovalMode, *[ApprovalMode.DESTRUCTIVE] * 50]),
        delegation=_delegation(chance, f"{upstream}__{tool}"),
        tenant=chance.choice([*["default"] * 30, *["small"] * 2, "other", "défaut"]),
        fields=FIELDS,
    )
    now = chance.choice(ODD_TIMES) if chance.random() < 0.04 else chance.choice(TIMES)
    document = policy_input(sealed(case), _circumstances(chance, f"{upstream}__{tool}"), dev=chance.random() < 0.5, now=now)
    if chance.random() < 1 / 12:
        return None, json.dumps(_spoilt(chance, json.loads(document))).encode()
    return case.mode, document


def _arguments(chance: Random) -> dict[str, Any]:
    arguments: dict[str, Any] = {f"a{index}": chance.choice(VALUES) for index in range(chance.randint(0, 2))}
    if chance.random() < 0.5:
        arguments["path"] = chance.choice([*PATHS, *["/srv/a/b"] * 20])
    if chance.random() < 0.4:
        arguments["host"] = chance.choice([*HOSTS, *["api.example.com"] * 12])
    if chance.random() < 0.5:
        arguments["amounts"] = chance.sample(AMOUNTS, chance.randint(0, 3))
    if chance.random() < 0.4:
        arguments["to"] = chance.sample(RECIPIENTS, chance.choice([0, 1, 1, 1, 2]))
    if chance.random() < 0.3:
        arguments["draft"] = chance.choice([True, True, False, "true"])
    if chance.random() < 0.3:
        arguments |= {"options": [{"depth": chance.choice([1, 1.0, 2])}], "a/b": chance.choice(["x", "y"])}
    return arguments


def _delegation(chance: Random, tool: str) -> Delegation | None:
    if chance.random() < 0.05:
        return None
    scopes = (tool, *chance.sample(SCOPES, 1)) if chance.random() < 0.9 else tuple(chance.sample(SCOPES, 2))
    return Delegation(chance.choice([*["alice"] * 20, "mallory"]), scopes, chance.choice(EXPIRIES))


def _circumstances(chance: Random, tool: str) -> Circumstances:
    leaves = tuple(
        Leaf(
            f"/a{index}",
            chance.choice([None, *FieldRole]),
            frozenset(chance.sample(list(Origin), chance.choice([0, 1, 1, 1, 2]))),
        )
        for index in range(chance.randint(0, 3))
    )
    named = (tool, "mail__read") if chance.random() < 0.95 else ("mail__read",)
    intent = IntentTold(chance.choice([named, named, None]), chance.random() < 0.96)
    return Circumstances(
        recent_calls=chance.choice([*[0, 1, 2, 10] * 4, 59, 60, 61, 119, 120]),
        run_calls=chance.choice([0, 1, 4, 5, 6, 999, 1000, 10**9]) if chance.random() < 0.2 else 3,
        run_effects=chance.choice([0, 1, 2, 99, 100]) if chance.random() < 0.2 else 1,
        provenance=Provenance(chance.random() < 0.5, chance.random() < 0.9, leaves),
        intent=intent if chance.random() < 0.5 else None,
        cited=tuple(chance.sample(["untrusted", "trusted"], chance.randint(0, 2))),
    )


def _spoilt(chance: Random, document: Any) -> Any:
    """The document with one member, at any depth, taken out or replaced."""
    place, key = chance.choice(list(_places(document)))
    if chance.random() < 0.4 and isinstance(place, dict):
        del place[key]
    else:
        place[key] = chance.choice([*ODD, *ODD_TEXTS])
    return document


def _broken(chance: Random, name: str) -> dict[str, Any]:
    """The rich settings with the one of this name replaced, and two members at any depth taken out or replaced."""
    settings: dict[str, Any] = json.loads(json.dumps(RICH))
    settings[name] = chance.choice(ODD)
    for _ in range(2):
        settings = _spoilt(chance, settings)
    return settings


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every member of every object and list within, as its holder and its key."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [(value, key) for key, _ in items] + [place for _, item in items for place in _places(item)]
