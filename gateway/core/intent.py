"""What a run says it is for, before it reads anything that is not to be believed. It can only narrow.

    {"task": "Pay the bill from …"}                                  what the user asked for, in words
    {"tools": {"bank__send_money": {"/recipient": ["DE89…"]}}}       the only tools with an effect it may use, and
                                                                     the only values that their arguments may have

Either or both. The text stays in memory; the log has a keyed commitment to the document. A run whose intent the gateway
forgot, as by a restart, may send the same one again: nothing else is accepted in its place.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.core.canonical import NotCanonical, canonical
from gateway.core.fields import values_at
from gateway.core.occurrence import Reading, Sought, reading

MAX_BYTES = 64 * 1024  # as canonical JSON
MAX_TASK_BYTES = 16 * 1024
MAX_TOOLS = 64
MAX_POINTERS = 32
MAX_ALLOWED = 64
MAX_POINTER_CHARS = 512
MAX_NAME_CHARS = 256

Allowed = Mapping[str, tuple[bytes, ...]]
"""JSON pointer (`*` for every element of a list) → the canonical values it may have."""


class BadIntent(ValueError):
    """The document is no intent; the text says why and quotes no value."""


@dataclass(frozen=True, slots=True)
class Intent:
    """See the module. `document` is its canonical JSON. None: it says nothing about that."""

    document: bytes
    task: Reading | None
    tools: Mapping[str, Allowed] | None

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes: its document, and its constraints made of it."""
        return 2 * len(self.document) + (0 if self.task is None else self.task.size)

    @property
    def chars(self) -> int:
        """How many characters are searched for one value."""
        return 0 if self.task is None else len(self.task.marked)

    def mentions(self, value: Sought) -> bool:
        """Whether a value occurs in the task's text."""
        return self.task is not None and self.task.holds(value)

    def is_fulfilled_by(self, capability_id: str, arguments: dict[str, Any]) -> bool:
        """Whether the tool is one of those it names, and every constrained argument has one of the values it may have."""
        if self.tools is None:
            return True
        allowed = self.tools.get(capability_id)
        if allowed is None:
            return False
        return all(self._holds(arguments, pointer, values) for pointer, values in allowed.items())

    def allows(self, capability_id: str, arguments: dict[str, Any]) -> frozenset[str]:
        """The pointers of the arguments that have a value which the intent itself names for them."""
        allowed = (self.tools or {}).get(capability_id, {})
        return frozenset(
            place
            for pointer, values in allowed.items()
            for place, value in values_at(arguments, pointer)
            if canonical(value) in values
        )

    def _holds(self, arguments: dict[str, Any], pointer: str, values: tuple[bytes, ...]) -> bool:
        """An argument that is left out counts as null."""
        found = [value for _, value in values_at(arguments, pointer)]
        return all(canonical(value) in values for value in found or [None])


def read_intent(document: Any) -> Intent:
    """The intent in a client's `_meta`. Raises `BadIntent`."""
    if not isinstance(document, dict) or not document or document.keys() - {"task", "tools"}:
        raise BadIntent("it is an object with task, tools, or both")
    task = document.get("task")
    if "task" in document and (not isinstance(task, str) or not task.strip()):
        raise BadIntent("task is a text")
    if isinstance(task, str) and len(task.encode()) > MAX_TASK_BYTES:
        raise BadIntent(f"task has at most {MAX_TASK_BYTES} bytes")
    tools = _tools(document["tools"]) if "tools" in document else None
    try:
        data = canonical(document)
    except (NotCanonical, UnicodeError):
        raise BadIntent("it has no canonical form") from None
    if len(data) > MAX_BYTES:
        raise BadIntent(f"it has at most {MAX_BYTES} bytes")
    return Intent(data, None if task is None else reading(iter((task,))), tools)


def _tools(document: Any) -> dict[str, Allowed]:
    if not isinstance(document, dict) or len(document) > MAX_TOOLS:
        raise BadIntent(f"tools is an object with at most {MAX_TOOLS} tool names")
    found: dict[str, Allowed] = {}
    for name, constraints in document.items():
        if not 0 < len(name) <= MAX_NAME_CHARS:
            raise BadIntent(f"a tool's name has 1 to {MAX_NAME_CHARS} characters")
        if not isinstance(constraints, dict) or len(constraints) > MAX_POINTERS:
            raise BadIntent(f"a tool's constraints are an object with at most {MAX_POINTERS} JSON pointers")
        found[name] = {_pointer(pointer): _allowed(values) for pointer, values in constraints.items()}
    return found


def _pointer(pointer: str) -> str:
    """RFC 6901, below the top: `/to`, `/to/*`. An escape is `~0` or `~1`."""
    well_escaped = all(part[:1] in ("0", "1") for part in pointer.split("~")[1:])
    if not pointer.startswith("/") or len(pointer) > MAX_POINTER_CHARS or not well_escaped:
        raise BadIntent("a constraint names an argument by a JSON pointer such as /to")
    return pointer


def _allowed(values: Any) -> tuple[bytes, ...]:
    if not isinstance(values, list) or not 0 < len(values) <= MAX_ALLOWED:
        raise BadIntent(f"a constraint lists 1 to {MAX_ALLOWED} values")
    if any(isinstance(value, dict | list) for value in values):
        raise BadIntent("a value that a constraint allows is a text, a number, true, false or null")
    try:
        return tuple(canonical(value) for value in values)
    except NotCanonical:
        raise BadIntent("a value that a constraint allows has no canonical form") from None
