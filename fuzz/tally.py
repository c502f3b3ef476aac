"""What one part of the campaign did, and what it found.

A part without findings passed; one about teeth must have some. None passed that could not be carried out to its end.
"""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

MAX_EXAMPLES = 8  # of each finding
MAX_CHARS = 600
PROGRESS_SECONDS = 10.0


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
class Tally:
    """`did` counts what the part did, in its own words. `examples` tell of the first findings, each with its place.

    `left_out` tells why a part was not run where something that it needs is missing, and `excused` whether that
    is no fault of this machine; `stopped`, why it could not go on.
    """

    part: str
    seed: int
    must_find: tuple[Finding, ...] = ()
    seconds: float = 0.0
    did: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: str = ""
    excused: bool = False
    stopped: str = ""
    _said: float = field(default_factory=time.monotonic)

    def find(self, finding: Finding, what: str) -> None:
        """Count a finding."""
        self.found[finding.value] += 1
        if self.found[finding.value] <= MAX_EXAMPLES:
            self.examples.append(f"{HEADINGS[finding]}: {what[:MAX_CHARS]}")

    def check(self, condition: object, what: str) -> None:
        """Count it as another violation where `condition` does not hold."""
        if not condition:
            self.find(Finding.OTHER, what)

    def progress(self, done: int, total: int) -> None:
        """Say on stderr how far it is, now and then."""
        now = time.monotonic()
        if now - self._said > PROGRESS_SECONDS:
            self._said = now
            print(f"  {self.part}: {done} of {total}", file=sys.stderr, flush=True)

    @property
    def passed(self) -> bool:
        """It was carried out, and found nothing; where it must find something, something of each that it must."""
        if self.stopped or self.left_out:
            return False
        if self.must_find:
            return all(self.found[finding.value] for finding in self.must_find)
        return not self.found.total()

    def document(self) -> dict[str, Any]:
        """As JSON."""
        values = {each.name: getattr(self, each.name) for each in fields(self) if not each.name.startswith("_")}
        return {**values, "did": dict(self.did), "found": dict(self.found), "passed": self.passed}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Tally":
        """The inverse."""
        values = {name: value for name, value in document.items() if name != "passed"}
        values["must_find"] = tuple(map(Finding, document["must_find"]))
        return cls(**{**values, "did": Counter(document["did"]), "found": Counter(document["found"])})
