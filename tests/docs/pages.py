"""The pages a reader gets, and what is in them: links, headings, blocks."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples" / "README.md",
]

_FENCE = re.compile(r"^```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\((?P<target>[^()\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (?P<text>.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    """All blocks in these languages, page by page."""
    return [block for page in PAGES for block in _blocks(page) if block.language in languages]


def links(page: Path) -> list[str]:
    """Targets of the links of a page, those in blocks left out."""
    return [match["target"] for match in _LINK.finditer(_prose(page))]


def anchors(page: Path) -> set[str]:
    """What `#…` may name on a page, as GitHub makes it from the headings."""
    found: set[str] = set()
    for match in _HEADING.finditer(_prose(page)):
        text = re.sub(r"[^\w\- ]", "", match["text"].replace("`", "")).strip().lower().replace(" ", "-")
        name, number = text, 0
        while name in found:
            number += 1
            name = f"{text}-{number}"
        found.add(name)
    return found


def _blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in _FENCE.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 2, match["language"], match["text"])


def _prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())
