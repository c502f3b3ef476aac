"""What of a call's arguments its approvers are not shown: where, how long, and a digest to compare by.

Only the marks of the pinned schema may hide a value from an approver (`sensitive.py`). A secret that is known by its form
may hide nothing: the caller writes it, so the caller would choose what the approver does not see. Nobody is asked about such
a call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.canonical import canonical
from gateway.core.commitment import CommitmentKey

MAX_PLACES = 64


@dataclass(frozen=True, slots=True)
class Hidden:
    """One value that is not shown.

    Attributes:
        pointer: where it stands; empty for several places told as one
        characters: of a text its length, of any other value that of its canonical JSON
        digest: of the value, keyed and bound to the call: the same for whoever looks at this call, and no guess can be
            tried on it with another call
    """

    pointer: str
    characters: int
    digest: str

    def document(self) -> dict[str, Any]:
        """As it is stored and told."""
        return {"pointer": self.pointer, "characters": self.characters, "digest": self.digest}


def hidden_values(places: Iterable[tuple[str, Any]], key: CommitmentKey, call_digest: str) -> tuple[Hidden, ...]:
    """What to tell of the values at these places of one call; of more than `MAX_PLACES` their sum."""
    found = [(pointer, _characters(value), value) for pointer, value in places]
    if len(found) > MAX_PLACES:
        values = [[pointer, value] for pointer, _, value in found]
        found = [("", sum(characters for _, characters, _ in found), values)]
    return tuple(
        Hidden(pointer, characters, key.digest("hidden", orjson.dumps([call_digest, pointer, canonical(value).decode()])))
        for pointer, characters, value in found
    )


def _characters(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(canonical(value).decode())
