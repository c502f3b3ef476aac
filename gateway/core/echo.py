"""What a run sent to tools, so that a trusted tool which repeats it teaches nothing by that.

Sent is what was not known when it was sent: who may make a tool say a value must not make it a known one. Forms are compared
generously here (NFKC, case folded, percent codes and JSON's escapes opened), since a yes only ever keeps a token from being
learned. A token of a result repeats what was sent where

* it is, or is a part of, what one call sent, its texts put together in their order
* it is a number, or holds nothing but one, whose digits were sent, with whatever sign
* it holds a token that was sent; of those that earlier calls sent only tokens that are more than one plain word: a word
  stands in many names
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from decimal import Decimal
from urllib.parse import unquote

MAX_SENT_CHARS = 64 * 1024
MAX_LOOKS = 100_000  # at one reading
MIN_WITHIN_CHARS = 4  # shorter texts stand within any other
INDEXED_CHARS = 4096  # less is searched as fast as it is looked up
GRAM_BYTES = 100  # a short string and its place in a set

_BETWEEN = "\x1e"
_PART = re.compile(r"[^\W_]+")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})|\\(.)", re.DOTALL)
_DIGITS = re.compile(r"[0-9]+(?:[.,][0-9]+)*")


def _unescaped(text: str) -> str:
    """With the escapes of JSON strings opened, wherever they stand."""
    opened = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else _CONTROLS.get(escape[2], escape[2]), text)
    return opened.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CODES: tuple[tuple[str, Callable[[str], str]], ...] = (("%", unquote), ("\\", _unescaped))


class Sent:
    """Texts that were sent. `full`: there were more than are kept, so any token may be one of them."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.joined = ""
        self.exact: set[str] = set()
        self.within: dict[str, set[str]] = {}  # by their first characters
        self._chars = 0
        self._grams: set[str] = set()
        self._indexed = 0  # so much of `joined` is in `_grams`

    @property
    def size(self) -> int:
        """About how many bytes of memory it takes."""
        return 8 * self._chars + GRAM_BYTES * len(self._grams)

    def add(self, texts: Iterable[str], *, words: bool = False) -> None:
        """One call's texts. `words`: plain words, too, are looked for within other tokens."""
        plain: list[str] = []
        opened: list[str] = []
        for text in texts:
            if self._chars + len(text) > MAX_SENT_CHARS:
                self._fill()
            if self.full:
                return
            self._chars += len(text)
            plain.extend(_folded(text).split())
            for marker, reveal in _CODES:
                if marker in text:
                    opened.extend(_folded(reveal(text)).split())
        for together in filter(None, ("".join(plain), "".join(opened))):
            self.joined += _BETWEEN + together
            self.exact.update(_numbers(together))
        for token in (*plain, *opened):
            core = _trimmed(token)
            self.exact.update((token, core, *_PART.findall(token), *_numbers(token)))
            if len(core) >= MIN_WITHIN_CHARS and (words or not core.isalpha()):
                self.within.setdefault(core[:MIN_WITHIN_CHARS], set()).add(core)

    def _fill(self) -> None:
        self.full = True
        self.joined, self._chars, self._indexed = "", 0, 0
        for kept in (self.exact, self.within, self._grams):
            kept.clear()

    def may_hold(self, grams: Iterable[str]) -> bool:
        """Whether a text may be a part of what was sent, told by its runs of characters (`_grams`): a no is certain."""
        if len(self.joined) <= INDEXED_CHARS:
            return True
        if self._indexed < len(self.joined):
            self._grams.update(_grams(self.joined[max(self._indexed - MIN_WITHIN_CHARS, 0) :]))
            self._indexed = len(self.joined)
        return self._grams.issuperset(grams)


class Repeated:
    """One result's tokens, looked up in what was sent within a bound of work: beyond it everything is as if it were
    repeated."""

    def __init__(self, *sent: Sent) -> None:
        self._sent = [one for one in sent if one.joined]
        self._left = 0 if any(one.full for one in sent) else MAX_LOOKS

    def holds(self, token: str) -> bool:
        """Whether a token repeats what was sent."""
        if self._left <= 0:
            return True
        if not self._sent:
            return False
        self._left -= 1
        form = _folded(token)
        core = _trimmed(form)
        numbers = _only_number(core)
        grams = _grams(form)
        for sent in self._sent:
            if core in sent.exact or form in sent.exact or not sent.exact.isdisjoint(numbers):
                return True
            if len(core) >= MIN_WITHIN_CHARS and sent.may_hold(grams if core == form else _grams(core)):
                self._left -= len(sent.joined) // 8192
                if core in sent.joined:
                    return True
            if not sent.within.keys().isdisjoint(grams) and self._stands_within(form, grams, sent.within):
                return True
        return False

    def _stands_within(self, form: str, grams: list[str], within: dict[str, set[str]]) -> bool:
        for start, gram in enumerate(grams):
            candidates = within.get(gram, ())
            self._left -= len(candidates)
            if self._left <= 0 or any(form.startswith(candidate, start) for candidate in candidates):
                return True
        return False


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _trimmed(token: str) -> str:
    """Without what is neither letter, digit nor low line at either end."""
    start, end = 0, len(token)
    while start < end and not (token[start].isalnum() or token[start] == "_"):
        start += 1
    while start < end and not (token[end - 1].isalnum() or token[end - 1] == "_"):
        end -= 1
    return token[start:end]


def _grams(text: str) -> list[str]:
    """Its runs of `MIN_WITHIN_CHARS` characters, in order."""
    return [text[start : start + MIN_WITHIN_CHARS] for start in range(len(text) - MIN_WITHIN_CHARS + 1)]


def _numbers(text: str) -> set[str]:
    """The numbers whose digits stand in a text, however they are grouped."""
    return {_plain(part) for run in _DIGITS.findall(text) for part in {run, run.replace(",", ""), *re.split("[.,]", run)}}


def _only_number(core: str) -> set[str]:
    if not core[:1].isdigit():
        return set()
    return {_plain(core), _plain(core.replace(",", ""))} if _DIGITS.fullmatch(core) else set()


def _plain(digits: str) -> str:
    """Without zeros that do not count."""
    if digits.count(".") > 1 or "," in digits or len(digits) > 40:
        return digits
    text = format(Decimal(digits), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
