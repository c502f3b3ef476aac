"""What a definition says of its own tool, and the upstreams whose definitions are believed in that.

An MCP server is never believed: only a rule in gateway.yaml says what its tools are. Where the operator named a module of
functions, an OpenAPI document, or an agent, the definitions come from there, and what they say of themselves stands for a
rule until there is one. It lies in the definition, so that its pin covers it: whoever approves it sees the mode, and another
mode is drift.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.capability import (
    ApprovalMode,
    Classification,
    DeclaredBy,
    IdempotencyRule,
    ToolDefinition,
    TrustLevel,
)
from gateway.core.normal_forms import host_form

DECLARED = "dev.sealgate/declared"
"""The key in `_meta` of a definition: {mode, owner?, trust?, idempotency?, egress?}, with the words of a rule."""

_KEYS = {"mode", "owner", "trust", "idempotency", "egress"}
_OWNER = re.compile(r"[^\x00-\x1f\x7f]{1,128}")
MAX_EGRESS = 64


@dataclass(frozen=True, slots=True)
class Believed:
    """Why an upstream is believed, and what the operator says of all its tools. Hosts are in their form.

    `least`: no tool of it is less than that, whatever a rule says: an agent always acts for somebody.
    """

    by: DeclaredBy
    owner: str = "unowned"
    egress: tuple[str, ...] = ()
    least: ApprovalMode = ApprovalMode.READ_ONLY


class UnusableSeed(ValueError):
    """A definition says something of its tool that no rule could say; the text tells what."""


def seeded(tool: ToolDefinition, believed: Mapping[str, Believed]) -> Classification | None:
    """The classification that the definition gives itself, where its upstream is believed and it gives one.

    Raises `UnusableSeed`.
    """
    who = believed.get(tool.upstream)
    meta = tool.document.get("_meta")
    said = meta.get(DECLARED) if who is not None and isinstance(meta, dict) else None
    if who is None or said is None:
        return None
    if not isinstance(said, dict) or not said.keys() <= _KEYS:
        raise UnusableSeed(f"{DECLARED} is an object of {', '.join(sorted(_KEYS))}")
    try:
        mode = ApprovalMode(said.get("mode", ""))
        trust = TrustLevel(said.get("trust", TrustLevel.UNTRUSTED))
        usual = IdempotencyRule.DERIVED if mode.has_effect else IdempotencyRule.NONE
        idempotency = IdempotencyRule(said.get("idempotency", usual))
    except ValueError as error:
        raise UnusableSeed(str(error)) from error
    if mode.has_effect and idempotency is IdempotencyRule.NONE:
        raise UnusableSeed("an effect needs an idempotency key")
    owner = said.get("owner", who.owner)
    if not isinstance(owner, str) or _OWNER.fullmatch(owner) is None:
        raise UnusableSeed("owner is a name of 1 to 128 characters on one line")
    return Classification(mode, trust, owner, idempotency, _hosts(said.get("egress")) or who.egress, declared_by=who.by)


def _hosts(listed: Any) -> tuple[str, ...]:
    if listed is None:
        return ()
    if not isinstance(listed, list) or len(listed) > MAX_EGRESS:
        raise UnusableSeed(f"egress is a list of at most {MAX_EGRESS} hosts")
    hosts = tuple(host_form(host) if isinstance(host, str) else None for host in listed)
    if None in hosts:
        raise UnusableSeed("egress holds something that is not the name of a host")
    return tuple(host for host in hosts if host is not None)
