"""What a policy binds the gateway to when it allows a call or asks about it: a closed set, each honoured or the call denied.

| name | value | what the gateway does |
|---|---|---|
| approver | a principal | only this one's approval counts |
| quorum | {"count": n, "of": [principals]} | that many different approvers must say yes; `of` may be left out |
| routes | list of routes | an answer counts only if it came this way |
| approve_for | once, run | the widest yes an approver may give; once without it |
| redact | list of JSON pointers into the result | these are taken out before the result is stored and answered |
| max_result_bytes | a number | a larger result is withheld |
| egress | list of hosts | every host the call names, and an HTTP upstream's own, is one of these |
| modify | {JSON pointer: value} | the arguments are changed so, and the changed call is decided anew |
| evidence | {"count": n, "trust": level} | the call must cite that many results of its run, of that trust at least |

The first four bind approvers, so they come with `ask` only. An obligation that is not in this table, or not of this form,
makes the decision none at all.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from gateway.core.capability import TrustLevel
from gateway.core.modification import NotApplicable, is_pointer, read_changes
from gateway.core.normal_forms import host_form
from gateway.core.run_context import PrincipalKind

MAX_LISTED = 64
_PRINCIPAL = re.compile(rf"({'|'.join(PrincipalKind)}):[A-Za-z0-9][A-Za-z0-9._@=/|:-]{{0,127}}")


class Route(StrEnum):
    """How an approver's answer reaches the gateway."""

    CLI = "cli"
    ELICITATION = "elicitation"
    WEBHOOK = "webhook"


class ApproveFor(StrEnum):
    """How far a yes reaches."""

    ONCE = "once"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Quorum:
    """`count` different approvers; of these principals, where `of` is not empty."""

    count: int
    of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvidenceNeed:
    """`count` results of the same run, each at least as trusted as `trust`."""

    count: int
    trust: TrustLevel


@dataclass(frozen=True, slots=True)
class Obligations:
    """See the module. None or empty: not there."""

    approver: str | None = None
    quorum: Quorum | None = None
    routes: frozenset[Route] = frozenset()
    approve_for: ApproveFor = ApproveFor.ONCE
    redact: tuple[str, ...] = ()
    max_result_bytes: int | None = None
    egress: tuple[str, ...] | None = None
    modify: Mapping[str, Any] = field(default_factory=dict)
    evidence: EvidenceNeed | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Which are there, sorted."""
        return tuple(sorted(one.name for one in fields(self) if getattr(self, one.name) != getattr(NONE, one.name)))


NONE = Obligations()
HONOURED = frozenset(
    {"approve_for", "approver", "egress", "evidence", "max_result_bytes", "modify", "quorum", "redact", "routes"}
)
"""What this gateway honours so far; every other name makes the decision none."""

FOR_APPROVERS = frozenset({"approver", "quorum", "routes", "approve_for"})


class BadObligation(ValueError):
    """Not an obligation this gateway can honour. The text quotes no value."""


def read_obligations(document: Mapping[str, Any], told: Callable[[str], str], *, asks: bool) -> Obligations:
    """The obligations in a policy's answer. `told` takes out of a text what must not be stored of the call.

    Raises:
        BadObligation: one is unknown, of another form, holds what must not be stored, or binds approvers nobody asks.
    """
    unknown = document.keys() - HONOURED
    if unknown:
        raise BadObligation("unknown obligation: this gateway knows " + ", ".join(sorted(HONOURED)))
    if not asks and document.keys() & FOR_APPROVERS:
        raise BadObligation("an obligation for approvers comes with ask only")
    try:
        read = {name: _READERS[name](value) for name, value in document.items()}
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        if isinstance(error, BadObligation):
            raise
        raise BadObligation("an obligation is not of its form") from None  # the cause quotes the value
    obligations = Obligations(**read)
    kept = [
        *([obligations.approver] if obligations.approver else []),
        *(obligations.quorum.of if obligations.quorum else ()),
    ]
    if any(told(text) != text for text in kept):
        raise BadObligation("an obligation names an approver by a sensitive argument or a secret")
    return obligations


def _principal(value: Any) -> str:
    if not isinstance(value, str) or _PRINCIPAL.fullmatch(value) is None:
        raise BadObligation("obligation approver is no principal such as user:alice")
    return value


def _quorum(value: Any) -> Quorum:
    if not isinstance(value, dict) or value.keys() - {"count", "of"}:
        raise BadObligation('obligation quorum is of the form {"count": n, "of": [principals]}')
    of = tuple(sorted({_principal(one) for one in _listed(value.get("of", []))}))
    quorum = Quorum(_count(value["count"]), of)
    if of and quorum.count > len(of):
        raise BadObligation("obligation quorum wants more approvers than it names")
    return quorum


def _routes(value: Any) -> frozenset[Route]:
    routes = frozenset(Route(one) for one in _listed(value))
    if not routes:
        raise BadObligation("obligation routes is empty: no answer could count")
    return routes


def _pointers(value: Any) -> tuple[str, ...]:
    return tuple(_pointer(one) for one in _listed(value))


def _pointer(value: Any) -> str:
    if not isinstance(value, str) or not is_pointer(value):
        raise BadObligation("obligation redact names no JSON pointer such as /to")
    return value


def _hosts(value: Any) -> tuple[str, ...]:
    hosts = tuple(host_form(one) if isinstance(one, str) and "/" not in one else None for one in _listed(value))
    if None in hosts:
        raise BadObligation("obligation egress is a list of hosts such as api.example.com")
    return tuple(host for host in hosts if host is not None)


def _modify(value: Any) -> dict[str, Any]:
    try:
        return read_changes(value)
    except NotApplicable as error:
        raise BadObligation(f"obligation modify: {error}") from None


def _evidence(value: Any) -> EvidenceNeed:
    if not isinstance(value, dict) or value.keys() - {"count", "trust"}:
        raise BadObligation('obligation evidence is of the form {"count": n, "trust": level}')
    return EvidenceNeed(_count(value["count"]), TrustLevel(value.get("trust", TrustLevel.UNTRUSTED)))


def _count(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_LISTED:
        raise BadObligation(f"the count in an obligation is a number from 1 to {MAX_LISTED}")
    return value


def _size(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise BadObligation("obligation max_result_bytes is a number of bytes")
    return value


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_LISTED:
        raise BadObligation(f"an obligation's list has at most {MAX_LISTED} items")
    return value


_READERS: dict[str, Callable[[Any], Any]] = {
    "approver": _principal,
    "quorum": _quorum,
    "routes": _routes,
    "approve_for": ApproveFor,
    "redact": _pointers,
    "max_result_bytes": _size,
    "egress": _hosts,
    "modify": _modify,
    "evidence": _evidence,
}
