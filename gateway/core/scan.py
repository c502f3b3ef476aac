"""Characters that a person does not see, or that a terminal obeys: found in definitions, made visible in results.

An attacker hides orders to a model in them, or makes a text read differently from what it is. These are such:

* Cc but tab, line feed and carriage return (so the escapes of ANSI), Cf (zero width, bidi controls, tags), Cs, Co, Cn
* variation selectors and what else Unicode says to ignore (Default_Ignorable_Code_Point), and blank letters

An emoji's own use of them stays as it is: one variation selector 15 or 16 after a symbol, a zero-width joiner between two
symbols. A visible form is `\\u{200b}`: the code point in hexadecimal.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

MAX_TOLD = 16

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
_PLAIN_CONTROLS = frozenset("\t\n\r")
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_EMOJI_SELECTORS = frozenset("\ufe0e\ufe0f")
_JOINER = "\u200d"
_KEYCAP = "\u20e3"
_SYMBOLS = frozenset({"So", "Sm", "Sk"})


@lru_cache(maxsize=4096)
def is_hidden(char: str) -> bool:
    """Whether one character is of the kinds above, wherever it stands."""
    if char in _PLAIN_CONTROLS:
        return False
    code = ord(char)
    selects = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    return selects or char in _BLANK or unicodedata.category(char) in _CATEGORIES


def hidden_in(text: str) -> Iterator[tuple[int, str]]:
    """The hidden characters of a text, each with its place."""
    if text.isascii() and text.isprintable():
        return
    if not any(is_hidden(char) for char in set(text)):
        return
    for place, char in enumerate(text):
        if is_hidden(char) and not _is_emoji_use(text, place):
            yield place, char


def visible(text: str) -> str:
    """`text` with its hidden characters made visible."""
    parts: list[str] = []
    done = 0
    for place, char in hidden_in(text):
        parts += [text[done:place], f"\\u{{{ord(char):x}}}"]
        done = place + 1
    return text if not parts else "".join([*parts, text[done:]])


def code_point(char: str) -> str:
    """Its name in text: `U+200B`."""
    return f"U+{ord(char):04X}"


def hidden_at(document: Any) -> tuple[str, str] | None:
    """The first hidden character in a JSON document: the JSON pointer of its text, made visible, and its code point."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        pointer, value = waiting.pop()
        if isinstance(value, str):
            for _, char in hidden_in(value):
                return visible(pointer) or "/", code_point(char)
        elif isinstance(value, dict):
            for name, member in value.items():
                below = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
                for _, char in hidden_in(name):
                    return visible(below), code_point(char)
                waiting.append((below, member))
        elif isinstance(value, list):
            waiting.extend((f"{pointer}/{index}", element) for index, element in enumerate(value))
    return None


class Scan:
    """Makes the texts of one JSON document visible; `found` are the code points that were hidden in it, sorted."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    @property
    def found(self) -> tuple[str, ...]:
        return tuple(sorted(self._found))[:MAX_TOLD]

    def of(self, document: Any) -> Any:
        """The document itself where nothing in it is hidden, else a copy. Depth is bounded by the parser."""
        if isinstance(document, str):
            return self._text(document)
        if isinstance(document, list):
            elements = [self.of(element) for element in document]
            return elements if any(new is not old for new, old in zip(elements, document, strict=True)) else document
        if isinstance(document, dict):
            members: dict[str, Any] = {}
            for name, member in document.items():
                shown = self._text(name)
                while shown in members:
                    shown += "'"
                members[shown] = self.of(member)
            same = all(new is old for new, old in zip(members.values(), document.values(), strict=True))
            return document if same and members.keys() == document.keys() else members
        return document

    def _text(self, text: str) -> str:
        hidden = {char for _, char in hidden_in(text)}
        if not hidden:
            return text
        self._found.update(map(code_point, hidden))
        return visible(text)


def _is_emoji_use(text: str, place: int) -> bool:
    before = text[place - 1] if place else ""
    after = text[place + 1 : place + 2]
    if text[place] in _EMOJI_SELECTORS:
        return _is_symbol(before) or (before in frozenset("#*0123456789") and after == _KEYCAP)
    if text[place] == _JOINER:
        joined = before in _EMOJI_SELECTORS and place > 1 and _is_symbol(text[place - 2])
        return (joined or _is_symbol(before)) and _is_symbol(after)
    return False


def _is_symbol(char: str) -> bool:
    return len(char) == 1 and unicodedata.category(char) in _SYMBOLS and char not in _BLANK and not char.isascii()
