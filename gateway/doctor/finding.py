"""One thing that was looked at, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """`fail`: something does not work, or cannot be trusted. `warn`: it works, and somebody should look."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`about` is what was looked at, `what` a sentence, `fix` the command to run next, or what to do where none does it."""

    about: str
    level: Level
    what: str
    fix: str = ""


def ok(about: str, what: str) -> Finding:
    """It is as it should be."""
    return Finding(about, Level.OK, what)


def warn(about: str, what: str, fix: str) -> Finding:
    """Somebody should look."""
    return Finding(about, Level.WARN, what, fix)


def fail(about: str, what: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(about, Level.FAIL, what, fix)
