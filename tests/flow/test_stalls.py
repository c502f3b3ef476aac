"""One call must not stop the gateway for everybody else: what a server or a caller chooses costs a bounded time."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx2
import pytest

from tests.flow.mail import Mail, meta
from tests.running import outcome, text

MOST_SECONDS = 3.0  # a loaded machine; without bounds it is tens of seconds
LIKE_SECRETS = {f"eyJ{number:08d}..": "x" for number in range(9000)}  # each is redacted to the same name


class Watch:
    """The longest that `/livez` took to answer."""

    worst = 0.0


@contextmanager
def watched(mail: Mail) -> Iterator[Watch]:
    """Asks the gateway again and again whether it lives."""
    watch, stop = Watch(), threading.Event()

    def ask() -> None:
        with httpx2.Client(timeout=60) as client:
            while not stop.is_set():
                began = time.monotonic()
                with suppress(httpx2.TransportError):  # it took too long, and that counts
                    client.get(f"http://127.0.0.1:{mail.gateway.port}/livez")
                watch.worst = max(watch.worst, time.monotonic() - began)
                stop.wait(0.02)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield watch
    finally:
        stop.set()
        asker.join()


def test_a_result_with_thousands_of_names_like_secrets_holds_up_nobody(mail: Mail) -> None:
    mail.write("names", {"content": [{"type": "text", "text": "x"}], "structuredContent": LIKE_SECRETS})
    with watched(mail) as watch:
        response = mail.read("names", "names", "book")
    assert watch.worst < MOST_SECONDS
    assert len(response["result"]["structuredContent"]) == len(LIKE_SECRETS)


def test_arguments_with_thousands_of_names_like_secrets_hold_up_nobody(mail: Mail) -> None:
    with watched(mail) as watch:
        response = mail.call("send", {"to": "a", "headers": LIKE_SECRETS}, "names-sent")
    assert watch.worst < MOST_SECONDS
    assert outcome(response) == {"outcome": "completed"}


def test_texts_of_signs_only_hold_up_nobody(mail: Mail) -> None:
    signs = "!a" + "!" * 30_000 + "b"
    mail.write("signs", signs)
    with watched(mail) as watch:
        assert outcome(mail.call("send", {"to": "a", "text": signs}, "signs")) == {"outcome": "completed"}
        mail.read("signs", "signs", "book")
        mail.read("signs", "other-signs", "book")
    assert watch.worst < MOST_SECONDS


def test_a_short_secret_is_looked_for_among_backslashes_in_time(mail: Mail) -> None:
    (mail.folder / "answer.json").write_text(json.dumps({"content": [{"type": "text", "text": "\\" * 200_000}]}))
    try:
        with watched(mail) as watch:
            response = mail.call("send", {"to": "a", "pin": "123"}, "backslashes")
    finally:
        (mail.folder / "answer.json").unlink()
    assert watch.worst < MOST_SECONDS
    assert outcome(response) == {"outcome": "completed"}


@pytest.mark.parametrize("number", ["1e1000000000000000000000", "-1E-1000000000000000000000", "1" * 5000])
def test_a_number_of_any_length_in_a_text_is_sent_and_read(mail: Mail, number: str) -> None:
    run = f"number-{len(number)}"
    mail.write("number", f"[{number}]")
    assert outcome(mail.call("send", {"to": "a", "text": f"[{number}]"}, run)) == {"outcome": "completed"}
    mail.read("number", run, "book")


@pytest.fixture
def redacting(mail: Mail) -> Iterator[Mail]:
    mail.oblige({"redact": ["/structuredContent/secret", "/structuredContent/rows/*"]})
    yield mail
    mail.oblige({})


@pytest.mark.parametrize(
    "structured",
    [
        {"secret": [f"aaaaaaaaaaaaaaaa{number:05x}" for number in range(9000)], "rest": "a a" * 200_000},
        {"secret": ["a" * length for length in range(4, 68)], "rest": "a" * 800_000},
        {"secret": "s", "rows": [{"n": number} for number in range(20_000)]},
    ],
    ids=["many", "found often", "many places"],
)
def test_a_result_that_takes_too_long_to_redact_is_withheld(redacting: Mail, structured: dict[str, object]) -> None:
    redacting.write("large", {"content": [{"type": "text", "text": "x"}], "structuredContent": structured})
    with watched(redacting) as watch:
        response = redacting.read("large", "too-much", "book")
    assert watch.worst < MOST_SECONDS
    assert text(response).startswith("[redacted: policy] The call was done.")
    assert "structuredContent" not in response["result"]
    assert meta(response, "redacted") == ["policy"]
    assert "aaaa" not in json.dumps(response) + redacting.kept(response)


def test_a_large_result_with_few_values_to_take_out_still_leaves_without_them(redacting: Mail) -> None:
    structured = {"secret": [f"secret-{number:04}" for number in range(50)], "rest": "a secret-0049 b " * 40_000}
    redacting.write("large", {"content": [{"type": "text", "text": "x"}], "structuredContent": structured})
    with watched(redacting) as watch:
        response = redacting.read("large", "large", "book")
    assert watch.worst < MOST_SECONDS
    assert response["result"]["structuredContent"]["rest"] == "a [redacted: policy] b " * 40_000
