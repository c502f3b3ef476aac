"""Canonical bytes: the fast path and the reference give the same bytes, and nothing else is called canonical."""

import json
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.core.canonical import NotCanonical, canonical, digest, is_plain
from gateway.core.wire import MAX_DEPTH, MAX_SAFE_INTEGER
from tests.core.documents import (
    acceptable,
    any_text,
    documents,
    floats,
    lone_surrogates,
    plain,
    plain_scalars,
    safe_integers,
)

GRIN = "\U0001f600"
PRIVATE_USE = "\ue000"


@settings(max_examples=500)
@given(plain)
def test_on_the_plain_subset_sorted_orjson_is_rfc8785(document: Any) -> None:
    assert is_plain(document)
    assert orjson.dumps(document, option=orjson.OPT_SORT_KEYS) == rfc8785.dumps(document)


@settings(max_examples=500)
@given(acceptable)
def test_canonical_bytes_are_those_of_the_reference(document: Any) -> None:
    assert canonical(document) == rfc8785.dumps(document)


@given(documents(plain_scalars | floats.filter(lambda number: abs(number) <= MAX_SAFE_INTEGER)))
def test_canonical_bytes_say_the_same_document_and_are_their_own_canonical_form(document: Any) -> None:
    data = canonical(document)
    assert json.loads(data) == document
    assert canonical(json.loads(data)) == data


@given(st.permutations(["b", "a", "é", GRIN, PRIVATE_USE, "", "aa"]))
def test_the_order_of_keys_does_not_matter(keys: list[str]) -> None:
    assert canonical(dict.fromkeys(keys, 1)) == canonical(dict.fromkeys(sorted(keys), 1))


@given(floats)
def test_a_document_with_a_float_is_not_plain(number: float) -> None:
    assert not is_plain({"a": [number]})


@given(any_text.filter(lambda text: not text.isascii()))
def test_a_document_with_a_key_beyond_ascii_is_not_plain(key: str) -> None:
    assert not is_plain([{key: 1}])


def test_keys_sort_by_utf16_units_not_by_code_points() -> None:
    document = {GRIN: 1, PRIVATE_USE: 2}
    assert not is_plain(document)
    assert canonical(document) == f'{{"{GRIN}":1,"{PRIVATE_USE}":2}}'.encode()
    assert orjson.dumps(document, option=orjson.OPT_SORT_KEYS) != canonical(document)


@pytest.mark.parametrize(
    ("number", "form"),
    [
        (1e21, b"1e+21"),
        (1e-7, b"1e-7"),
        (-0.0, b"0"),
        (100.0, b"100"),
        (5e-324, b"5e-324"),
        (333333333.33333329, b"333333333.3333333"),
    ],
)
def test_floats_have_the_form_of_rfc8785(number: float, form: bytes) -> None:
    assert canonical(number) == form


@given(safe_integers)
def test_integers_within_the_safe_range_are_plain(number: int) -> None:
    assert is_plain(number)
    assert canonical(number) == str(number).encode()


@given(st.integers(min_value=MAX_SAFE_INTEGER + 1), st.sampled_from([1, -1]))
def test_an_integer_beyond_the_safe_range_has_no_canonical_form(number: int, sign: int) -> None:
    assert not is_plain(sign * number)
    with pytest.raises(NotCanonical):
        canonical({"n": sign * number})


@given(lone_surrogates)
def test_a_lone_surrogate_has_no_canonical_form(text: str) -> None:
    for document in (text, {text: 1}, {"é": text}, {"a": text}):
        with pytest.raises(NotCanonical):
            canonical(document)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_has_no_canonical_form(number: float) -> None:
    with pytest.raises(NotCanonical):
        canonical([number])


def nested(depth: int) -> Any:
    document: Any = 1
    for _ in range(depth):
        document = [document]
    return document


def test_a_document_as_deep_as_the_wire_allows_is_plain() -> None:
    assert is_plain(nested(MAX_DEPTH))
    assert not is_plain(nested(MAX_DEPTH + 1))


def test_a_document_too_deep_for_the_reference_has_no_canonical_form() -> None:
    with pytest.raises(NotCanonical):
        canonical(nested(5000))


@pytest.mark.parametrize("document", [b"bytes", {1: 2}, object(), {"a": {1, 2}}])
def test_what_is_no_json_is_not_canonical(document: Any) -> None:
    assert not is_plain(document)
    with pytest.raises(NotCanonical):
        canonical(document)


def test_true_is_not_one() -> None:
    assert canonical([True, 1]) == b"[true,1]"
    assert digest([True]) != digest([1])


def test_a_digest_is_sha256_over_the_canonical_bytes() -> None:
    empty_object = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert digest({}) == f"sha256:{empty_object}"
