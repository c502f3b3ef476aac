"""Changes to the settings of a policy folder, made in the text of its `data.json` files: all else stays as it is.

Nothing is written here: the outcome is the new text, and a unified diff that `patch -p1` and `git apply` take.
"""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import assert_never

from gateway.adapters.policy.signature import DATA_FILE
from gateway.core.errors import ConfigError
from gateway.core.lifts import SETTINGS, Copied, Edit, Longer, Number, Place
from gateway.core.shown import shown_json

_SPACE = re.compile(r"[ \t\r\n]*")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")  # not `splitlines`, which ends lines at more characters than patch does
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_DECODER = json.JSONDecoder()
BY_HAND = "Change it by hand."


def edited(files: Mapping[str, bytes], edits: Iterable[Edit], path: Path) -> dict[str, str]:
    """The texts of the files that these edits change, by name. `files`: of the folder `path`, as its bundle was made of.

    Raises:
        ConfigError: no file has a place for an edit.
    """
    texts: dict[str, str] = {}
    for edit in edits:
        name, steps = _file(files, texts, edit.source if isinstance(edit, Copied) else edit.place, path)
        text = texts.get(name) or files[name].decode()
        match edit:
            case Longer(_, values):
                for value in values:
                    text = _longer(text, steps, value)
            case Number(_, value):
                text = _put(text, steps, shown_json(value))
            case Copied(_, called, member, value):
                if not steps:
                    raise ConfigError(f"{path / name}: holds one entry alone, and no place for another", hint=BY_HAND)
                entry = _put(_found(text, steps).text, (member,), shown_json(value))
                text = _put(text, (*steps[:-1], called), entry)
            case _:
                assert_never(edit)
        texts[name] = text
    return texts


def unified_diff(name: str, before: str, after: str) -> str:
    """What changes in the file `name`, whose path is taken from the folder that `patch -p1` is called in."""
    if _PLAIN.fullmatch(name) is None:
        raise ConfigError(f"{name}: a file of this name cannot be told to patch in one way", hint=BY_HAND)
    lines = difflib.unified_diff(_LINE.findall(before), _LINE.findall(after), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


@dataclass(frozen=True, slots=True)
class _Span:
    """A value in a text."""

    whole: str
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.whole[self.start : self.end]


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an object, or with no name an element of a list. It begins with its name, if it has one."""

    start: int
    name: str | None
    colon: str
    value: _Span


def _file(files: Mapping[str, bytes], texts: Mapping[str, str], place: Place, path: Path) -> tuple[str, Place]:
    """The file that holds the place, or what the place is missing in, and the keys that lead there in this file."""
    best: tuple[int, str, Place] | None = None
    for name in sorted(files):
        *folders, last = name.split("/")
        if last != DATA_FILE or place[: len(folders)] != tuple(folders):
            continue
        steps = place[len(folders) :]
        depth = len(folders) + _depth(texts.get(name) or files[name].decode(), steps)
        if best is None or depth > best[0]:
            best = depth, name, steps
    if best is None or best[0] < max(len(SETTINGS), len(place) - 1):
        raise ConfigError(
            f"{path}: no {DATA_FILE} has a place for the setting {'.'.join(place[len(SETTINGS) :])}",
            hint=f"{DATA_FILE} begins as the shipped one does: " + '{"sealgate": {"settings": {…}}}.',
        )
    return best[1], best[2]


def _depth(text: str, steps: Place) -> int:
    """How many of the steps lead somewhere in this text."""
    value = _top(text)
    for count, step in enumerate(steps):
        inside = _named(value, step)
        if inside is None:
            return count
        value = inside
    return len(steps)


def _longer(text: str, steps: Place, value: str) -> str:
    """The text with the value in the list at the place, once."""
    if _depth(text, steps) < len(steps):
        return _put(text, steps, f"[{shown_json(value)}]")
    listed = _found(text, steps)
    return text if value in json.loads(listed.text) else _added(listed, None, shown_json(value))


def _put(text: str, steps: Place, value: str) -> str:
    """The text with this value at the place, whose holder is there."""
    holder = _found(text, steps[:-1])
    old = _named(holder, steps[-1])
    if old is not None:
        return text[: old.start] + value + text[old.end :]
    return _added(holder, steps[-1], value)


def _added(holder: _Span, name: str | None, value: str) -> str:
    """The holder's whole text with one more member, set apart as the last ones are."""
    text, members = holder.whole, list(_members(holder))
    colon = members[-1].colon if members else ": "
    item = value if name is None else shown_json(name) + colon + value
    if not members:
        return text[: holder.start + 1] + item + text[holder.end - 1 :]
    between = [text[one.value.end : other.start] for one, other in pairwise(members)]
    lead = text[holder.start + 1 : members[0].start]
    apart = between[-1] if between else "," + (lead if "\n" in lead else " ")
    end = members[-1].value.end
    return text[:end] + apart + item + text[end:]


def _found(text: str, steps: Place) -> _Span:
    value = _top(text)
    for step in steps:
        inside = _named(value, step)
        if inside is None:
            raise ConfigError(f"the policy data has no {'.'.join(steps)}", hint=BY_HAND)
        value = inside
    return value


def _named(holder: _Span, name: str) -> _Span | None:
    if holder.whole[holder.start] != "{":
        return None
    return next((member.value for member in _members(holder) if member.name == name), None)


def _top(text: str) -> _Span:
    start = _skip(text, 0)
    return _Span(text, start, _end(text, start))


def _members(holder: _Span) -> Iterator[_Member]:
    """Of an object or a list, in the order of the text."""
    text, keyed = holder.whole, holder.whole[holder.start] == "{"
    at = _skip(text, holder.start + 1)
    while at < holder.end - 1:
        start, name, colon = at, None, ""
        if keyed:
            name, after = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, after) + 1)
            colon = text[after:at]
        end = _end(text, at)
        yield _Member(start, name, colon, _Span(text, at, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at


def _end(text: str, start: int) -> int:
    end: int = _DECODER.raw_decode(text, start)[1]
    return end


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()
