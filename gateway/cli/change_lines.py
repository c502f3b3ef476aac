"""A change of a text as the lines of a unified diff, in time that does not grow with what stays the same."""

import difflib
import re
from collections.abc import Iterator, Sequence

from gateway.adapters.edited_file import EditedFile

CONTEXT_LINES = 2
LONGEST_LINE = 400

_HUNK = re.compile(r"@@ -(\d+)(,\d+)? \+(\d+)(,\d+)? @@")


def change_lines(file: EditedFile, changed: str) -> Iterator[str]:
    """The lines of the diff. Of one that is longer than `LONGEST_LINE`, what is around the change."""
    old, new = file.text.splitlines(), changed.splitlines()
    same = _same_at_start(old, new)
    start = max(0, same - CONTEXT_LINES)
    end = max(0, _same_at_start(old[same:][::-1], new[same:][::-1]) - CONTEXT_LINES)
    middle = old[start : len(old) - end], new[start : len(new) - end]
    name = str(file.path)
    lines = difflib.unified_diff(*middle, name if file.exists else "/dev/null", name, lineterm="", n=CONTEXT_LINES)
    one_line = len(old) <= 1 and len(new) <= 1
    window = _same_at_start(file.text, changed) if one_line else 0
    for number, line in enumerate(lines):
        hunk = _HUNK.fullmatch(line)
        if hunk is not None:
            yield f"@@ -{int(hunk[1]) + start}{hunk[2] or ''} +{int(hunk[3]) + start}{hunk[4] or ''} @@"
        else:
            yield line if number < 2 or len(line) <= LONGEST_LINE else line[0] + _shortened(line[1:], window)


def _same_at_start(old: Sequence[str], new: Sequence[str]) -> int:
    """How many items both begin with."""
    both = enumerate(zip(old, new, strict=False))
    return next((place for place, (one, other) in both if one != other), min(len(old), len(new)))


def _shortened(line: str, window: int) -> str:
    start = max(0, window - LONGEST_LINE // 4)
    shown = line[start : start + LONGEST_LINE]
    return ("…" if start else "") + shown + ("…" if start + LONGEST_LINE < len(line) else "")
