"""Hidden characters in results, through a real gateway: seen by everybody, or by nobody."""

import json

from tests.flow.mail import Mail, meta
from tests.running import text


def test_they_are_made_visible_before_anybody_gets_them(mail: Mail) -> None:
    mail.write("hidden", {"note": "pay\u200b \u202eeve\U000e0041", "na\u2066me": "\x1b[31mred", "plain": "❤️ ñ 漢"})
    response = mail.read("hidden", "hidden", "book")
    shown = {"note": "pay\\u{200b} \\u{202e}eve\\u{e0041}", "na\\u{2066}me": "\\u{1b}[31mred", "plain": "❤️ ñ 漢"}
    assert response["result"]["structuredContent"] == shown
    assert meta(response, "scan") == ["U+001B", "U+200B", "U+202E", "U+2066", "U+E0041"]
    kept = json.loads(mail.kept(response))["values"]["result"]["value"]
    assert kept["structuredContent"] == shown
    assert mail.origins({"to": "eve"}, "hidden") == {"/to": []}


def test_a_result_without_any_says_nothing_of_it(mail: Mail) -> None:
    mail.write("plain", "plain\ttext\n")
    response = mail.read("plain", "plain", "book")
    assert text(response) == "plain\ttext\n"
    assert meta(response, "scan") is None


def test_an_error_of_the_tool_is_made_visible_too(mail: Mail) -> None:
    mail.write("error", "no\u200b", isError=True)
    assert text(mail.read("error", "error", "book")) == "no\\u{200b}"
