"""What a run sent to tools, so that a trusted tool which repeats it teaches nothing by that.

Sent is what was not known when it was sent: who may make a tool say a value must not make it a known one. Forms are compared
generously here (NFKC, case folded, percent codes opened), since a yes only ever keeps a token from being learned. A token of
a result repeats what was sent where

* it is, or is a part of, what one call sent, its texts put together in their order
* it is a number, or holds nothing but one, whose digits were sent, with whatever sign
* it holds a token that was sent; of those that earlier calls sent only tokens that are more than one plain word: a word
  stands in many names
"""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal
from urllib.parse import unquote

MAX_SENT_CHARS = 64 * 1024
MAX_LOOKS = 100_000  # at one reading
MIN_WITHIN_CHARS = 4  # shorter texts stand within any other

_BETWEEN = "\x1e"
_TRIMMED = re.compile(r"^\W+|\W+$")
_PART = re.compile(r"[^\W_]+")
_DIGITS = re.compile(r"[0-9]+(?:[.,][0-9]+)*")


class Sent:
    """Texts that were sent. `full`: there were more than are kept, so any token may be one of them."""

    def __init__(self) -> None:
        self.full = False
        self._joined: list[str] = []
        self._exact: set[str] = set()
        self._within: dict[str, set[str]] = {}
        self._chars = 0

    @property
    def size(self) -> int:
        """About how many characters of memory it takes."""
        return 8 * self._chars

    def add(self, texts: Iterable[str], *, words: bool = False) -> None:
        """One call's texts. `words`: plain words, too, are looked for within other tokens."""
        found: list[str] = []
        for text in texts:
            if self._chars + len(text) > MAX_SENT_CHARS:
                self.full = True
                return
            self._chars += len(text)
            found.extend(_folded(text).split())
            if "%" in text:
                found.extend(_folded(unquote(text)).split())
        together = "".join(found)
        self._joined.append(together)
        self._exact.update(_numbers(together))
        for token in found:
            core = _trimmed(token)
            self._exact.update((token, core, *_PART.findall(token), *_numbers(token)))
            if len(core) >= MIN_WITHIN_CHARS and (words or not core.isalpha()):
                self._within.setdefault(core[:MIN_WITHIN_CHARS], set()).add(core)

    def repeated(self) -> "Repeated | None":
        """To look tokens of one result up; None where nothing was sent."""
        if not self._exact and not self.full:
            return None
        return Repeated(_BETWEEN.join(self._joined), self._exact, self._within, full=self.full)


class Repeated:
    """One result's tokens, looked up within a bound of work: beyond it everything is as if it were repeated."""

    def __init__(self, joined: str, exact: set[str], within: dict[str, set[str]], *, full: bool) -> None:
        self._joined = joined
        self._exact = exact
        self._within = within
        self._left = 0 if full else MAX_LOOKS

    def holds(self, token: str) -> bool:
        """Whether a token repeats what was sent."""
        if self._left <= 0:
            return True
        form = _folded(token)
        core = _trimmed(form)
        self._left -= 1 + len(self._joined) // 8192
        if core in self._exact or form in self._exact or any(number in self._exact for number in _only_number(core)):
            return True
        if len(core) >= MIN_WITHIN_CHARS and core in self._joined:
            return True
        for start in range(len(form) - MIN_WITHIN_CHARS + 1):
            candidates = self._within.get(form[start : start + MIN_WITHIN_CHARS], ())
            self._left -= len(candidates)
            if self._left <= 0 or any(form.startswith(candidate, start) for candidate in candidates):
                return True
        return False


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _trimmed(token: str) -> str:
    return _TRIMMED.sub("", token)


def _numbers(text: str) -> set[str]:
    """The numbers whose digits stand in a text, however they are grouped."""
    return {_plain(part) for run in _DIGITS.findall(text) for part in {run, run.replace(",", ""), *re.split("[.,]", run)}}


def _only_number(core: str) -> set[str]:
    return {_plain(core), _plain(core.replace(",", ""))} if _DIGITS.fullmatch(core) else set()


def _plain(digits: str) -> str:
    """Without zeros that do not count."""
    if digits.count(".") > 1 or "," in digits or len(digits) > 40:
        return digits
    text = format(Decimal(digits), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
