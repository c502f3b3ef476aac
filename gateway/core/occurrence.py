"""Whether a value occurs in a text: strict enough that a policy can rely on a yes.

Both sides are brought to one form: NFC, lower case, white space collapsed. In it a mark stands at every edge of every token,
so that a value occurs only as whole tokens: `smith@bank.example` does not occur in `john.smith@bank.example`, nor 50 in 500.
What runs is the value, not its form. So nothing looser is done to either, such as to take ß for ss or ² for 2: a value that
NFKC would change, or with white space around it, occurs nowhere.

* a token ends at white space, and at a comma that is not between two digits
* quotes, brackets and currency signs around it, what ends a sentence, and `'s` have an edge of their own; within a token
  they are part of it: `/tmp/` does not occur in `/tmp/{id}`
* a number occurs where a token is the same decimal number; commas group its thousands beside a currency sign or before
  decimals: 1,000.50 is 1000.5. Elsewhere 100,200 may be two numbers, and is none
* an ISO date also occurs where its month is written as an English word: May 15th, 2024. Nothing else is converted
* of a text that is too long only whole tokens are kept: half a token would be another value
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from gateway.core.echo import Repeated

MAX_CHARS = 64 * 1024  # of one reading, and of a value that is looked for
PIECE_BYTES = 100  # a short string and its place in a set

_EDGE = "\x1f"  # white space to Python, so it is in no collapsed text
_BETWEEN = "\x1e"  # likewise: nothing that is looked for reaches over it
_TOKEN = re.compile(r"(?:[^\s,]|(?<=[0-9]),(?=[0-9]))+")
_CURRENCY = "$€£¥₹"
_BEFORE = _CURRENCY + "\"'`“‘„‚«‹<([{"
_AFTER = _CURRENCY + "\"'`”’“‘»›>)]}.:;!?…"
_APOSTROPHES = ("'", "’")
_POSSESSIVE = tuple(f"{mark}s" for mark in _APOSTROPHES)
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")
_BEGINS_NUMBER = frozenset("0123456789+-")
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MAX_NUMBER_CHARS = 40
_MONTHS = tuple(
    "january february march april may june july august september october november december".split()  # noqa: SIM905
)


@dataclass(slots=True)
class Reading:
    """Text in which values can be looked for.

    `pieces` are what stands between two edges in it, `numbers` those of its tokens that are one. A value is in `marked` only
    where all its pieces are among these, so that most of what is not there is not searched for.
    """

    marked: str = ""
    pieces: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return len(self.marked) + PIECE_BYTES * (len(self.pieces) + len(self.numbers))

    def add(self, other: "Reading") -> None:
        """Put another text beside this one: no value reaches from one into the other."""
        self.marked = f"{self.marked}{_BETWEEN}{other.marked}"
        self.pieces |= other.pieces
        self.numbers |= other.numbers

    def holds(self, value: "Sought") -> bool:
        """Whether the value occurs."""
        if value.number is not None and value.number in self.numbers:
            return True
        return any(one.pieces <= self.pieces and one.marked in self.marked for one in value.spellings)


@dataclass(frozen=True, slots=True)
class Sought:
    """A value as it is looked for: each of its spellings read like a text, and its number where it is one."""

    spellings: tuple[Reading, ...] = ()
    number: str | None = None


NOTHING = Sought()


def reading(texts: Iterator[str], repeated: Repeated | None = None) -> Reading:
    """What can be looked for in these texts. Tokens that `repeated` holds are not the texts' own, and left out."""
    marked: list[str] = []
    found = Reading()
    left = MAX_CHARS
    for text in texts:
        form = _beginning(_form(_beginning(text, left)), left)
        left -= len(form) + 1
        marked.append(_read(form, found, repeated))
        if left <= 0:
            break
    found.marked = _BETWEEN.join(marked)
    return found


def sought(value: Any) -> Sought:
    """How a string or a number is looked for. True, false and null, and texts without a token, occur nowhere."""
    if type(value) in (int, float):
        number = _decimal(Decimal(repr(value)))
        return NOTHING if number is None else Sought(number=number)
    if not isinstance(value, str) or len(value) > MAX_CHARS or value != value.strip():
        return NOTHING
    if not value.isascii() and unicodedata.normalize("NFKC", value) != value:
        return NOTHING
    form = _form(value)
    if len(form) > MAX_CHARS or not any(_parts(match[0])[1] for match in _TOKEN.finditer(form)):
        return NOTHING
    spellings = [_spelling(form)]
    if _ISO_DATE.fullmatch(form):
        spellings += map(_spelling, _written_dates(form))
    number = _decimal(Decimal(form)) if _PLAIN_NUMBER.fullmatch(form) and len(form) <= _MAX_NUMBER_CHARS else None
    return Sought(tuple(spellings), number)


def count_tokens(texts: Iterator[str], most: int) -> int:
    """How many words these texts have, counted up to one more than `most`."""
    count = 0
    for text in texts:
        count += len(text.split(maxsplit=most + 1))
        if count > most:
            return most + 1
    return count


def texts_of(document: Any, *, raw: bool = False) -> Iterator[str]:
    """Each text, name and number in a JSON document, in order; of a text that is a JSON object or array, what is in it.

    `raw`: beside what is in it, such a text as it is.
    """
    waiting = [(document, True)]
    while waiting:
        value, opens = waiting.pop()
        if isinstance(value, str):
            inner = _as_json(value) if opens else None  # once: what is in it stays text
            if inner is None or raw:
                yield value
            if inner is not None:
                waiting.append((inner, False))
        elif isinstance(value, dict):
            yield from value
            waiting.extend((member, opens) for member in reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend((element, opens) for element in reversed(value))
        elif type(value) in (int, float, Decimal):
            number = _decimal(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))
            if number is not None:
                yield number


def _as_json(text: str) -> Any:
    """What a text that is JSON of an object or array stands for, its numbers as they are written; None where it is none, or
    not one that every reader takes for the same."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(
            text, parse_int=Decimal, parse_float=Decimal, parse_constant=_no_number, object_pairs_hook=_each_name_once
        )
    except (ValueError, ArithmeticError, RecursionError):  # Decimal refuses an exponent of many digits
        return None


def _each_name_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a name occurs twice")
    return found


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _beginning(text: str, most: int) -> str:
    """At most so many characters, without a token that would be cut."""
    if len(text) <= most:
        return text
    kept = text[: max(most, 0)]
    space = max(kept.rfind(char) for char in " \n\t\r")
    return kept[: space + 1]


def _form(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = " ".join(text.lower().split())
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _spelling(form: str) -> Reading:
    found = Reading()
    found.marked = _read(form, found)
    return found


def _read(form: str, found: Reading, repeated: Repeated | None = None) -> str:
    """The form with its edges marked; pieces and numbers go to `found`."""
    parts: list[str] = []
    done = 0
    for match in _TOKEN.finditer(form):
        token = match[0]
        before, core, after = _parts(token)
        parts.append(form[done : match.start()])
        done = match.end()
        if repeated is not None and core and repeated.holds(core):
            parts.append(_BETWEEN)
            continue
        if core and core[0] in _BEGINS_NUMBER:
            number = _number(core, (*before, *after) if "," in core else ())
            if number is not None:
                found.numbers.add(number)
        if core == token:
            found.pieces.add(core)
            parts.append(f"{_EDGE}{core}{_EDGE}")
        else:
            pieces = (*before, core, *after)
            found.pieces.update(pieces)
            parts.append(f"{_EDGE}{_EDGE.join(pieces)}{_EDGE}")
    parts.append(form[done:])
    return "".join(parts)


def _parts(token: str) -> tuple[str, str, tuple[str, ...]]:
    """What stands before a token's core, each character by itself; the core; what stands after it, likewise."""
    if token[0].isalnum() and token[-1].isalnum() and token[-2:-1] not in _APOSTROPHES:
        return "", token, ()
    bare = token.lstrip(_BEFORE)
    core = bare.rstrip(_AFTER)
    after = tuple(bare[len(core) :])
    if core.endswith(_POSSESSIVE) and len(core) > len(_POSSESSIVE[0]):
        core, after = core[:-2], (core[-2:], *after)
    return token[: len(token) - len(bare)], core, after


def _number(core: str, around: tuple[str, ...]) -> str | None:
    """The number that a token is. `around`: what stands at a core with commas; a currency sign says that they group."""
    if len(core) > _MAX_NUMBER_CHARS or _NUMBER.fullmatch(core) is None:
        return None
    if "," in core and "." not in core and not any(char in _CURRENCY for char in around):
        return None
    return _decimal(Decimal(core.replace(",", "")))


def _decimal(number: Decimal) -> str | None:
    """The one form of a number; None where it is too long to be written out."""
    if not number.is_finite() or abs(number.adjusted()) > _MAX_NUMBER_CHARS:
        return None
    text = format(number, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _written_dates(iso: str) -> Iterator[str]:
    try:
        day = date.fromisoformat(iso)
    except ValueError:
        return
    month = _MONTHS[day.month - 1]
    suffix = "th" if day.day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    for name in {month, month[:3], *(["sept"] if day.month == 9 else [])}:
        for number in (str(day.day), f"{day.day}{suffix}"):
            yield f"{name} {number}, {day.year}"
            yield f"{name} {number} {day.year}"
            yield f"{number} {name} {day.year}"
            yield f"{number} of {name} {day.year}"
