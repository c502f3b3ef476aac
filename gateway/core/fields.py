"""Which arguments mean what: the fields an operator declares of a tool, and their values in one form.

A field is a JSON pointer (RFC 6901) into the arguments, in which `*` stands for every element of a list. Its values are
brought to one form here, once (`normal_forms.py`): what policy compares and what the guards check is the same text. A value
that has no such form is refused, so that no two readers of it can disagree.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.core.normal_forms import amount_form, host_form, path_form, recipient_form

EVERY = "*"


class FieldRole(StrEnum):
    """What a field means. Only `content` may hold text of any origin: the others decide what a call does."""

    PATH = "path"
    HOST = "host"
    AMOUNT = "amount"
    RECIPIENT = "recipient"
    CONTENT = "content"


Fields = Mapping[FieldRole, tuple[str, ...]]
"""Pointers by role."""


@dataclass(frozen=True, slots=True)
class BadField:
    """A value that has no one form. `pointer` is the declared one; `why` quotes no value."""

    role: FieldRole
    pointer: str
    why: str


def values_at(document: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    """The values that `pointer` names, each with its own pointer; none where the document has no such place."""
    places: list[tuple[str, Any]] = [("", document)]
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        places = [found for place in places for found in _below(place, token, name)]
    yield from places


def _below(place: tuple[str, Any], token: str, name: str) -> Iterable[tuple[str, Any]]:
    path, value = place
    if isinstance(value, dict):
        return [(f"{path}/{token}", value[name])] if name in value else []
    if isinstance(value, list) and token == EVERY:
        return [(f"{path}/{index}", element) for index, element in enumerate(value)]
    if isinstance(value, list) and token.isascii() and token.isdigit() and int(token) < len(value):
        return [(f"{path}/{token}", value[int(token)])]
    return []


def read_fields(arguments: dict[str, Any], fields: Fields) -> dict[FieldRole, list[Any]] | BadField:
    """The values of every declared field but `content`, by role, in the one form of their role.

    A null, and what is not there, is no value. A pointer that meets a value of another kind than it goes on into says
    nothing about that value, so the call is refused: a server may well take one path where a list of them is declared.
    """
    found: dict[FieldRole, list[Any]] = {}
    for role, pointers in fields.items():
        if role is FieldRole.CONTENT:
            continue
        for pointer in pointers:
            if not _leads_on(arguments, pointer.split("/")[1:]):
                return BadField(role, pointer, OTHER_KIND)
            for _, value in values_at(arguments, pointer):
                for item in value if isinstance(value, list) else [value]:
                    if item is None:
                        continue
                    read = _read(role, item)
                    if read is None:
                        return BadField(role, pointer, NO_FORM[role])
                    found.setdefault(role, []).append(read)
    return found


def _leads_on(value: Any, tokens: list[str]) -> bool:
    """Whether each step meets what it goes on into: `*` a list, an index a list or an object, a name an object."""
    if not tokens or value is None:
        return True
    token, *after = tokens
    if isinstance(value, list) and (token == EVERY or (token.isascii() and token.isdigit())):
        return all(_leads_on(below, after) for _, below in _below(("", value), token, token))
    if isinstance(value, dict) and token != EVERY:
        name = token.replace("~1", "/").replace("~0", "~")
        return name not in value or _leads_on(value[name], after)
    return False


OTHER_KIND = "on the way there is a value of another kind than the field says. Send it as the tool describes it"
NO_FORM = {
    FieldRole.HOST: "it is no host in a form that means one thing only. Send a name such as api.example.com, or an https:// "
    "address without a user name",
    FieldRole.PATH: "it is no path in a form that means one thing only. Send a plain path without .., ~, % codes and "
    "backslashes",
    FieldRole.AMOUNT: "it is no amount. Send a number that is not negative, or such a number as plain decimal text",
    FieldRole.RECIPIENT: "it is no recipient in a form that means one thing only. Send one address, account or name, "
    "without invisible characters",
}


def _read(role: FieldRole, value: Any) -> str | int | float | None:
    if role is FieldRole.AMOUNT:
        return amount_form(value)
    return _TEXT_FORMS[role](value) if isinstance(value, str) else None


_TEXT_FORMS = {FieldRole.HOST: host_form, FieldRole.PATH: path_form, FieldRole.RECIPIENT: recipient_form}
