"""What the fault campaign counts."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from campaign.tally import BaseTally


class Finding(StrEnum):
    """What must never happen. `OTHER`: a promise besides the four that the campaign is about."""

    LOST = "lost"
    DUPLICATE = "duplicate"
    UNINTENDED = "unintended"
    UNVERIFIABLE = "unverifiable"
    OTHER = "other"


HEADINGS: dict[Finding, str] = {
    Finding.LOST: "acknowledged calls lost",
    Finding.DUPLICATE: "duplicate effects",
    Finding.UNINTENDED: "effects without an intent",
    Finding.UNVERIFIABLE: "unverifiable logs",
    Finding.OTHER: "other violations",
}


@dataclass(slots=True)
class Tally(BaseTally[Finding]):
    """What one part did, and what it found."""

    findings: ClassVar[type[Finding]] = Finding
    headings: ClassVar[dict[Finding, str]] = HEADINGS
    max_examples: ClassVar[int] = 10

    def short(self) -> str:
        """Whether it passed."""
        return "ok" if self.passed else "NOT OK"
