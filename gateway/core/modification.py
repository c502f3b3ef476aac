"""Arguments changed by somebody else than the caller: as policy's `modify` says, or a person's."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.core.canonical import canonical
from gateway.core.fields import EVERY, values_at

MAX_CHANGES = 64
_POINTER = re.compile(r"(/[^/]{1,128}){1,16}")


class NotApplicable(ValueError):
    """Changes of another form, or of a place that these arguments do not have. The text quotes no value."""


def is_pointer(text: Any) -> bool:
    """Whether it is a JSON pointer (RFC 6901) as short as changes have them."""
    return isinstance(text, str) and _POINTER.fullmatch(text) is not None


def read_changes(document: Any) -> dict[str, Any]:
    """Changes as JSON: `{pointer: value}`, at least one. Raises `NotApplicable`."""
    if not isinstance(document, dict) or not document or len(document) > MAX_CHANGES:
        raise NotApplicable(f"changes are of the form {{JSON pointer: value}}, 1 to {MAX_CHANGES} of them")
    if not all(map(is_pointer, document)):
        raise NotApplicable("a change names a JSON pointer such as /to")
    return document


def changed(arguments: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the arguments with the value at each pointer (`*` for every element of a list) replaced, or added.

    What holds the place must be there; a member of an object need not be. Nothing is taken out.

    Raises:
        NotApplicable: there is no such place.
    """
    copy: dict[str, Any] = _copied(arguments)
    for pointer, value in changes.items():
        above, _, last = pointer.rpartition("/")
        holders = [holder for _, holder in values_at(copy, above)]
        if not holders:
            raise NotApplicable(f"the arguments have no place {pointer}")
        for holder in holders:
            _put(holder, last, pointer, _copied(value))
    return copy


def differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Pointers to the places where two documents differ, as deep as they can be told apart; none where they are the same.

    Members that are taken out, and lists of another length, are a difference of what holds them.
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() <= new.keys():
        for name, value in new.items():
            below = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            if name in old:
                yield from differences(old[name], value, below)
            else:
                yield below
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{at}/{index}")
    elif canonical(old) != canonical(new):
        yield at


def _put(holder: Any, last: str, pointer: str, value: Any) -> None:
    if isinstance(holder, dict):
        holder[last.replace("~1", "/").replace("~0", "~")] = value
        return
    if isinstance(holder, list):
        places = [int(place.rpartition("/")[2]) for place, _ in values_at(holder, f"/{last}")]
        if places:
            for place in places:
                holder[place] = _copied(value)
            return
        if last == EVERY:
            return  # no element, so every one is as it should be
    raise NotApplicable(f"the arguments have no place {pointer}")


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_copied(element) for element in value]
    return value
