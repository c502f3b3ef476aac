"""Finds tools by words: BM25 over an inverted index.

The formula is that of Robertson and Zaragoza (2009), with the always positive inverse document frequency that Lucene has.
A word counts more in a name than in a text: its field's weight is added to its frequency. Names are split where their
words meet (`readFile`, `read_file`), and a plural counts as its singular.

Texts are those of upstreams, and queries those of agents: both are bounded, in what is indexed of one tool and in how many
entries of the index one query looks at. The rarest words of a query are looked at first, so that a bound costs the least.
"""

import heapq
import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

K1 = 1.2
B = 0.75
NAME_WEIGHT, TITLE_WEIGHT, TEXT_WEIGHT = 3, 2, 1
MAX_TEXT_CHARS = 8_192
MAX_WORD_CHARS = 48
MAX_QUERY_CHARS = 512
MAX_QUERY_WORDS = 32
MAX_LOOKED_AT = 20_000
MAX_PARAMETERS = 64

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Described:
    """What is indexed of one tool."""

    name: str
    title: str
    text: str

    @classmethod
    def of(cls, name: str, document: Mapping[str, Any]) -> "Described":
        """`name`: what clients call it. `document`: its definition, as on the wire."""
        annotations = document.get("annotations")
        titles = [document.get("title"), annotations.get("title") if isinstance(annotations, Mapping) else None]
        texts = [document.get("description"), *_parameters(document.get("inputSchema"))]
        return cls(name, _joined(titles), _joined(texts))


@dataclass(frozen=True, slots=True)
class Index:
    """See the module. `_entries`: word → places of the tools that have it, ascending, and what it is worth in each."""

    _size: int
    _entries: Mapping[str, tuple["array[int]", "array[float]"]]

    @classmethod
    def of(cls, tools: Sequence[Described]) -> "Index":
        """The index of these. A tool is known by its place among them."""
        counts = [_counted(tool) for tool in tools]
        lengths = [sum(counted.values()) for counted in counts]
        usual = sum(lengths) / len(lengths) if lengths else 1.0
        entries: dict[str, tuple[array[int], array[float]]] = {}
        for place, (counted, length) in enumerate(zip(counts, lengths, strict=True)):
            norm = K1 * (1 - B + B * length / usual) if usual else K1
            for word, times in counted.items():
                places, worth = entries.setdefault(word, (array("I"), array("f")))
                places.append(place)
                worth.append(times * (K1 + 1) / (times + norm))
        return cls(len(tools), entries)

    def find(self, query: str, most: int) -> tuple[list[int], int]:
        """The places of at most so many tools that fit, the best first, equal ones as they stand in the index; and how many
        fit, of those that were looked at."""
        found = [(len(self._entries[word][0]), word) for word in _query_words(query) if word in self._entries]
        scores: dict[int, float] = {}
        looked_at = 0
        for many, word in sorted(found):
            if looked_at and looked_at + many > MAX_LOOKED_AT:
                break
            looked_at += many
            rarity = math.log(1 + (self._size - many + 0.5) / (many + 0.5))
            for place, worth in zip(*self._entries[word], strict=True):
                scores[place] = scores.get(place, 0.0) + rarity * worth
        return heapq.nsmallest(most, scores, key=lambda place: (-scores[place], place)), len(scores)


def words(text: str) -> list[str]:
    """The words of a text as the index knows them."""
    return [_singular(word.casefold()[:MAX_WORD_CHARS]) for word in _WORD.findall(text[:MAX_TEXT_CHARS])]


def _query_words(query: str) -> list[str]:
    return list(dict.fromkeys(words(query[:MAX_QUERY_CHARS])))[:MAX_QUERY_WORDS]


def _counted(tool: Described) -> Counter[str]:
    counted: Counter[str] = Counter()
    for text, weight in ((tool.name, NAME_WEIGHT), (tool.title, TITLE_WEIGHT), (tool.text, TEXT_WEIGHT)):
        for word in words(text):
            counted[word] += weight
    return counted


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _parameters(schema: Any) -> Iterable[Any]:
    """Names, titles and descriptions of a schema's top-level properties."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if isinstance(properties, Mapping):
        for name, about in list(properties.items())[:MAX_PARAMETERS]:
            yield name
            if isinstance(about, Mapping):
                yield from (about.get("title"), about.get("description"))


def _joined(texts: Iterable[Any]) -> str:
    return "\n".join(text for text in texts if isinstance(text, str))
