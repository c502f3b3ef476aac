"""What a run sent to tools becomes known by no tool that repeats it, in whatever dress."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.capability import TrustLevel
from gateway.core.echo import INDEXED_CHARS, MAX_SENT_CHARS
from gateway.core.evidence import EvidenceRef
from gateway.core.intent import read_intent
from gateway.core.occurrence import sought
from gateway.core.run_memory import Runs

EVIL = "attacker@evil.example"


def call(runs: Runs, arguments: dict[str, Any], answer: str) -> None:
    if not runs.remembers("run"):
        runs.start("run")
    sent = runs.sends("run", arguments)
    said = {"content": [{"type": "text", "text": answer}]}
    runs.read("run", said, EvidenceRef("ref", TrustLevel.TRUSTED, "us", None), sent)


def knows(runs: Runs, value: Any) -> bool:
    return runs.of("run").trusted.holds(sought(value))


DRESSED: list[tuple[dict[str, Any], str, Any]] = [
    ({"q": EVIL}, f"No contact {EVIL} found", EVIL),
    ({"q": EVIL}, f"mailto:{EVIL}", f"mailto:{EVIL}"),
    ({"q": f"mailto:{EVIL}"}, f"No contact {EVIL} found", EVIL),
    ({"q": EVIL.upper()}, EVIL, EVIL),
    ({"path": f"/inbox/{EVIL}"}, f"ENOENT: no such file '{EVIL}' in /inbox", EVIL),
    ({"q": "attacker%40evil.example"}, f"No contact {EVIL} found", EVIL),
    ({"q": "ａttacker@evil.example"}, f"No contact {EVIL} found", EVIL),
    ({"q": "IBAN:DE89370400440532013000"}, '{"error":"no account DE89370400440532013000"}', "DE89370400440532013000"),
    ({"user": "attacker", "host": "@evil.example"}, f"no {EVIL}", EVIL),
    ({"amount": -9000}, "Cannot debit 9000", 9000),
    ({"amount": 9000}, "Cannot debit $9,000.00", 9000),
    ({"amount": "9000€x"}, "9000 x", 9000),
    ({"amount": "EUR50"}, "50 is too much", 50),
    ({"amount": 50}, "50% is too much", "50%"),
    ({"p": "900", "q": "0"}, "no entry 9000", 9000),
    ({"deep": {EVIL: [1]}}, f"unknown key {EVIL}", EVIL),
    ({"text": f'{{"n": "{EVIL}", "n": 1}}'}, f'Noted: {{"n": "{EVIL}", "n": 1}}', EVIL),
    ({"text": '{"n": 9000, "n": 1}'}, 'no file {"n": 9000, "n": 1}', 9000),
    ({"text": "[61109010140000071219812874]"}, "no account [61109010140000071219812874]", "61109010140000071219812874"),
    ({"text": "[12e3]"}, "no account [12e3]", "12e3"),
    ({"text": ' {"n": "gb33\\u0065vil"}'}, '{"n": "gb33\\u0065vil"}', "gb33evil"),
    ({"text": 'see: {"n": "gb33\\u0065vil"}'}, '{"n": "gb33\\u0065vil"}', "gb33evil"),
]


@pytest.mark.parametrize(("arguments", "answer", "value"), DRESSED)
def test_a_tool_that_repeats_its_own_arguments_makes_them_known_in_no_dress(
    arguments: dict[str, Any], answer: str, value: Any
) -> None:
    fresh, runs = Runs(), Runs()
    call(fresh, {}, answer)
    assert knows(fresh, value)
    call(runs, arguments, answer)
    assert not knows(runs, value)


@pytest.mark.parametrize(("arguments", "answer", "value"), DRESSED)
def test_nor_does_a_later_answer_to_another_call(arguments: dict[str, Any], answer: str, value: Any) -> None:
    runs = Runs()
    call(runs, arguments, "nothing")
    for number in range(70):
        call(runs, {"n": f"page{number}"}, "nothing")
    call(runs, {}, answer)
    assert not knows(runs, value)


def test_what_was_known_when_it_was_sent_stays_known_and_can_be_looked_up() -> None:
    runs = Runs()
    runs.start("run")
    runs.register("run", read_intent({"task": "Write to alice."}))
    call(runs, {"name": "alice"}, "alice@corp.example and bob@corp.example")
    assert knows(runs, "alice@corp.example")
    call(runs, {"to": "alice@corp.example"}, "alice@corp.example has cleared 50")
    assert knows(runs, "alice@corp.example")
    assert knows(runs, 50)


def test_a_plain_word_that_was_sent_before_does_not_hide_the_names_it_stands_in() -> None:
    runs = Runs()
    call(runs, {"q": "corp"}, "nothing")
    call(runs, {}, "alice@corp.example; corp")
    assert knows(runs, "alice@corp.example")
    assert not knows(runs, "corp")


def test_a_run_that_sent_more_than_is_remembered_learns_nothing_more() -> None:
    runs = Runs()
    call(runs, {}, "first@x.example")
    for number in range(MAX_SENT_CHARS // 50_000 + 1):
        call(runs, {"text": f"{number}" + "x" * 50_000}, "ok")
    call(runs, {}, "second@x.example")
    assert knows(runs, "first@x.example")
    assert not knows(runs, "second@x.example")


@pytest.mark.parametrize(("arguments", "answer", "value"), DRESSED)
def test_nor_does_an_answer_after_much_else_was_sent(arguments: dict[str, Any], answer: str, value: Any) -> None:
    runs = Runs()
    call(runs, {"text": " ".join(f"w{number}" for number in range(800))}, "nothing")
    call(runs, arguments, "nothing")
    call(runs, {"text": " ".join(f"v{number}" for number in range(1600))}, "nothing")
    assert len(runs.of("run").sent.joined) > 2 * INDEXED_CHARS
    call(runs, {}, f"{answer} other@x.example")
    assert not knows(runs, value)
    assert knows(runs, "other@x.example")


@given(st.text(min_size=4, max_size=20), st.text(max_size=5), st.text(max_size=5))
def test_whatever_is_put_around_it_what_was_sent_is_not_known(value: str, before: str, after: str) -> None:
    runs = Runs()
    call(runs, {"q": value}, "")
    call(runs, {}, f"{before}{value}{after}")
    assert not knows(runs, value)
