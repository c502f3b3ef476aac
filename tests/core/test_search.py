"""Tools are found by their words: the ranking is BM25, and neither a text nor a query is worked on without bound."""

import itertools
import math
import time
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway.core.search import K1, MAX_LOOKED_AT, B, Described, Index, words

FEW = st.sampled_from(["read", "write", "file", "mail", "send", "invoice", "unpaid", "list"])
TEXTS = st.lists(FEW, max_size=8).map(" ".join)


def tool(name: str, text: str = "", title: str = "") -> Described:
    return Described(name, title, text)


def best(query: str, *tools: Described) -> list[str]:
    places, _ = Index.of(tools).find(query, 10)
    return [tools[place].name for place in places]


def by_the_formula(query: str, texts: list[str]) -> dict[int, float]:
    """BM25 as it is printed, with no index."""
    documents = [Counter(text.split()) for text in texts]
    usual = sum(document.total() for document in documents) / len(documents) or 1.0
    scores: dict[int, float] = {}
    for place, document in enumerate(documents):
        score = 0.0
        for word in dict.fromkeys(query.split()):
            having = sum(word in other for other in documents)
            if word in document:
                rarity = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
                times, length = document[word], document.total()
                score += rarity * times * (K1 + 1) / (times + K1 * (1 - B + B * length / usual))
        if score:
            scores[place] = score
    return scores


@given(st.lists(TEXTS, min_size=1, max_size=12), TEXTS)
def test_tools_are_ranked_by_the_formula(texts: list[str], query: str) -> None:
    places, matches = Index.of([tool("", text) for text in texts]).find(query, 100)
    scores = by_the_formula(query, texts)
    assert set(places) == set(scores)
    assert matches == len(scores)
    ranked = [scores[place] for place in places]
    assert all(first >= second - 1e-4 for first, second in itertools.pairwise(ranked))


def test_a_word_in_the_name_counts_more_than_one_in_the_text() -> None:
    assert best("invoice", tool("b__x", "an invoice"), tool("b__invoice_get", "gets it")) == ["b__invoice_get", "b__x"]


def test_names_are_split_where_their_words_meet_and_plurals_are_singulars() -> None:
    assert words("getHTTPResponse2 list_directories") == ["get", "http", "response", "2", "list", "directory"]
    assert best("read the files", tool("fs__readFile"), tool("fs__stop")) == ["fs__readFile"]


def test_other_scripts_are_words_as_well() -> None:
    assert best("größe", tool("a__b", "Die Größe des Bildes")) == ["a__b"]
    assert best("天気", tool("a__b", "天気 を 調べる")) == ["a__b"]


def test_titles_parameters_and_their_descriptions_are_found() -> None:
    schema = {"type": "object", "properties": {"iban": {"type": "string", "description": "Where the money goes"}}}
    document = {"name": "pay", "title": "Transfer", "description": "Does it.", "inputSchema": schema}
    described = Described.of("bank__pay", document)
    for query in ("iban", "money", "transfer", "pay", "bank"):
        assert best(query, described, tool("other__thing")) == ["bank__pay"]


def test_a_definition_of_any_shape_is_indexed() -> None:
    documents: list[dict[str, Any]] = [{}, {"title": 1, "inputSchema": []}, {"inputSchema": {"properties": {"a": None}}}]
    for document in documents:
        assert best("x", Described.of("x__y", document)) == ["x__y"]


def test_nothing_fits_no_words() -> None:
    assert Index.of([tool("a__b")]).find("!? …", 5) == ([], 0)
    assert Index.of([]).find("a", 5) == ([], 0)


def test_what_one_query_looks_at_is_bounded_and_the_rarest_words_come_first() -> None:
    common = [f"common{letter}" for letter in "abcdefgh"]
    tools = [tool(f"up__tool_{number}", " ".join(common)) for number in range(MAX_LOOKED_AT // 5)]
    tools.append(tool("up__needle", " ".join(common)))
    index = Index.of(tools)
    began = time.process_time()
    places, _ = index.find(" ".join([*common, "needle"]), 1)
    assert time.process_time() - began < 1
    assert tools[places[0]].name == "up__needle"


def test_a_tool_that_repeats_a_word_a_million_times_is_no_better_and_costs_little() -> None:
    began = time.process_time()
    stuffed, honest = tool("up__a", "refund " * 1_000_000), tool("up__b", "refund an order")
    assert best("refund order", stuffed, honest) == ["up__b", "up__a"]
    assert time.process_time() - began < 1
