"""Every `sealgate` line on a page is a command that exists, with options it has. The reference page is the generated one."""

import re
import shlex
from collections.abc import Iterator

import pytest

from tests.docs.command_line import commands, page, root
from tests.docs.pages import ROOT, blocks

SYNTAX = re.compile(r"^[|;&<>]+$")


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Where it stands, and the words after `sealgate`."""
    for block in blocks("sh", "console"):
        for number, line in enumerate(block.text.replace("\\\n", "  ").splitlines()):
            if block.language == "console":
                if not line.startswith("$ "):
                    continue  # what it printed
                line = line[2:]
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split, lexer.commenters = True, "#"
            try:
                words = list(lexer)
            except ValueError:
                continue  # a quoted text over several lines: the function of the tutorial
            if words[:2] == ["sudo", "-u"]:
                words = words[3:]
            if words and words[0].rpartition("/")[2] == "sealgate":
                end = next((place for place, word in enumerate(words) if SYNTAX.match(word)), len(words))
                yield f"{block.page.relative_to(ROOT)}:{block.line + number}", words[1:end]


LINES = list(command_lines())


@pytest.mark.parametrize("words", [words for _, words in LINES], ids=[where for where, _ in LINES])
def test_a_command_on_a_page_exists_with_its_options(words: list[str]) -> None:
    command = root()
    while hasattr(command, "commands"):
        assert words, "a noun without a verb"
        assert words[0] in command.commands, words[0]
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words)  # raises where the words do not fit; runs nothing


def test_the_pages_show_every_noun_and_its_verbs() -> None:
    shown = {tuple(words[: len(path)]) for _, words in LINES for path, _ in commands(root())}
    missing = {" ".join(path) for path, _ in commands(root())} - {" ".join(words) for words in shown}
    assert missing <= {"version", "config schema"}


def test_the_published_reference_is_the_generated_one() -> None:
    """If this fails: python -m tests.docs.command_line > docs/reference/command-line.md"""
    assert (ROOT / "docs" / "reference" / "command-line.md").read_text() == page()
