"""Python functions as tools of a Sealgate gateway: `from sealgate import tool`.

This module needs nothing but the standard library and changes nothing about a function, so that a module with tools can be
imported and tested without a gateway. `functions` in gateway.yaml names the module; docs/how-to/functions.md tells the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

__all__ = ["Declared", "ToolError", "declared_of", "tool"]

Mode = Literal["read_only", "local_write", "network", "delegated", "destructive"]
Trust = Literal["trusted", "untrusted"]
Idempotency = Literal["derived", "required", "none"]

MODES = ("read_only", "local_write", "network", "delegated", "destructive")

_MARK = "__sealgate_tool__"

F = TypeVar("F", bound=Callable[..., Any])


class ToolError(Exception):
    """A call cannot be done. Its text is the result that the agent reads; of other exceptions only that there was one."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What the decorator says of a function. None: the usual of a rule in gateway.yaml."""

    mode: Mode
    name: str | None = None
    owner: str | None = None
    trust: Trust | None = None
    idempotency: Idempotency | None = None
    egress: tuple[str, ...] = ()


def tool(
    *,
    mode: Mode,
    name: str | None = None,
    owner: str | None = None,
    trust: Trust | None = None,
    idempotency: Idempotency | None = None,
    egress: Sequence[str] = (),
) -> Callable[[F], F]:
    """Mark a function, sync or async, as a tool. It stays the same function.

    Args:
        mode: how far a call can reach, from looking (`read_only`) to what cannot be undone (`destructive`)
        name: what the tool is called; the function's own name by default
        owner, trust, idempotency, egress: the keys of a rule in gateway.yaml, where a rule that matches goes before them

    Raises:
        TypeError: the mode is none
    """
    if mode not in MODES:
        raise TypeError(f"mode is one of {', '.join(MODES)}")
    if isinstance(egress, str):
        raise TypeError("egress is a list of hosts, not one text")
    declared = Declared(mode, name, owner, trust, idempotency, tuple(egress))

    def mark(function: F) -> F:
        setattr(function, _MARK, declared)
        return function

    return mark


def declared_of(function: object) -> Declared | None:
    """What `tool` said of it; None where it is no tool."""
    declared = getattr(function, _MARK, None)
    return declared if isinstance(declared, Declared) else None
