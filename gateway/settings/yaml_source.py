"""A YAML 1.2 file as plain values, with the place of every one of them.

Rules, so that no file can cost much or mean something unseen:

* UTF-8, at most 1 MiB, no line longer than 64 KiB, one document
* no tags, no merge keys, no object construction; scalars follow the core schema (`scalars.py`)
* keys are text and stand once
* at most 20,000 values and 64 levels, aliases counted each time: a "billion laughs" file is refused before it unfolds

JSON is YAML 1.2; in a `.json` file tabs may indent as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml import events as parsed
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from gateway.settings.scalars import Scalar, core_value, whole_text

MAX_BYTES = 1 << 20
MAX_LINE = 1 << 16
MAX_NODES = 20_000
MAX_DEPTH = 64

Loc = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in the file, counted from 1."""

    line: int
    column: int


class Fault(NamedTuple):
    """What is wrong at a place, and what to write instead."""

    mark: Mark
    text: str


class Unreadable(Exception):
    """The file has no meaning: `fault` says where and why."""

    def __init__(self, mark: Mark, text: str) -> None:
        super().__init__(text)
        self.fault = Fault(mark, text)


@dataclass(slots=True)
class Node:
    """One value and its place. Aliased nodes are shared. `size` and `depth` are those of the unfolded value."""

    mark: Mark
    value: "Scalar | list[Node] | dict[str, Entry]"
    size: int = 1
    depth: int = 1

    def plain(self) -> Any:
        """The value as dict, list, str, int, float, bool and None."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


class Entry(NamedTuple):
    """A key's place and its value."""

    key_mark: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. `faults` are mistakes that do not keep the rest from being read: repeated keys."""

    root: Node
    faults: tuple[Fault, ...]

    def mark(self, loc: Loc, *, at_key: bool = False) -> Mark:
        """Where `loc` stands: its value, or its key; the nearest value around it where the file does not have it."""
        node = self.root
        mark = node.mark
        for part in loc:
            if isinstance(node.value, dict) and part in node.value:
                key_mark, node = node.value[str(part)]
                mark = key_mark if at_key else node.mark
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.mark
            else:
                return node.mark
        return mark


def parse_document(data: bytes, *, tabs: bool = False) -> Document | None:
    """The document in `data`, None where it holds nothing. `tabs`: it is JSON, which they may indent.

    Raises:
        Unreadable: a rule above is broken, or the bytes are not YAML.
    """
    if len(data) > MAX_BYTES:
        raise Unreadable(Mark(1, 1), f"the file is larger than {MAX_BYTES} bytes.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(_place(data[: error.start]), "this byte is not UTF-8. Save the file as UTF-8.") from error
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:  # the scanner takes quadratic time on some lines
            raise Unreadable(Mark(number, 1), f"the line is longer than {MAX_LINE} characters. Break it.")
    if tabs:
        text = text.replace("\t", " ")  # a JSON string holds no literal tab (RFC 8259 section 7): no value changes
    return _Builder().build(_events(text))


def _place(before: bytes | str) -> Mark:
    """The place after `before`."""
    lines = (before if isinstance(before, bytes) else before.encode()).split(b"\n")
    return Mark(len(lines), len(lines[-1].decode(errors="replace")) + 1)


def _events(text: str) -> Iterator[parsed.Event]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Mark(1, 1) if mark is None else Mark(mark.line + 1, mark.column + 1)
        raise Unreadable(place, _syntax(str(error.problem or error.context))) from error
    except ReaderError as error:
        place = _place(text[: error.position].encode(errors="replace"))
        raise Unreadable(place, "this character is not allowed in YAML. Remove it.") from error
    except (YAMLError, ValueError, OverflowError, LookupError, AttributeError, TypeError, AssertionError) as error:
        raise Unreadable(Mark(1, 1), f"not YAML: {printable(str(error))}.") from error  # the parser's own faults


def _syntax(problem: str) -> str:
    if "'\\t'" in problem:
        return "a tab cannot stand here in YAML. Use spaces."
    if problem.startswith("mapping values are not allowed"):
        return 'not YAML: a ":" stands where none can. Put text that holds ": " in quotes, and check the indentation.'
    return f"not YAML: {printable(problem)}."


def printable(text: str) -> str:
    """At most 120 characters of `text` on one line, with nothing in it that acts on a terminal."""
    line = " ".join(text.split())
    safe = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line[:120])
    return safe if len(line) <= 120 else safe + "…"


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet. `key` waits for its value."""

    mark: Mark
    value: list[Node] | dict[str, Entry]
    anchor: str | None
    size: int = 1
    depth: int = 1
    key: tuple[Mark, str] | None = None


@dataclass(slots=True)
class _Builder:
    """Builds nodes from events on its own stack, so that depth cannot overflow Python's."""

    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, Node] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    root: Node | None = None
    counted: int = 0

    def build(self, events: Iterator[parsed.Event]) -> Document | None:
        for event in events:
            mark = Mark(event.start_mark.line + 1, event.start_mark.column + 1)
            self._take(event, mark)
        if self.root is None or self.root.value is None:
            return None
        return Document(self.root, tuple(self.faults))

    def _take(self, event: parsed.Event, mark: Mark) -> None:
        if getattr(event, "tag", None) is not None:
            raise Unreadable(mark, "tags such as !this are not used here. Remove it.")
        match event:
            case parsed.DocumentStartEvent() if self.root is not None:
                raise Unreadable(mark, "a second document starts here. Write one document in a file.")
            case parsed.ScalarEvent():
                self._scalar(event, mark)
            case parsed.AliasEvent():
                node = self.anchors.get(event.anchor)
                if node is None:
                    raise Unreadable(mark, f"no value above is marked &{printable(event.anchor)}.")
                self._count(node.size, mark)
                self._attach(node, mark)
            case parsed.CollectionStartEvent():
                self._count(1, mark)
                if len(self.stack) >= MAX_DEPTH:
                    raise Unreadable(mark, f"nested deeper than {MAX_DEPTH} levels.")
                value: list[Node] | dict[str, Entry] = {} if isinstance(event, parsed.MappingStartEvent) else []
                self.stack.append(_Open(mark, value, event.anchor))
            case parsed.CollectionEndEvent():
                done = self.stack.pop()
                node = Node(done.mark, done.value, done.size, done.depth)
                self._attach(node, done.mark)
                if done.anchor is not None:
                    self.anchors[done.anchor] = node
            case _:
                pass

    def _scalar(self, event: parsed.ScalarEvent, mark: Mark) -> None:
        self._count(1, mark)
        parent = self.stack[-1] if self.stack else None
        try:
            text = whole_text(event.value)
            if parent is not None and isinstance(parent.value, dict) and parent.key is None:
                if text == "<<":
                    raise ValueError("merge keys (<<) are not part of YAML 1.2. Repeat the values.")
                parent.key = mark, text
                return
            node = Node(mark, text if event.style else core_value(text))
        except ValueError as error:
            raise Unreadable(mark, str(error)) from error
        self._attach(node, mark)
        if event.anchor is not None:
            self.anchors[event.anchor] = node

    def _count(self, size: int, mark: Mark) -> None:
        self.counted += size
        if self.counted > MAX_NODES:
            raise Unreadable(mark, f"more than {MAX_NODES} values, aliases counted each time they are used.")

    def _attach(self, node: Node, mark: Mark) -> None:
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if len(self.stack) + parent.depth > MAX_DEPTH + 2:
            raise Unreadable(mark, f"nested deeper than {MAX_DEPTH} levels.")
        if isinstance(parent.value, list):
            parent.value.append(node)
        elif parent.key is None:
            raise Unreadable(mark, "a key must be plain text.")
        else:
            (key_mark, key), parent.key = parent.key, None
            if key in parent.value:
                first = parent.value[key].key_mark.line
                self.faults.append(Fault(key_mark, f'the key "{printable(key)}" stands on line {first} already. Keep one.'))
            else:
                parent.value[key] = Entry(key_mark, node)
