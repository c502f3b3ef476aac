"""Whether a value occurs in a text: whole tokens, in one form, and nothing that only looks like it."""

import unicodedata
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.occurrence import MAX_CHARS, reading, sought, texts_of

WORD = st.text(st.characters(whitelist_categories=("Lu", "Ll", "Nd")), min_size=1, max_size=12).filter(
    lambda word: unicodedata.normalize("NFKC", word) == word
)


def occurs(value: Any, *texts: str) -> bool:
    return reading(iter(texts)).holds(sought(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("bob@bank.example", "Please pay bob@bank.example, today."),
        ("BOB@Bank.example", "to <bob@bank.EXAMPLE>"),
        ("bill-december-2023.txt", "Pay the bill 'bill-december-2023.txt' for me!"),
        ("Spotify", "What did I pay for Spotify's family plan?"),
        ("a new  phone", "Buy (a new\nphone)."),
        ("$50", 'it says "$50".'),
        ("2024-05-15", "on May 15th, 2024, at noon"),
        ("2024-05-15", "on 15 May 2024"),
        ("2024-09-01", "the 1st of Sept 2024"),
        (1000.5, "transfer $1,000.50 to"),
        (1000.5, "transfer 1000.5€"),
        (1000, "1000.00"),
        (-3, "it is -3 degrees"),
        ("1000.50", "$1,000.50"),
        ("Emma", "name,mail\nEmma,emma@x.example"),
        (0.1, "0.10"),
        ("straße", "Die Straße"),
        ("café", "the cafe\u0301"),
        (1120500.5, "1,120,500.50"),
        (1120500, "€1,120,500"),
    ],
)
def test_it_occurs(value: Any, text: str) -> None:
    assert occurs(value, text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("smith@bank.example", "john.smith@bank.example"),
        ("bank.example", "bob@bank.example"),
        ("evil.example", "https://evil.example/page"),
        ("https://good.example/", "https://good.example/?to=1"),
        ("/tmp/", "/tmp/{id} and /tmp/*"),
        ("50", "500 or 5.50"),
        (50, "500, 5.50, -50, 50%, T-50 and 2024-50"),
        (1000, "1,0000 and 1.000,00 and 10,00"),
        (1, "true"),
        ("ob", "bob"),
        ("pay bob", "pay, bob"),
        ("2024-05-15", "May 16th, 2024 and 2024-05-150 and 05/15/2024"),
        ("2024-13-45", "anything"),
        ("007", "7"),
        ("", "anything"),
        ("...", "and so on ..."),
        (True, "true"),
        (None, "null none"),
        (float("1e300"), "1e300"),
        ("evil\u200b.example", "evil.example"),
        ("е@x.example", "e@x.example"),  # the first is Cyrillic
        ("info@straße.example", "info@strasse.example"),
        ("info@νόμος.example", "info@νόμοσ.example"),
        ("ＵＳ122000000121212121212", "account US122000000121212121212."),
        ("ＵＳ122", "account ＵＳ122"),
        ("ﬁle.txt", "file.txt"),
        ("file.txt", "ﬁle.txt"),
        ("102", "10² m"),
        (102, "10² m"),
        ("bob\u00a0x", "bob x"),
        ("/tmp/x\n", "/tmp/x"),
        (" /tmp/x", "/tmp/x"),
        (1120500, "1,120,500"),
        (100200, "see items 100,200"),
    ],
)
def test_it_does_not_occur(value: Any, text: str) -> None:
    assert not occurs(value, text)


def test_nothing_reaches_from_one_text_into_the_next() -> None:
    assert not occurs("pay bob", "pay", "bob")
    assert occurs("pay bob", "pay bob", "x")


@given(st.lists(WORD, min_size=1, max_size=8), st.data())
def test_any_run_of_whole_words_occurs_and_no_proper_part_of_a_word_does(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    start = data.draw(st.integers(0, len(words) - 1))
    end = data.draw(st.integers(start + 1, len(words)))
    assert occurs(" ".join(words[start:end]), text)
    word = data.draw(st.sampled_from(words))
    part = word[: data.draw(st.integers(1, len(word)))]
    if part.lower() not in {word.lower() for word in words}:
        assert not occurs(part, text)


@given(st.text(max_size=60), st.text(min_size=1, max_size=20), st.text(max_size=60))
def test_what_occurs_stands_in_the_text_as_it_is_but_for_case_and_space(before: str, value: str, after: str) -> None:
    """Soundness: where the answer is yes, the collapsed value is a substring of the collapsed text."""
    text = f"{before}{value}{after}"
    if occurs(value, text) and sought(value).number is None:
        assert _plain(value) in _plain(text)


def _plain(text: str) -> str:
    lower = " ".join(unicodedata.normalize("NFC", text).lower().split())
    return unicodedata.normalize("NFC", lower)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=2), st.data())
def test_a_number_occurs_in_its_common_spellings_and_in_no_other_number(number: Any, data: st.DataObject) -> None:
    value = float(number)
    for spelled in (f"{number}", f"{number:,.2f}", f"${number}" if number >= 0 else f"{number}"):
        assert occurs(value, f"send {spelled} now")
    other = data.draw(st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False))
    if other != number:
        assert not occurs(value, f"send {other:,} now")


@given(st.dates(min_value=date(1000, 1, 1)), st.dates(min_value=date(1000, 1, 1)))
def test_a_written_date_is_that_date_and_no_other(one: date, other: date) -> None:
    written = f"{one:%B} {one.day}, {one.year}"
    assert occurs(one.isoformat(), f"on {written}.")
    if one != other:
        assert not occurs(other.isoformat(), f"on {written}.")


def test_of_a_text_that_is_too_long_no_half_token_occurs() -> None:
    cut = "x" * (MAX_CHARS - 12) + " evil.example.au"
    assert not occurs("evil", cut)
    assert not occurs("evil.example", cut)
    assert not occurs("y" * 10, "y" * (MAX_CHARS + 5))


def test_json_within_a_text_is_read_as_json() -> None:
    text = '{"iban":"DE89\\u0033","amount":12.50,"to":["a@x.example"]}'
    found = reading(texts_of({"content": [{"type": "text", "text": text}]}))
    for value in ("DE893", 12.5, "a@x.example"):
        assert found.holds(sought(value))
    assert not found.holds(sought("DE89"))
