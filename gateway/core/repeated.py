"""Values that were taken out of a document, taken out of wherever else they stand in it.

A value of up to `MAX_SPELLED_CHARS` characters is found in any letter case and grouped by white space or hyphens, such as an
account number; a longer one as it is. Numbers are found as they are written.

The document is often hostile and can be large, so the work is bounded. All its texts are searched as one, once for each
value, by the search of the standard library, which takes linear time. No pattern is made of a value.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, islice
from typing import Any

from gateway.core.canonical import canonical
from gateway.core.redaction import FreeNames

MIN_REPEATED_CHARS = 4
MAX_SPELLED_CHARS = 128
MAX_SEARCHED_CHARS = 64 * 1024 * 1024
"""Values times characters: 64 values in a result of 1 MiB, a thousand in one of 64 KiB. A fraction of a second."""
MAX_FOUND = 100_000

_BETWEEN = "\udfff"  # stands in no JSON text: no value is found across two texts
_GROUPING = re.compile(r"[\s-]+")
_SIGNS = re.compile(r"[^\s-]+")
_SAME = str.maketrans({"İ": "i", "ſ": "s", "µ": "μ", "ẞ": "ß"})  # of the same length, unlike `casefold`


class TooMuch(Exception):
    """To look for all these values in this document would take too long."""


def without(document: Any, taken: Iterable[Any], mark: str) -> Any:
    """A copy of the document with `mark` for whatever stands in `taken`: texts, numbers, and names of members.

    Raises:
        TooMuch: see above; nothing of the document should leave.
    """
    sought = _Sought(_texts(list(taken), set()))
    if not sought.count:
        return document
    texts = _strings(document, [])
    joined = _BETWEEN.join(texts)
    if sought.count * len(joined) > MAX_SEARCHED_CHARS:
        raise TooMuch
    left = sought.replaced(joined, mark).split(_BETWEEN) if texts else []
    return _rebuilt(document, iter(left), sought, mark)


class _Sought:
    """The values to find: `spelled` without grouping and in one letter case, `exact` as they are."""

    def __init__(self, texts: set[str]) -> None:
        self._spelled: set[str] = set()
        self._exact: set[str] = set()
        for text in texts:
            signs = _folded(text)
            if len(text) > MAX_SPELLED_CHARS or len(signs) < MIN_REPEATED_CHARS:
                self._exact.add(text)
            else:
                self._spelled.add(signs)
        self.count = len(self._spelled) + len(self._exact)

    def is_number(self, written: str) -> bool:
        """Whether a number that is written so is one of the values."""
        return written in self._exact or _folded(written) in self._spelled

    def replaced(self, text: str, mark: str) -> str:
        """`text` with the mark for each of the values; for values that overlap, one mark. Raises `TooMuch`."""
        pieces, at = list[str](), 0
        spans = list(islice(chain(self._found_exactly(text), self._found_spelled(text)), MAX_FOUND + 1))
        if len(spans) > MAX_FOUND:
            raise TooMuch
        for start, end in _merged(spans):
            pieces += [text[at:start], mark]
            at = end
        return "".join([*pieces, text[at:]])

    def _found_exactly(self, text: str) -> Iterator[tuple[int, int]]:
        for value in self._exact:
            for start in _starts(text, value):
                yield start, start + len(value)

    def _found_spelled(self, text: str) -> Iterator[tuple[int, int]]:
        signs = _folded(text)
        every = ((start, start + len(value)) for value in self._spelled for start in _starts(signs, value))
        found = list(islice(every, MAX_FOUND + 1))
        if not found:
            return
        runs = [match.span() for match in _SIGNS.finditer(text)]
        ends = list(accumulate(end - start for start, end in runs))  # of each run, among the signs

        def place(sign: int) -> int:
            run = bisect_right(ends, sign)
            return runs[run][1] - (ends[run] - sign)

        for first, end in found:
            yield place(first), place(end - 1) + 1


def _folded(text: str) -> str:
    """Without grouping, in one letter case; but for the grouping as long as it was."""
    return _GROUPING.sub("", text).translate(_SAME).lower().replace("ς", "σ")  # lower() ends words with it


def _starts(text: str, value: str) -> Iterator[int]:
    at = text.find(value)
    while at >= 0:
        yield at
        at = text.find(value, at + len(value))


def _merged(spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """In order; those that overlap as one."""
    spans.sort()
    start = end = 0
    for first, last in spans:
        if first >= end:
            if end:
                yield start, end
            start = first
        end = max(end, last)
    if end:
        yield start, end


def _texts(value: Any, into: set[str]) -> set[str]:
    """The strings, names and numbers in what is taken out, as they would stand in another text."""
    if isinstance(value, dict):
        for name, member in value.items():
            _texts(name, into)
            _texts(member, into)
    elif isinstance(value, list):
        for element in value:
            _texts(element, into)
    elif value is not None and not isinstance(value, bool):
        text = value if isinstance(value, str) else _written(value)
        if len(text) >= MIN_REPEATED_CHARS:
            into.add(text)
    return into


def _written(number: float) -> str:
    return str(number) if isinstance(number, int) else canonical(number).decode()


def _strings(value: Any, into: list[str]) -> list[str]:
    """All texts of a document, names too, in the order of `_rebuilt`."""
    if isinstance(value, str):
        into.append(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            into.append(name)
            _strings(member, into)
    elif isinstance(value, list):
        for element in value:
            _strings(element, into)
    return into


def _rebuilt(value: Any, left: Iterator[str], sought: _Sought, mark: str) -> Any:
    if isinstance(value, str):
        return next(left)
    if isinstance(value, dict):
        members: dict[str, Any] = {}
        names = FreeNames(members)
        for member in value.values():
            name = names.free(next(left))
            members[name] = _rebuilt(member, left, sought, mark)
        return members
    if isinstance(value, list):
        return [_rebuilt(element, left, sought, mark) for element in value]
    if type(value) in (int, float) and sought.is_number(_written(value)):
        return mark
    return value
