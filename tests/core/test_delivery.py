"""What of a result leaves: nothing hidden, nothing that policy redacts, nothing larger than it allows."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.canonical import canonical
from gateway.core.delivery import MARK, deliver
from gateway.core.modification import NotApplicable, changed
from gateway.core.obligations import Obligations

NAMES = st.sampled_from(["iban", "owner", "a/b", "x~y", "list"])
SECRETS = st.integers(0, 10**6).map(lambda number: f"secret-{number:07d}-value")


def documents(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(
        NAMES,
        st.recursive(
            leaves, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3))
        ),
        min_size=1,
        max_size=4,
    )


def places(value: Any, pointer: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [
            found
            for name, member in value.items()
            for found in places(member, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")
        ]
    if isinstance(value, list):
        return [found for index, element in enumerate(value) for found in places(element, f"{pointer}/{index}")]
    return [(pointer, value)]


@given(documents(SECRETS), st.data())
def test_a_redacted_value_stands_nowhere_in_what_leaves(structured: dict[str, Any], data: st.DataObject) -> None:
    found = places(structured, "/structuredContent")
    if not found:
        return
    chosen = data.draw(st.lists(st.sampled_from(found), min_size=1, max_size=3, unique_by=lambda one: one[0]))
    text = orjson.dumps(structured).decode()
    document = {"content": [{"type": "text", "text": text}], "structuredContent": structured}
    left = deliver(document, Obligations(redact=tuple(pointer for pointer, _ in chosen)))
    data_left = orjson.dumps(left.result).decode()
    for _, secret in chosen:
        assert secret not in data_left
    assert MARK in data_left
    kept = {value for _, value in found} - {value for _, value in chosen}
    assert all(value in data_left for value in kept)


@pytest.mark.parametrize(
    "pointers",
    [
        ("/structuredContent",),
        ("/content",),
        ("/content/0",),
        ("/structuredContent/a", "/structuredContent/a/b"),
        ("/_meta/x",),
    ],
)
def test_what_is_left_is_still_a_tool_result(pointers: tuple[str, ...]) -> None:
    document = {
        "content": [{"type": "text", "text": "secret-1"}],
        "structuredContent": {"a": {"b": "secret-1"}},
        "_meta": {"x": "secret-1"},
        "isError": False,
    }
    result = deliver(document, Obligations(redact=pointers)).result
    assert isinstance(result["content"], list)
    assert all(block["type"] == "text" for block in result["content"])
    assert isinstance(result.get("structuredContent", {}), dict)
    assert result["isError"] is False
    assert "secret-1" not in str(result)


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=40), max_size=4), st.integers(0, 200))
def test_no_result_is_larger_than_it_may_be(structured: dict[str, str], most: int) -> None:
    document = {"content": [], "structuredContent": structured}
    left = deliver(document, Obligations(max_result_bytes=most))
    if left.withheld is None:
        assert len(canonical(left.result)) <= most
    else:
        assert left.withheld == most
        assert left.result["content"][0]["text"].startswith("The call was done.")
        assert "structuredContent" not in left.result


def test_a_change_replaces_or_adds_a_member_and_leaves_the_original_alone() -> None:
    arguments = {"a": {"b": [1, 2]}, "c": [{"d": 1}, {"d": 2}]}
    before = orjson.dumps(arguments)
    assert changed(arguments, {"/a/b/1": 3, "/a/new": True, "/c/*/d": 0, "/x~1y": None}) == {
        "a": {"b": [1, 3], "new": True},
        "c": [{"d": 0}, {"d": 0}],
        "x/y": None,
    }
    assert orjson.dumps(arguments) == before
    assert changed({"c": []}, {"/c/*": 1}) == {"c": []}


@pytest.mark.parametrize("pointer", ["/a/b/c", "/c/5", "/c/x", "/missing/x", "/s/*", "/c/-"])
def test_a_change_of_a_place_that_is_not_there_is_refused(pointer: str) -> None:
    with pytest.raises(NotApplicable):
        changed({"a": {"b": 1}, "c": [1], "s": "text"}, {pointer: 1})


def test_what_is_taken_out_stands_nowhere_else_in_another_spelling_nor_as_a_name() -> None:
    iban = "DE8937040044"
    document = {
        "content": [{"type": "text", "text": f"{iban} de89-3704"}],
        "structuredContent": {"iban": iban, "by": {iban: 1}, "low": iban.lower(), "grouped": "x DE89 3704-0044 y"},
    }
    said = deliver(document, Obligations(redact=("/structuredContent/iban",))).result
    assert said["structuredContent"] == {"iban": MARK, "by": {MARK: 1}, "low": MARK, "grouped": f"x {MARK} y"}
    assert orjson.loads(said["content"][0]["text"]) == said["structuredContent"]


@pytest.mark.parametrize("spelled", ["ΝΙΚΟΣ", "νικος", "νικοσ", "Νικος", "ΝΙ ΚΟΣ"])
def test_a_letter_that_is_written_otherwise_at_a_words_end_is_found(spelled: str) -> None:
    structured = {"name": "ΝΙΚΟΣ", "note": f"{spelled} Papas, Athens"}
    result = {"content": [{"type": "text", "text": "x"}], "structuredContent": structured}
    left = deliver(result, Obligations(redact=("/structuredContent/name",))).result
    assert left["structuredContent"]["note"] == f"{MARK} Papas, Athens"


def test_values_that_overlap_have_one_mark_and_those_in_line_one_each() -> None:
    taken = {"a": "abcd efgh", "b": "efgh-ijkl", "c": "mnop", "d": "mnop qrst"}
    structured = {"taken": taken, "x": "-abcdefgh ijkl-mnop.", "y": "MNOP mnop", "z": "mn\u0130p", "long": "c" * 129 + "C"}
    document = {"content": [], "structuredContent": {**structured, "more": ["c" * 129]}}
    bound = Obligations(redact=("/structuredContent/taken", "/structuredContent/more"))
    said = deliver(document, bound).result["structuredContent"]
    assert said["x"] == f"-{MARK}-{MARK}."
    assert said["y"] == f"{MARK} {MARK}"
    assert said["z"] == "mn\u0130p"
    assert said["long"] == f"{MARK}C"


def test_a_value_is_found_in_one_text_only_and_a_number_as_it_is_written() -> None:
    document = {
        "content": [],
        "structuredContent": {"secret": ["abcdefgh", -12345, 0.5], "x": ["abcd", "efgh"], "n": [12345, 12346, 0.5, 1.5]},
    }
    said = deliver(document, Obligations(redact=("/structuredContent/secret",))).result["structuredContent"]
    assert (said["x"], said["n"]) == (["abcd", "efgh"], [MARK, 12346, 0.5, 1.5])


def test_names_below_a_redacted_place_go_with_it_and_stand_nowhere_else() -> None:
    document = {"content": [], "structuredContent": {"by_patient": {"jane-doe": 1}, "last": "Jane Doe", "n": 1}}
    said = deliver(document, Obligations(redact=("/structuredContent/by_patient",))).result
    assert said["structuredContent"] == {"by_patient": MARK, "last": MARK, "n": 1}


def test_a_place_that_is_not_there_redacts_nothing() -> None:
    document = {"content": [], "structuredContent": {"account": {"iban": "DE8937040044"}}}
    said = deliver(document, Obligations(redact=("/structuredContent/iban",))).result
    assert said["structuredContent"] == document["structuredContent"]


@pytest.mark.parametrize("pointer", ["/customer/iban", "/structuredContent/iban"])
def test_a_result_without_the_part_that_is_named_is_withheld(pointer: str) -> None:
    document = {"content": [{"type": "text", "text": "DE8937040044"}]}
    assert deliver(document, Obligations(redact=(pointer,))).result == {"content": [{"type": "text", "text": MARK}]}
