"""What an entry says of the policies that decide from then on: at a start (boot) or after a change (policy).

Each states a number that only grows, so that an older history (`adapters/policy/kept.py`) is known for what it is.
Entries of an OPA server's policies state none: the gateway keeps no history of those.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.entry import Kind


@dataclass(frozen=True, slots=True)
class PolicyTold:
    """`over`: the configured policies that do not decide, since a roll-back to `revision` is in force; None: none is."""

    number: int
    revision: str
    over: str | None


def policy_told(kind: Kind, body: Mapping[str, Any]) -> PolicyTold | None:
    """What an entry of this kind and content says; None where it states no number."""
    match kind, body:
        case Kind.BOOT, {"boot": {"policy_number": int(number), "policy_revision": str(revision), **more}}:
            return PolicyTold(number, revision, _text(more.get("policy_rolled_back_over")))
        case Kind.POLICY, {"policy": {"number": int(number), "revision": str(revision), **more}}:
            return PolicyTold(number, revision, _text(more.get("over")))
        case _:
            return None


def _text(said: object) -> str | None:
    return said if isinstance(said, str) else None
