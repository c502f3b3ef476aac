"""What of a call's values may be stored: a copy with what is secret taken out (docs/decisions/0014).

Secret is what the tool's schema marks (`sensitive.py`) and what has a known secret format (`secret_formats.py`). Only the
copy is redacted: what runs, what policy sees and what the live caller gets is the value itself. A result may repeat a
sensitive argument, so such values are taken out of the stored result, wherever they stand in it. One of fewer than four
characters stands in any text, so it is taken out only where it is a whole value: a string or number of the result, or of
what looks like JSON within a text.
"""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.core.secret_formats import may_hold_secret, redacted, without_secrets
from gateway.core.sensitive import SensitiveFields, Spot, sensitive_fields

SENSITIVE = "sensitive"
MARK = redacted(SENSITIVE)
MIN_REPEATED_CHARS = 4  # shorter ones stand in any text: only a whole value counts
MAX_REPEATED = 64
_HOLE = "\udfff"  # in no JSON text, so no value to take out is found in what stands for another


@dataclass(frozen=True, slots=True)
class Redacted:
    """A value with secrets replaced; `kinds` names what was taken out, sorted."""

    value: Any
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Redaction:
    """The marks of one pinned tool definition, and what follows from them. None: the schema has no marks."""

    arguments: SensitiveFields | None
    result: SensitiveFields | None

    def of_arguments(self, arguments: dict[str, Any], data: bytes) -> Redacted | None:
        """The arguments as they may be stored; None where that is just as they are. `data` is their JSON."""
        if self.arguments is None and not may_hold_secret(data):
            return None
        return _redacted(arguments, None if self.arguments is None else self.arguments.top)

    def hidden_places(self, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
        """The values that marks hide, each with its pointer."""
        return [] if self.arguments is None else list(_sensitive_places(arguments, self.arguments.top, ""))

    def of_argument(self, name: str, value: Any) -> Redacted | None:
        """One of the arguments as it may be stored; None where that is just as it is."""
        if self.arguments is None:
            return _redacted(value, None)
        top = self.arguments.top
        return _redacted(value, top if top.sensitive else top.member(name))

    def repeated_values(self, arguments: dict[str, Any]) -> tuple[str, ...]:
        """The sensitive values among the arguments that a result may repeat, as texts, the longest first."""
        if self.arguments is None:
            return ()
        found = {text for text in _sensitive_texts(arguments, self.arguments.top) if text.strip()}
        return tuple(sorted(found, key=len, reverse=True))

    def of_result(self, result: dict[str, Any], data: bytes, repeated: tuple[str, ...]) -> Redacted | None:
        """An MCP result as it may be stored; None where that is just as it is. `data` is its JSON.

        Of a result whose schema has marks, only `structuredContent` is understood: its redacted JSON becomes the content.
        """
        if len(repeated) > MAX_REPEATED:
            return hidden_result(result)
        if self.result is None:
            return _redacted(result, None, repeated) if repeated or may_hold_secret(data) else None
        if "structuredContent" not in result:
            return hidden_result(result)
        structured = result["structuredContent"]
        found = _redacted(structured, self.result.top, repeated)
        value = structured if found is None else found.value
        document = {"content": [_text(orjson.dumps(value).decode())], "structuredContent": value, **_is_error(result)}
        return Redacted(document, tuple(sorted({SENSITIVE, *(found.kinds if found else ())})))

    def of_told_result(self, result: dict[str, Any], data: bytes) -> Redacted | None:
        """The same for a result that the tool itself did not answer: the sensitive arguments are not there any more."""
        return self.of_result(result, data, ()) if self.arguments is None else hidden_result(result)

    @classmethod
    def of_definition(cls, document: dict[str, Any]) -> "Redaction":
        """What a tool definition's schemas mark."""
        return cls(sensitive_fields(document.get("inputSchema")), sensitive_fields(document.get("outputSchema")))


def _redacted(value: Any, spot: Spot | None, repeated: tuple[str, ...] = ()) -> Redacted | None:
    walk = _Walk(repeated)
    copy = walk.copy(value, spot)
    return Redacted(copy, tuple(sorted(walk.kinds))) if walk.kinds else None


def moved_pointers(original: Any, copy: Any) -> dict[str, str]:
    """What became of places whose pointer is another one in the redacted copy: those with a redacted name, and whatever was
    below a value that is redacted as a whole. A place below one that is named moved with it (`moved`)."""
    found: dict[str, str] = {}
    _note_moved(original, copy, "", "", found)
    return found


def _note_moved(value: Any, shown: Any, pointer: str, told: str, found: dict[str, str]) -> None:
    if isinstance(value, dict) and isinstance(shown, dict):
        for (name, member), (told_name, told_member) in zip(value.items(), shown.items(), strict=True):
            below, told_below = f"{pointer}/{_token(name)}", f"{told}/{_token(told_name)}"
            if told_name != name:
                found[below] = told_below
            _note_moved(member, told_member, below, told_below, found)
    elif isinstance(value, list) and isinstance(shown, list):
        for index, (element, told_element) in enumerate(zip(value, shown, strict=True)):
            _note_moved(element, told_element, f"{pointer}/{index}", f"{told}/{index}", found)
    elif isinstance(value, dict | list):
        found[pointer + "/"] = told


def moved(pointer: str, found: Mapping[str, str]) -> str:
    """Where the place at `pointer` is in the redacted copy, or what it is a part of there."""
    above = pointer
    while above:
        if above in found:
            return found[above] + pointer[len(above) :]
        above = above.rpartition("/")[0]
        if above + "/" in found:
            return found[above + "/"]
    return pointer


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def hidden_result(result: dict[str, Any]) -> Redacted:
    """A result of which nothing may be stored but whether it is an error."""
    return Redacted({"content": [_text(MARK)], **_is_error(result)}, (SENSITIVE,))


def redacted_text(text: str, repeated: tuple[str, ...]) -> str:
    """`text` without these values and without secrets of known formats."""
    return str(_Walk(repeated).copy(text, None))


class _Walk:
    """One copying of a value. Depth is bounded by the parser (`wire.MAX_DEPTH`)."""

    def __init__(self, repeated: Iterable[str]) -> None:
        self.kinds: set[str] = set()
        texts = tuple(repeated)
        long = (text for text in texts if len(text) >= MIN_REPEATED_CHARS)
        self._repeated = dict.fromkeys(spelled for text in long for spelled in _spellings(text))
        self._short = frozenset(text for text in texts if len(text) < MIN_REPEATED_CHARS)
        self._in_json = _whole_in_json(self._short) if self._short else None

    def copy(self, value: Any, spot: Spot | None) -> Any:
        if spot is not None and spot.sensitive:
            self.kinds.add(SENSITIVE)
            return MARK
        if isinstance(value, str):
            return self._whole() if value in self._short or value.strip() in self._short else self._text(value)
        if isinstance(value, dict):
            members: dict[str, Any] = {}
            names = FreeNames(members)
            for name, member in value.items():
                members[names.free(self._text(name))] = self.copy(member, spot and spot.member(name))
            return members
        if isinstance(value, list):
            return [self.copy(element, spot and spot.element(index)) for index, element in enumerate(value)]
        if type(value) in (int, float) and (self._repeated or self._short):
            written = orjson.dumps(value).decode()
            if written in self._repeated or written in self._short:
                return self._whole()
        return value

    def _whole(self) -> str:
        self.kinds.add(SENSITIVE)
        return MARK

    def _text(self, text: str) -> str:
        if self._repeated and len(text) >= MIN_REPEATED_CHARS:
            for secret in self._repeated:
                if secret in text:
                    self.kinds.add(SENSITIVE)
                    text = text.replace(secret, _HOLE)
            text = text.replace(_HOLE, MARK)
        if self._in_json is not None:
            text, found = self._in_json.subn(_marked, text)
            if found:
                self.kinds.add(SENSITIVE)
        text, kinds = without_secrets(text)
        self.kinds.update(kinds)
        return text


def _sensitive_places(value: Any, spot: Spot, pointer: str) -> Iterable[tuple[str, Any]]:
    if spot.sensitive:
        yield pointer, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _sensitive_places(member, spot.member(name), f"{pointer}/{_token(name)}")
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _sensitive_places(element, spot.element(index), f"{pointer}/{index}")


def _sensitive_texts(value: Any, spot: Spot) -> Iterable[str]:
    """Strings and numbers under a sensitive spot."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _sensitive_texts(member, spot if spot.sensitive else spot.member(name))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _sensitive_texts(element, spot if spot.sensitive else spot.element(index))
    elif spot.sensitive and isinstance(value, str):
        yield value
    elif spot.sensitive and value is not None and not isinstance(value, bool):
        yield orjson.dumps(value).decode()


def _spellings(text: str) -> Iterable[str]:
    """As it is, and as it stands in JSON within a text."""
    yield text
    yield orjson.dumps(text).decode()[1:-1]


def _whole_in_json(texts: frozenset[str]) -> re.Pattern[str]:
    """Finds these as whole values of JSON within a text: as strings, which may be escaped, and as numbers; not as names."""
    any_of = "|".join(sorted({re.escape(spelled) for text in texts for spelled in _spellings(text)}))
    quoted = rf"""(?P<quote>(?<!\\)\\*")(?:{any_of})(?P<end>\\*")(?!\s*:)"""  # at the first backslash only
    return re.compile(rf"""{quoted}|(?P<before>[:\[,]\s*)(?:{any_of})(?=\s*[,\]}}])""")


def _marked(found: re.Match[str]) -> str:
    if found["quote"] is not None:
        return f"{found['quote']}{MARK}{found['end']}"
    return f'{found["before"]}"{MARK}"'


class FreeNames:
    """Names for members of an object of which several may be redacted to the same. Linear: no number is tried twice."""

    def __init__(self, taken: Container[str]) -> None:
        self._taken = taken
        self._counts: dict[str, int] = {}

    def free(self, name: str) -> str:
        """`name`, or with a number where that one is taken."""
        free, count = name, self._counts.get(name, 1)
        while free in self._taken:
            count += 1
            free = f"{name} {count}"
        self._counts[name] = count
        return free


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _is_error(result: dict[str, Any]) -> dict[str, Any]:
    return {"isError": result["isError"]} if "isError" in result else {}
