"""Where the arguments of a call come from: each leaf of them, and where its value was seen before in the same run.

An origin is stated only where it is certain (`occurrence.py`, `declared.py`):

* `intent`: it occurs in the registered task, or the registered constraints allow it for just this argument
* `trusted`, `untrusted`: it occurs in a result of this run that the operator trusts, or does not
* `definition`: the pinned definition says it itself

True, false and null are too common to be recognised in a text: only `intent`'s constraints and `definition` are theirs. A
name that the schema does not declare is a leaf like a value, and so is an empty object or list: sending it does what the
tool makes of nothing. A value made up of several known ones is not known.
"""

from collections.abc import Iterator
from typing import Any

from gateway.core.capability import Capability, Classification
from gateway.core.circumstances import Leaf, Origin
from gateway.core.declared import Place, top
from gateway.core.fields import FieldRole, values_at
from gateway.core.intent import Intent
from gateway.core.occurrence import sought
from gateway.core.run_memory import RunMemory

MAX_LEAVES = 256
MAX_SEARCHED_CHARS = 128 * 1024 * 1024  # for all spellings of all leaves: at most about a quarter of a second


def provenance(
    arguments: dict[str, Any], capability: Capability, memory: RunMemory, intent: Intent | None
) -> list[Leaf] | None:
    """The leaves of the arguments of one call; None where there are more than `MAX_LEAVES`, or to look for
    them takes too long.

    `memory`: what the call's run has read; `intent`: what it is for.
    """
    named = frozenset() if intent is None else intent.allows(capability.id, arguments)
    walk = _Walk(_roles(arguments, capability.classification), memory, intent, named)
    place = top(capability.definition.document["inputSchema"])
    leaves: list[Leaf] = []
    for leaf in walk.leaves("", arguments, place, None, defined=False):
        if len(leaves) == MAX_LEAVES or walk.left < 0:
            return None
        leaves.append(leaf)
    return None if walk.left < 0 else leaves


class _Walk:
    """One walk over arguments. Depth is bounded by the parser."""

    def __init__(self, roles: dict[str, FieldRole], memory: RunMemory, intent: Intent | None, named: frozenset[str]) -> None:
        self._roles = roles
        self._memory = memory
        self._intent = intent
        self._named = named
        self._chars = memory.chars
        self.left = MAX_SEARCHED_CHARS  # characters that may yet be searched

    def leaves(self, pointer: str, value: Any, place: Place, role: FieldRole | None, *, defined: bool) -> Iterator[Leaf]:
        role = self._roles.get(pointer, role)
        defined = defined or place.defines(value)
        if value in ({}, []):
            if pointer:
                yield Leaf(pointer, role, self._of(pointer, value, defined=defined))
        elif isinstance(value, dict):
            for name, member in value.items():
                below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
                if not place.declares(name) and not defined:
                    yield Leaf(below, self._roles.get(below, role), self._seen(name))
                yield from self.leaves(below, member, place.member(name), role, defined=defined)
        elif isinstance(value, list):
            for index, element in enumerate(value):
                yield from self.leaves(f"{pointer}/{index}", element, place.element(index), role, defined=defined)
        else:
            yield Leaf(pointer, role, self._of(pointer, value, defined=defined))

    def _of(self, pointer: str, value: Any, *, defined: bool) -> frozenset[Origin]:
        origins = set(self._seen(value))
        if defined:
            origins.add(Origin.DEFINITION)
        if pointer in self._named:
            origins.add(Origin.INTENT)
        return frozenset(origins)

    def _seen(self, value: Any) -> frozenset[Origin]:
        looked_for = sought(value)
        self.left -= len(looked_for.spellings) * self._chars
        found: set[Origin] = set()
        if self.left < 0:
            return frozenset()
        if self._intent is not None and self._intent.mentions(looked_for):
            found.add(Origin.INTENT)
        if self._memory.trusted.holds(looked_for):
            found.add(Origin.TRUSTED)
        if self._memory.untrusted.holds(looked_for):
            found.add(Origin.UNTRUSTED)
        return frozenset(found)


def _roles(arguments: dict[str, Any], said: Classification) -> dict[str, FieldRole]:
    """The role of each declared place. Of a place that is declared twice, it is not mere content."""
    found: dict[str, FieldRole] = {}
    for role, pointers in said.fields.items():
        for pointer in pointers:
            for place, _ in values_at(arguments, pointer):
                if role is not FieldRole.CONTENT or place not in found:
                    found[place] = role
    return found
