"""What an approver reads of a call's arguments: it decodes to the very bytes that run, in characters that cannot deceive."""

import hashlib
import json
import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.canonical import canonical
from gateway.core.shown import shown_arguments, shown_digest, shown_request, shown_word
from tests.core.documents import sealable as documents

PRINTABLE = frozenset(map(chr, range(32, 127))) - frozenset("<>&`")
DECEIVING = "".join(
    char
    for char in map(chr, range(0x110000))
    if unicodedata.category(char) in ("Cc", "Cf", "Co", "Zl", "Zp", "Zs", "Mn") and not 0xD800 <= ord(char) <= 0xDFFF
)


@given(documents)
@example({"to": "p\u0430ypal", "\u202e": "\u200b", "del": "\x7f", "tags": "\U000e0041", "emoji": "\U0001f600"})
@example({"<!--": "-->", "a&lt;": ["`", "[x](y 'z')"], "d": "<details>", "]": ["]("]})
@example({"n": 1e21, "m": -0.5, "k": [1e-7, 2**53 - 1, True, None, {}]})
def test_it_is_the_document_in_printable_ascii(document: object) -> None:
    text = shown_arguments(document)
    assert set(text) <= PRINTABLE | {"\n"}
    assert "](" not in text
    assert canonical(json.loads(text)) == canonical(document)


def test_no_character_that_hides_or_turns_the_text_comes_through() -> None:
    text = shown_arguments({"text": DECEIVING})
    assert set(text) <= PRINTABLE | {"\n"}
    assert json.loads(text) == {"text": DECEIVING}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_word_stays_on_one_line_and_can_be_read_back(word: str) -> None:
    assert set(shown_word(word)) <= PRINTABLE
    assert json.loads(f'"{shown_word(word)}"') == word


@given(documents, documents)
def test_two_documents_never_look_the_same(one: object, other: object) -> None:
    if canonical(one) != canonical(other):
        assert shown_arguments(one) != shown_arguments(other)
        assert shown_digest(one) != shown_digest(other)


@given(documents)
def test_the_digest_can_be_computed_from_what_is_shown(document: object) -> None:
    shown = json.loads(shown_arguments(document))
    assert shown_digest(document) == "sha256:" + hashlib.sha256(canonical(shown)).hexdigest()


MARKUP = "x<!--\u202e`&](\n-->"


def test_no_part_of_a_request_hides_another() -> None:
    request = {
        "approval_id": MARKUP,
        "capability_id": MARKUP,
        "mode": "network",
        "compensates": {"envelope_id": MARKUP, "capability_id": MARKUP},
        "principal_chain": [MARKUP, MARKUP],
        "tenant_id": MARKUP,
        "reasons": [{"code": MARKUP, "message": MARKUP}],
        "requested_at": "2026-11-22T10:00:00.000Z",
        "expires_at": "2026-11-22T10:10:00.000Z",
        "call_digest": "hmac-sha256:00",
        "required_approver": MARKUP,
        "quorum": {"count": 2, "of": [MARKUP]},
        "run_id": MARKUP,
        "advisory": False,
    }
    answers = [{"answer": "approve", "approver": MARKUP, "comment": "", "route": "cli"}]
    document = {
        "request": request,
        "state": "pending",
        "answers": answers,
        "missing": 1,
        "hidden": [],
        "arguments": {MARKUP: MARKUP},
    }
    for line in shown_request(document):
        assert set(line) <= PRINTABLE, line
        assert "](" not in line
