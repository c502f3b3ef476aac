"""Printing: tables for people, JSON for programs, and nothing a tool or an agent wrote may act on the terminal."""

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

T = TypeVar("T")
_SHOWN_EVERY = 50  # to tell the progress bar costs more than to read an entry

# Piped: one row, one line. Without emoji: `:name:` in a tool's text must stay what it is.
stdout = Console(width=None if sys.stdout.isatty() else 1000, emoji=False)
stderr = Console(stderr=True, emoji=False)

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp", "Zs"}
# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties) as far as it lies in other categories, and a blank symbol.
_IGNORABLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")


def visible(text: str) -> str:
    """`text` with every character that shows nothing, or acts on others, written as \\u{…}: what you see is it.

    Controls, formats (bidi, zero width, tags), variation selectors, fillers, private and unassigned characters, and every
    white space but the space and the line break.
    """
    return "".join(f"\\u{{{ord(char):x}}}" if _hides(char) else char for char in text)


def _hides(char: str) -> bool:
    if char in " \n":
        return False
    return unicodedata.category(char) in _INVISIBLE or _IGNORABLE.match(char) is not None


def one_line(text: str) -> str:
    """`visible`, on one line."""
    return visible(text).replace("\n", "\\n")


def print_json(document: Any) -> None:
    """A document for programs: JSON with every character escaped that could act on a terminal."""
    typer.echo(_escaped(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()))


def print_json_line(document: Any) -> None:
    """One document of a stream (NDJSON)."""
    typer.echo(_escaped(orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode()))


def pretty(document: Any) -> str:
    """Indented JSON for reading, every character of it visible."""
    return visible(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())


def print_table(columns: list[str], rows: list[list[str]], *, empty: str) -> None:
    """A table; `empty` is said on stderr where there are no rows. Cells are shown as they are, never as markup."""
    if not rows:
        stderr.print(empty, markup=False, highlight=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    stdout.print(table)


def say(text: str) -> None:
    """Talk, on stderr."""
    stderr.print(text, markup=False, highlight=False, soft_wrap=True)


def _escaped(text: str) -> str:
    """JSON text with hidden characters as JSON's own escapes. Outside of strings JSON has none but space and newline."""
    return "".join(json.dumps(char)[1:-1] if _hides(char) else char for char in text)


def watched(items: Iterable[T], total: int, doing: str, *, from_count: int = 5_000) -> Iterator[T]:
    """The same items, with a progress bar on a terminal where there are many."""
    if total < from_count or not stderr.is_terminal:
        yield from items
        return
    with Progress(console=stderr, transient=True) as progress:
        task = progress.add_task(doing, total=total)
        for done, item in enumerate(items):
            yield item
            if done % _SHOWN_EVERY == 0:
                progress.update(task, completed=done)
