"""For `sealgate approvals modify`: the changes as they are typed, and what the gateway offers to sign held against them."""

from typing import Any

import typer

from gateway.core import wire
from gateway.core.canonical import canonical
from gateway.core.errors import GatewayError
from gateway.core.modification import changed, is_pointer


def read_given(given: list[str]) -> dict[str, Any]:
    """The changes, by pointer. A pointer ends at the first `=` that a JSON value follows. Raises `typer.BadParameter`."""
    changes: dict[str, Any] = {}
    for text in given:
        pointer, value = _change(text)
        if pointer in changes:
            raise typer.BadParameter(f"{pointer} is set twice", param_hint="--set")
        changes[pointer] = value
    return changes


def _change(text: str) -> tuple[str, Any]:
    parts = text.split("=")
    problem = "write POINTER=JSON, such as /amount=50"
    for count in range(1, len(parts)):
        pointer, value = "=".join(parts[:count]), "=".join(parts[count:])
        if not is_pointer(pointer):
            problem = f"{pointer} is no JSON pointer such as /amount"
            continue
        try:
            return pointer, wire.parse(value.encode())
        except wire.Malformed as error:
            problem = f"what follows {pointer}= is no JSON value, and a text needs quotes: {error.message}"
    raise typer.BadParameter(problem, param_hint="--set")


def check_offer(made: dict[str, Any], changes: dict[str, Any], instead: dict[str, Any]) -> None:
    """What the gateway wants signed is what was asked for: only these places differ. Raises `GatewayError`."""
    asked, request = made["request"], instead["request"]
    other = {"approval_id", "call_digest", "requested_at", "modified_from"}
    if (
        canonical(changed(made["arguments"], changes)) != canonical(instead["arguments"])
        or request["modified_from"] != asked["approval_id"]
        or {name: asked[name] for name in asked.keys() - other} != {name: request[name] for name in request.keys() - other}
    ):
        raise GatewayError("the gateway offers another change than was asked for", code="approval.other_change")
