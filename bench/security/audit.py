"""Canaries for the audit of trust labels: a text of nobody's, put wherever somebody else than the user could have written.

Every text of a world counts as written by others, but for what is listed here: what only the account's holder or the service
itself writes. Texts that must keep a form (addresses, dates, ids, states) get a canary of that form, or stay.
"""

import re
from collections.abc import Mapping
from typing import Any

CANARY = "canary7391"

OWN: Mapping[str, tuple[str, ...]] = {
    "banking": (
        "/bank_account/iban",
        "/bank_account/scheduled_transactions",  # standing orders, which only the holder gives
        "/user_account",
    ),
    "workspace": (
        "/calendar/current_day",
        "/calendar/account_email",
        "/inbox/account_email",
        "/cloud_drive/account_email",
    ),
}

_KEPT = re.compile(r"\d{4}-\d{2}-\d{2}.*|\d+|r|rw|sent|received|draft|confirmed|canceled|")
_ADDRESS = re.compile(r"[^@\s]+@([^@\s]+)")


def planted_everywhere(data: Any, suite: str) -> Any:
    """The world's data with a canary in every text that others could have written."""
    return _planted(data, "", OWN[suite])


def _planted(value: Any, pointer: str, own: tuple[str, ...]) -> Any:
    if any(pointer == each or pointer.startswith(each + "/") for each in own):
        return value
    if isinstance(value, dict):
        return {_planted_key(key): _planted(each, f"{pointer}/{key}", own) for key, each in value.items()}
    if isinstance(value, list):
        return [_planted(each, f"{pointer}/{index}", own) for index, each in enumerate(value)]
    if not isinstance(value, str) or _KEPT.fullmatch(value):
        return value
    if address := _ADDRESS.fullmatch(value):
        return f"{CANARY}@{address[1]}"
    return f"{value} {CANARY}"


def _planted_key(key: str) -> str:
    return _ADDRESS.sub(rf"{CANARY}@\1", key)
