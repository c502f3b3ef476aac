"""What the fuzz campaign counts, and what it does where something that a part needs is missing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from campaign.tally import BaseTally
from fuzz.environment import Missing, NotThere, required

MAX_CHARS = 600  # of an example


class Finding(StrEnum):
    """What must never happen. `OTHER`: a promise besides those that the campaign is about."""

    CRASH = "crash"
    UNANSWERED = "unanswered"
    TAKEN = "taken"
    DISAGREEMENT = "disagreement"
    MEMORY = "memory"
    OTHER = "other"


HEADINGS: dict[Finding, str] = {
    Finding.CRASH: "crashes",
    Finding.UNANSWERED: "unanswered in time",
    Finding.TAKEN: "taken, not refused",
    Finding.DISAGREEMENT: "disagreements",
    Finding.MEMORY: "memory kept",
    Finding.OTHER: "other violations",
}


@dataclass(slots=True)
class Tally(BaseTally[Finding]):
    """What one part did, and what it found.

    `left_out` tells why a part was not run where something that it needs is missing, and `excused` whether that
    is no fault of this machine.
    """

    findings: ClassVar[type[Finding]] = Finding
    headings: ClassVar[dict[Finding, str]] = HEADINGS
    max_examples: ClassVar[int] = 8
    max_chars: ClassVar[int | None] = MAX_CHARS
    count_format: ClassVar[str] = ","

    left_out: str = ""
    excused: bool = False

    def stop(self, error: Exception) -> None:
        """The part could not go on, or is left out where `error` says that something is missing."""
        if isinstance(error, Missing | NotThere):
            self.left_out, self.excused = str(error), isinstance(error, NotThere)
        else:
            BaseTally.stop(self, error)

    def unfinished(self) -> tuple[str, str] | None:
        """Also where it was left out."""
        if self.left_out:
            return "left out", f"was left out: {self.left_out}"
        return BaseTally.unfinished(self)

    def accepted(self) -> bool:
        """Also where it was left out, if that is excused or nothing is required."""
        return self.passed or bool(self.left_out and (self.excused or not required()))
