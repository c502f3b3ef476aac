"""JSON with comments and trailing commas (as VS Code reads it), with the place of every value, and edits of its text.

An edit changes the text at one place. Everything else stays byte for byte: comments, order, indentation, line ends.
"""

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from gateway.adapters.clients.document import Malformed

MAX_DEPTH = 64

_SKIPPED = (" ", "\t", "\r", "\n", "/")
_BLANK = re.compile(r"[ \t\r\n]+")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\.)*"')
_SCALAR = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|true|false|null")
_LINE_REST = re.compile(r"[ \t]*(?:/\*[^\r\n]*?\*/[ \t]*)*(?://[^\r\n]*)?")
_LINE_END = re.compile(r"[ \t]*\r?\n")
_INDENT = re.compile(r"[ \t]*")


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place: `text[start:end]`. `items` are the members of an object or the elements of an array."""

    start: int
    end: int
    value: Any
    items: "tuple[Item, ...]" = ()
    comma: bool = False

    @property
    def is_object(self) -> bool:
        return isinstance(self.value, dict)

    def member(self, name: str) -> "Item | None":
        """The member of that name."""
        return next((item for item in self.items if item.name == name), None)


@dataclass(frozen=True, slots=True)
class Item:
    """A member with its name, or an element without one. `start` is that of the name; `comma` the place of the one after."""

    name: str | None
    start: int
    node: Node
    comma: int | None


def parse(text: str, *, comments: bool = True) -> Node:
    """The value of a whole text. Raises `Malformed`: also for repeated names, deep nesting, comments where none may be."""
    reader = _Reader(text, comments)
    place = reader.skip(1 if text.startswith("\ufeff") else 0)
    node = reader.value(place, 0)
    if reader.skip(node.end) != len(text):
        raise reader.malformed("something follows the value", reader.skip(node.end))
    return node


@dataclass(frozen=True, slots=True)
class _Reader:
    text: str
    comments: bool

    def skip(self, place: int) -> int:
        """Past blanks and comments."""
        while self.text[place : place + 1] in _SKIPPED:
            if match := _BLANK.match(self.text, place):
                place = match.end()
            elif match := _COMMENT.match(self.text, place):
                if not self.comments:
                    raise self.malformed("a comment cannot stand in this file", place)
                place = match.end()
            else:
                break
        return place

    def value(self, place: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise self.malformed(f"nested deeper than {MAX_DEPTH} levels", place)
        sign = self.text[place : place + 1]
        if sign == "{" or sign == "[":
            return self._collection(place, depth, named=sign == "{")
        if sign == '"':
            text, end = self._string(place)
            return Node(place, end, text)
        if match := _SCALAR.match(self.text, place):
            return Node(place, match.end(), json.loads(match[0]))
        raise self.malformed("a value is missing" if sign else "the text ends too early", place)

    def _collection(self, start: int, depth: int, *, named: bool) -> Node:
        close = "}" if named else "]"
        items: list[Item] = []
        names: set[str] = set()
        place = self.skip(start + 1)
        comma = False
        while self.text[place : place + 1] != close:
            if items and not comma:
                raise self.malformed(f"a comma or {close} is missing", place)
            at, name = place, None
            if named:
                name, place = self._name(place, names)
            node = self.value(place, depth + 1)
            place = self.skip(node.end)
            comma = self.text[place : place + 1] == ","
            items.append(Item(name, at, node, place if comma else None))
            if comma:
                place = self.skip(place + 1)
        if comma and not self.comments:
            raise self.malformed(f"a comma cannot stand before {close} in this file", place)
        value: Any = {item.name: item.node.value for item in items} if named else [item.node.value for item in items]
        return Node(start, place + 1, value, tuple(items), comma)

    def _name(self, place: int, names: set[str]) -> tuple[str, int]:
        if self.text[place : place + 1] != '"':
            raise self.malformed("a name in quotes is missing", place)
        name, end = self._string(place)
        if name in names:
            raise self.malformed("a name stands twice", place)
        names.add(name)
        colon = self.skip(end)
        if self.text[colon : colon + 1] != ":":
            raise self.malformed("a colon is missing", colon)
        return name, self.skip(colon + 1)

    def _string(self, place: int) -> tuple[str, int]:
        match = _STRING.match(self.text, place)
        if match is None:
            raise self.malformed("a text does not end, or a line break stands in it", place)
        if "\\" not in match[0]:
            return match[0][1:-1], match.end()
        try:
            return str(json.loads(match[0])), match.end()
        except ValueError as error:
            raise self.malformed("an escape in a text means nothing", place) from error

    def malformed(self, problem: str, place: int) -> Malformed:
        return malformed(self.text, problem, place)


def malformed(text: str, problem: str, place: int) -> Malformed:
    """The fault at a place of `text`."""
    before = text[:place]
    return Malformed(problem, before.count("\n") + 1, place - before.rfind("\n"))


def replaced(text: str, item: Item, value: Any, unit: str) -> str:
    """With `value` in the place of an item's value."""
    rendered = _rendered(text, value, _indent_at(text, item.start), unit)
    return text[: item.node.start] + rendered + text[item.node.end :]


def inserted(text: str, inside: Node, name: str | None, value: Any, unit: str) -> str:
    """With a new last item in a collection: a member of that name, or an element."""
    lead = "" if name is None else f"{json.dumps(name, ensure_ascii=False)}: "
    newline = _newline(text)
    if not inside.items:
        base = _indent_at(text, inside.start)
        item = newline + base + unit + lead + _rendered(text, value, base + unit, unit)
        within = text[inside.start + 1 : inside.end - 1]
        rest = within if within.strip() else newline + base
        return text[: inside.start + 1] + item + rest + text[inside.end - 1 :]
    last = inside.items[-1]
    end = last.node.end if last.comma is None else last.comma + 1
    if "\n" not in text[inside.start : last.start]:
        added = f"{lead}{_compact(value)}"
        return text[:end] + (f", {added}" if last.comma is None else f" {added},") + text[end:]
    indent = _indent_at(text, last.start)
    item = newline + indent + lead + _rendered(text, value, indent, unit)
    place = _line_rest(text, end)
    if last.comma is not None:
        return text[:place] + item + "," + text[place:]
    return text[:end] + "," + text[end:place] + item + text[place:]


def removed(text: str, inside: Node, item: Item) -> str:
    """Without an item. Comments before it and after it stay."""
    start, end = item.start, item.node.end if item.comma is None else item.comma + 1
    line, tail = text.rfind("\n", 0, start) + 1, _LINE_END.match(text, end)
    if tail is not None and not text[line:start].strip(" \t"):
        start, end = line, tail.end()
    elif item.comma is not None:
        end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    before = text[:start]
    if item.comma is None and item is not inside.items[0]:
        comma = next(one.comma for one, next_one in pairwise(inside.items) if next_one is item)
        if comma is not None:  # the one before it must not be left at the end
            between = text[comma + 1 : start]
            before = text[:comma] + (between if between.strip(" \t") else "")
    shorter = before + text[end:]
    if len(inside.items) == 1:
        close = inside.end - 1 - (len(text) - len(shorter))
        if not shorter[inside.start + 1 : close].strip():
            shorter = shorter[: inside.start + 1] + shorter[close:]
    return shorter


def indent_unit(text: str, root: Node) -> str:
    """What one level is indented by, as the first member of the root shows; two spaces where nothing shows it."""
    for item in root.items[:1]:
        line = text.rfind("\n", 0, item.start) + 1
        indent = text[line : item.start]
        if line > root.start and indent and not indent.strip(" \t"):
            return indent
    return "  "


def _rendered(text: str, value: Any, indent: str, unit: str) -> str:
    """`value` over several lines, all but the first indented; lists of scalars and empty things on one."""
    return _lines(value, indent, unit, _newline(text))


def _lines(value: Any, indent: str, unit: str, newline: str) -> str:
    if isinstance(value, dict) and value:
        inner = indent + unit
        members = (f"{inner}{_compact(key)}: {_lines(one, inner, unit, newline)}" for key, one in value.items())
        return "{" + newline + f",{newline}".join(members) + newline + indent + "}"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line_rest(text: str, place: int) -> int:
    """Past what follows on the line: blanks and comments."""
    match = _LINE_REST.match(text, place)
    end = place if match is None else match.end()
    return place + len(text[place:end].rstrip(" \t"))


def _indent_at(text: str, place: int) -> str:
    """The indentation of the line of that place."""
    line = text.rfind("\n", 0, place) + 1
    match = _INDENT.match(text, line)
    return "" if match is None else match[0]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
