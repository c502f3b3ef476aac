"""Printing: tables for people, JSON for programs, and nothing a tool or an agent wrote may act on the terminal."""

import sys
import unicodedata
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

stdout = Console(width=None if sys.stdout.isatty() else 1000)  # piped: one row, one line
stderr = Console(stderr=True)

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"}


def visible(text: str) -> str:
    """`text` with every control, format, bidi, private or unassigned character written as \\u{…}: what you see is it."""
    return "".join(
        f"\\u{{{ord(char):x}}}" if unicodedata.category(char) in _INVISIBLE and char != "\n" else char for char in text
    )


def one_line(text: str) -> str:
    """`visible`, on one line."""
    return visible(text).replace("\n", "\\n")


def print_json(document: Any) -> None:
    """A document for programs: UTF-8 JSON with control characters escaped."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode())


def print_json_line(document: Any) -> None:
    """One document of a stream (NDJSON)."""
    typer.echo(orjson.dumps(document, option=orjson.OPT_SORT_KEYS).decode())


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
        table.add_row(*(_literal(cell) for cell in row))
    stdout.print(table)


def say(text: str) -> None:
    """Talk, on stderr."""
    stderr.print(text, markup=False, highlight=False, soft_wrap=True)


def _literal(cell: str) -> str:
    return one_line(cell).replace("[", r"\[")
