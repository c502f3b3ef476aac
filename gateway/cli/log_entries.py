"""Entries as people ask for them, read without a check of any kind: for showing only."""

import re
from base64 import b64decode
from itertools import islice
from typing import Any

import orjson

from gateway.core.entry import Kind
from gateway.core.errors import GatewayError
from gateway.core.ports import LogReader
from gateway.core.verify import StoredEntry

_PLACE = re.compile("[0-9]{1,18}")  # fits a 64-bit integer


def find_entries(log: LogReader, wanted: str) -> list[StoredEntry]:
    """The entry with this number, or all entries with this id. Raises `GatewayError` where there is none."""
    if _PLACE.fullmatch(wanted):
        place = int(wanted)
        found = [stored for stored in islice(log.entries(place), 1) if stored.index == place]
    else:
        found = [stored for stored in log.entries_naming(wanted) if statement(stored)["predicate"].get("id") == wanted]
    if not found:
        raise GatewayError(f"the log has no entry {wanted}", hint="sealgate log list", code="log.unknown")
    return found


def statement(stored: StoredEntry) -> dict[str, Any]:
    """What an entry says; its `predicate` is a dict, whatever stands in it: it may have been changed."""
    try:
        said = orjson.loads(b64decode(orjson.loads(stored.entry)["payload"]))
        return {**said, "predicate": _dict(said.get("predicate"))}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {"predicate": {}}


def signatures(stored: StoredEntry) -> Any:
    """Those of an entry, whatever stands there; None where it is no envelope."""
    try:
        return orjson.loads(stored.entry)["signatures"]
    except (ValueError, KeyError, TypeError):
        return None


def summary(stored: StoredEntry) -> dict[str, Any]:
    """A line's worth of an entry."""
    said = statement(stored)["predicate"]
    capability, approval, call, pin, result, key, erasure, policy, credential = (
        _dict(said.get(name))
        for name in ("capability", "approval", "call", "pin", "result", "key", "erasure", "policy", "credential")
    )
    named = (
        (capability, "capability_id"),
        (approval, "capability_id"),
        (call, "requested_name"),
        (pin, "capability_id"),
        (key, "role"),
        (erasure, "subject"),
        (policy, "revision"),
        (credential, "principal"),
    )
    reasons = said.get("reasons")
    begun = "begun" if said.get("kind") == Kind.INTENT else ""
    refused = " ".join(map(str, reasons)) if isinstance(reasons, list) else ""
    events = (one.get("event") for one in (said, key, policy, credential))
    ends = *events, result.get("status"), refused, begun
    return {
        "index": stored.index,
        "at": str(said.get("recorded_at", "?")),
        "kind": str(said.get("kind", "?")),
        "id": str(said.get("id", "?")),
        "what": next((str(part[key]) for part, key in named if part.get(key)), ""),
        "end": next((str(end) for end in ends if end), ""),
        "dev": said.get("dev"),
    }


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
