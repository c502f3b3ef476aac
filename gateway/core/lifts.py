"""Which policy setting lifts a reason to ask a person: for each code of `policies/` the narrowest one, or none.

| reason | setting | holds for |
|---|---|---|
| network.host_not_allowed | `egress_allow`, with the hosts the tool declares | every caller, every network tool |
| network.argument_not_allowed | `egress_allow`, with the hosts among the arguments | every caller, every network tool |
| network.rate_exceeded | `network_calls_per_minute`, one above the calls of the last minute | every caller |
| arguments.amount_above | `constraints.<tool>.ask_above`, the amounts of this call together | every caller, this tool |

Nothing lifts the others, nor anything of a `delegated` or `destructive` call. What is proposed here is a guess until policy
was asked with it. Values come from the call, so each is told with where it was seen before; where the gateway could not tell
that of all arguments, none of them enters a setting: what it did not look for may stand in an untrusted result.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gateway.core.approval import OWN_KEY
from gateway.core.capability import ApprovalMode
from gateway.core.circumstances import Origin
from gateway.core.fields import values_at
from gateway.core.normal_forms import amount_form, host_form
from gateway.core.secret_formats import REDACTED

SETTINGS = ("sealgate", "settings")
MILLIONTHS = 6  # to which policy compares amounts
MAX_VALUES = 16  # that a person can be asked to look at

Place = tuple[str, ...]
"""The keys that lead to a value in the policy data."""


@dataclass(frozen=True, slots=True)
class Longer:
    """A list of texts with these at its end; a new list where there is none."""

    place: Place
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Number:
    """A number in the place of another one, or of none."""

    place: Place
    value: int | float


@dataclass(frozen=True, slots=True)
class Copied:
    """A new entry beside `source`, called `name`: the same but for the number `member`."""

    source: Place
    name: str
    member: str
    value: int | float


Edit = Longer | Number | Copied


@dataclass(frozen=True, slots=True)
class Value:
    """What would enter the settings. `origins`: where the argument's value was seen before; None: it is no argument's."""

    value: str | int | float
    source: str
    origins: frozenset[Origin] | None = None

    @property
    def untrusted(self) -> bool:
        """Whether somebody nobody vouches for wrote it, too."""
        return self.origins is not None and Origin.UNTRUSTED in self.origins

    def seen(self) -> str:
        """Where it was seen, in words."""
        return "unknown: seen nowhere before" if not self.origins else ", ".join(sorted(self.origins))


@dataclass(frozen=True, slots=True)
class Lift:
    """One setting changed so that policy has this reason no more. `instead`: another way, or empty."""

    code: str
    setting: str
    edit: Edit
    holds_for: str
    values: tuple[Value, ...]
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Stays:
    """A reason that no setting may lift: why, and what a person can do."""

    code: str
    why: str
    instead: str


def lifts(seen: dict[str, Any], data: dict[str, Any], codes: Iterable[str]) -> list[Lift | Stays]:
    """For each reason code of the decision on the input document `seen`, under policies with this data."""
    if seen["resource"]["properties"]["mode"] in OWN_KEY:
        return [_own(code) for code in codes]
    settings = _member(_member(data, "sealgate"), "settings")
    if not isinstance(settings, dict):
        settings = {}
    return [_LIFTED[code](seen, settings) if code in _LIFTED else _stays(code) for code in codes]


def _declared_hosts(seen: dict[str, Any], settings: dict[str, Any]) -> Lift | Stays:
    code = "network.host_not_allowed"
    hosts = [Value(host, "declared of the tool as its egress") for host in seen["resource"]["properties"]["egress"]]
    run = settings.get("approvals")
    offered = isinstance(run, dict) and run.get("run") is True
    instead = "" if offered else "the setting approvals.run would offer approvers a yes for one run, instead of for good"
    return _longer_egress(code, settings, hosts, instead)


def _argument_hosts(seen: dict[str, Any], settings: dict[str, Any]) -> Lift | Stays:
    code = "network.argument_not_allowed"
    hosts = list(dict.fromkeys(_field_values(seen, "host", _host)))
    return _longer_egress(code, settings, hosts, "") if _is_traced(seen) else _untraced(code)


def _longer_egress(code: str, settings: dict[str, Any], hosts: list[Value], instead: str) -> Lift | Stays:
    allowed = settings.get("egress_allow", [])
    if not isinstance(allowed, list):
        return _unreadable(code, "egress_allow")
    fresh = tuple(host for host in hosts if host.value not in allowed)
    if not fresh:
        return Stays(code, "the hosts it is about are not to be found in what policy saw", _EXPLAIN)
    if any(REDACTED in str(host.value) for host in fresh):
        return Stays(code, "a host is redacted as a secret, and a secret cannot stand in a setting", _APPROVE)
    if len(fresh) > MAX_VALUES:
        return Stays(code, f"it names {len(fresh)} hosts, more than a person can be asked to look at", _APPROVE)
    edit = Longer((*SETTINGS, "egress_allow"), tuple(str(host.value) for host in fresh))
    return Lift(code, "egress_allow", edit, "every caller and every network tool", fresh, instead)


def _rate(seen: dict[str, Any], settings: dict[str, Any]) -> Lift | Stays:
    code, name = "network.rate_exceeded", "network_calls_per_minute"
    recent, limit = seen["context"]["recent_calls"], settings.get(name, 0)
    if not _is_number(limit) or not _is_number(recent):
        return _unreadable(code, name)
    return Lift(
        code,
        name,
        Number((*SETTINGS, name), recent + 1),
        "every caller",
        (Value(recent + 1, "one more than the caller's own calls in the minute before"),),
        "wait a minute; a rate is about how often a caller calls, not about what it calls",
    )


def _amount(seen: dict[str, Any], settings: dict[str, Any]) -> Lift | Stays:
    code, tool = "arguments.amount_above", seen["resource"]["id"]
    constraints = settings.get("constraints")
    everywhere = f"{seen['resource']['properties']['upstream']}__*"
    own = isinstance(constraints, dict) and tool in constraints
    key = tool if own else everywhere
    if not _is_number(_member(_member(constraints, key), "ask_above")):
        return _unreadable(code, f"constraints.{key}.ask_above")
    if not _is_traced(seen):
        return _untraced(code)
    amounts = _field_values(seen, "amount", amount_form)
    if not all(_is_number(amount.value) for amount in amounts) or not amounts:
        return Stays(code, "the amounts it is about are not to be found in what policy saw", _EXPLAIN)
    if len(amounts) > MAX_VALUES:
        return Stays(code, f"it names {len(amounts)} amounts, more than a person can be asked to look at", _APPROVE)
    total = round(sum(abs(float(amount.value)) for amount in amounts), MILLIONTHS)
    most = int(total) if total.is_integer() else total
    place = (*SETTINGS, "constraints", key)
    if own:
        edit: Edit = Number((*place, "ask_above"), most)
        return Lift(code, f"constraints.{tool}.ask_above", edit, f"every caller of {tool}", tuple(amounts))
    # The tool's entry stands in the place of its upstream's, so it must say all that this one says.
    edit = Copied(place, tool, "ask_above", most)
    instead = f"ask_above of {everywhere} would hold for all its tools"
    return Lift(code, f"constraints.{tool}", edit, f"every caller of {tool}", tuple(amounts), instead)


_LIFTED: dict[str, Callable[[dict[str, Any], dict[str, Any]], Lift | Stays]] = {
    "network.host_not_allowed": _declared_hosts,
    "network.argument_not_allowed": _argument_hosts,
    "network.rate_exceeded": _rate,
    "arguments.amount_above": _amount,
}

_APPROVE = "Answer each such call: sealgate approvals approve ID, or reject ID."
_EXPLAIN = "sealgate policy explain tells its rule and what would change it."
_FLOW = (
    "the run has read what is not to be believed, and no setting lifts that for one kind of call",
    "Have the client register an intent before it reads, or declare text arguments as content; else answer each call.",
)
_STAYS = {
    "always_ask.listed": (
        "the setting always_ask names this tool so that a person is always asked",
        "Take it off that list by hand, with whoever put it there.",
    ),
    "network.egress_undeclared": (
        "nobody declared which hosts the tool reaches, and no setting stands for that",
        "Declare its `egress` in gateway.yaml.",
    ),
    "flow.no_intent": _FLOW,
    "flow.not_fulfilled": _FLOW,
    "flow.unknown_origin": _FLOW,
    "delegated.own_approval": ("only the person in whose name it acts can say yes, to each call", _APPROVE),
    "destructive.approval_required": ("it cannot be undone, so each call needs another person's yes", _APPROVE),
}


def _stays(code: str) -> Stays:
    return Stays(code, *_STAYS.get(code, ("no setting of the policy library is known to lift it", _EXPLAIN)))


def _own(code: str) -> Stays:
    if code in _STAYS:
        return _stays(code)
    modes = " and ".join(mode for mode in ApprovalMode if mode in OWN_KEY)
    return Stays(code, f"calls of the modes {modes} are answered one by one", _APPROVE)


def _unreadable(code: str, setting: str) -> Stays:
    return Stays(code, f"the setting {setting} has a form that policy does not know", "Correct it by hand.")


def _untraced(code: str) -> Stays:
    return Stays(code, "where its arguments were seen before is not known of all, so a value may be anybody's", _APPROVE)


def _is_traced(seen: dict[str, Any]) -> bool:
    """Whether every argument was looked for in what the run had read: not where there were too many, or it took too long."""
    provenance = seen["context"].get("provenance")
    return isinstance(provenance, dict) and provenance.get("complete") is True


def _field_values(seen: dict[str, Any], role: str, form: Callable[[object], object]) -> list[Value]:
    """The values of a role's fields, with the arguments that have them and where those were seen before."""
    context = seen["context"]
    told = _member(context.get("provenance"), "leaves")
    leaves = [(leaf, form(found)) for leaf in told or () for _, found in values_at(context["arguments"], leaf["pointer"])]

    def of(value: Any) -> Value:
        same = [leaf for leaf, found in leaves if found == value]
        origins = frozenset(Origin(origin) for leaf in same for origin in leaf["origins"])
        where = " and ".join(leaf["pointer"] for leaf in same)
        return Value(value, f"the argument {where}" if same else "an argument", origins)

    return [of(value) for value in context.get("fields", {}).get(role, ())]


def _host(value: object) -> str | None:
    return host_form(value) if isinstance(value, str) else None


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
