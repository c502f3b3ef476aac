"""Hidden characters: every one of the classes is found wherever it stands, and nothing else is touched."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.capability import ApprovalMode, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.catalog import Hidden, build_catalog
from gateway.core.scan import Scan, hidden_at, hidden_in, is_hidden, visible

ALLOWED = {"\t", "\n", "\r"}
EVERY_HIDDEN = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Co", "Cn", "Cs") and chr(code) not in ALLOWED
]
SELECTORS = [chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))]


def test_every_code_point_of_the_classes_is_hidden_and_is_shown_as_ascii() -> None:
    assert len(EVERY_HIDDEN) > 800_000
    every = EVERY_HIDDEN + SELECTORS
    for chars in (every[start : start + 256] for start in range(0, len(every), 256)):
        assert visible("".join(f"a{char}b" for char in chars)) == "".join(f"a\\u{{{ord(char):x}}}b" for char in chars)


def test_every_letter_mark_digit_punctuation_and_symbol_but_the_blank_ones_stays_as_it_is() -> None:
    untouched = 0
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        if unicodedata.category(char)[0] in "LNPSZM" and not is_hidden(char):
            assert visible(f"a{char}b") == f"a{char}b"
            untouched += 1
    assert untouched > 140_000
    assert all(not is_hidden(char) for char in ALLOWED)


@given(st.text())
def test_what_is_visible_holds_nothing_hidden_and_is_shown_the_same_again(text: str) -> None:
    shown = visible(text)
    assert list(hidden_in(shown)) == []
    assert visible(shown) == shown


@pytest.mark.parametrize("text", ["❤️ thanks", "1️⃣", "👨‍👩‍👧", "👍🏽", "☑︎ done", "🏳️‍🌈"])
def test_an_emoji_stays_an_emoji(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "a\ufe0fb",
        "❤\ufe0f\ufe0f",
        "❤\U000e0100",
        "a\u200db",
        "\U0001f3f4\U000e0067",
        "\u001b[31mred",
        "\u202etxt.exe",
        "\u3164",
    ],
)
def test_the_same_characters_elsewhere_are_shown(text: str) -> None:
    assert visible(text) != text
    assert visible(text).count("\\u{") >= 1


def test_a_document_is_shown_in_its_names_too_and_says_which_code_points_there_were() -> None:
    scan = Scan()
    shown = scan.of({"a\u200b": ["x\u202e", 1, None], "a\\u{200b}": {"plain": True}})
    assert shown == {"a\\u{200b}": ["x\\u{202e}", 1, None], "a\\u{200b}'": {"plain": True}}
    assert scan.found == ("U+200B", "U+202E")


def test_a_document_without_any_is_the_same_object() -> None:
    document = {"content": [{"type": "text", "text": "plain\nüñí 漢字"}]}
    scan = Scan()
    assert scan.of(document) is document
    assert scan.found == ()


def test_the_place_of_a_hidden_character_is_named_without_the_character() -> None:
    assert hidden_at({"inputSchema": {"properties": {"a/b\u2066": {}}}}) == (
        "/inputSchema/properties/a~1b\\u{2066}",
        "U+2066",
    )


@pytest.mark.parametrize("char", ["\u200b", "\u202e", "\U000e0041", "\x1b", "\ufe0f", "\ue000", "\u0378"])
@pytest.mark.parametrize("pinned", [True, False])
def test_a_tool_whose_definition_hides_something_is_hidden_itself_even_where_it_is_pinned(
    char: str, *, pinned: bool
) -> None:
    document = {"name": "send", "description": f"Send{char} it.", "inputSchema": {"type": "object"}}
    tool = ToolDefinition.from_document("mail", document)
    rule = ("mail__*", Classification(ApprovalMode.READ_ONLY, TrustLevel.UNTRUSTED, "x", IdempotencyRule.DERIVED))
    catalog = build_catalog([tool], [rule], {"mail__send": tool.digest} if pinned else {})
    (hidden,) = catalog.hidden
    assert hidden.why is Hidden.INVISIBLE
    assert f"U+{ord(char):04X}" in hidden.explanation
    assert "/description" in hidden.explanation
    assert char not in hidden.explanation
