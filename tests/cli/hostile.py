"""Texts that want to be more than text on somebody's terminal."""

ESCAPES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b31m \r\x08 \x7f"
MARKUP = r"[red]red[/red] [/nope] \[bold]bold \\[/nope] [link=http://evil.example]x[/link] :warning: [@click=app.bell]x"
UNSEEN = (
    "bidi \u202e\u2066 zero\u200b\u200d\ufeff tag\U000e0041 vs\ufe0f\U000e0100 filler\u3164\u115f blank\u2800 nbsp\xa0\u3000"
)
LINES = "one\ntwo\u2028three\x0bfour\nerror[fake]: it is all right\n  next: run something"
STYLED = " ".join((ESCAPES, MARKUP, UNSEEN, LINES))
HOSTILE_NAMES = (ESCAPES, MARKUP, UNSEEN, LINES, "a/b?c#d", "../../status", "%2e%2e%2f", "__", "x" * 5000, "", "caf\xe9")


def acts(text: str) -> list[str]:
    """The characters of the texts above that act on a terminal or are not seen, as far as they are in `text`."""
    harmful = {char for char in STYLED if char not in " \n" and not (char.isprintable() and char.isascii())}
    return sorted(harmful & set(text))
