"""Arguments changed by somebody else than the caller: as policy's `modify` says, or a person's."""

from collections.abc import Mapping
from typing import Any

from gateway.core.fields import EVERY, values_at


class NotApplicable(ValueError):
    """A change names a place that these arguments do not have. The text quotes no value."""


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
