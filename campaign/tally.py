"""What one part of a campaign did, and what it found.

A part without findings passed; one about teeth must have some. None passed that could not be carried out to its end.
"""

import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, ClassVar, Generic, Self, TypeVar

PROGRESS_SECONDS = 10.0

FindingT = TypeVar("FindingT", bound=StrEnum)


@dataclass(slots=True)
class BaseTally(Generic[FindingT]):
    """`did` counts what the part did, in its own words. `examples` tell of the first findings, each with its place.

    `stopped` tells why the part could not go on, where it could not. A campaign names its findings, one of which is
    `OTHER`, with their headings, and how many examples it keeps of each.
    """

    findings: ClassVar[type[Any]]  # what `FindingT` is: a class variable cannot have that type
    headings: ClassVar[Mapping[Any, str]]
    max_examples: ClassVar[int]
    max_chars: ClassVar[int | None] = None
    """Of an example."""
    count_format: ClassVar[str] = ""
    """Of what the part did, in the table."""

    part: str
    seed: int
    must_find: tuple[FindingT, ...] = ()
    seconds: float = 0.0
    did: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stopped: str = ""
    _said: float = field(default_factory=time.monotonic)

    def find(self, finding: FindingT, what: str) -> None:
        """Count a finding."""
        self.found[finding.value] += 1
        if self.found[finding.value] <= self.max_examples:
            self.examples.append(f"{self.headings[finding]}: {what[: self.max_chars]}")

    def check(self, condition: object, what: str) -> None:
        """Count it as another violation where `condition` does not hold."""
        if not condition:
            self.find(self.findings.OTHER, what)

    def progress(self, done: int, total: int) -> None:
        """Say on stderr how far it is, now and then."""
        now = time.monotonic()
        if now - self._said > PROGRESS_SECONDS:
            self._said = now
            print(f"  {self.part}: {done} of {total}", file=sys.stderr, flush=True)

    def stop(self, error: Exception) -> None:
        """The part could not go on: `error` came out of it."""
        self.stopped = "".join(traceback.format_exception(error))[-3000:]

    def unfinished(self) -> tuple[str, str] | None:
        """Where it was not carried out to its end: the verdict, and what is told of it."""
        return ("COULD NOT GO ON", f"could not go on: {self.stopped}") if self.stopped else None

    @property
    def passed(self) -> bool:
        """It was carried out, and found nothing; where it must find something, something of each that it must."""
        if self.unfinished():
            return False
        if self.must_find:
            return all(self.found[finding.value] for finding in self.must_find)
        return not self.found.total()

    def accepted(self) -> bool:
        """Whether the campaign may pass with it."""
        return self.passed

    def verdict(self) -> str:
        """In a word or two."""
        unfinished = self.unfinished()
        if unfinished:
            return unfinished[0]
        if self.must_find:
            return "found out" if self.passed else "NOT FOUND OUT"
        return "ok" if self.passed else "VIOLATED"

    def short(self) -> str:
        """The verdict as it is said on stderr when the part has ended."""
        return self.verdict()

    def document(self) -> dict[str, Any]:
        """As JSON. How it ended stands last, behind what a campaign's own tally has."""
        own = [each.name for each in fields(self) if not each.name.startswith("_") and each.name != "stopped"]
        values = {name: getattr(self, name) for name in own}
        ended = {"stopped": self.stopped, "passed": self.passed}
        return {**values, "did": dict(self.did), "found": dict(self.found), **ended}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """The inverse."""
        values = {name: value for name, value in document.items() if name != "passed"}
        values["must_find"] = tuple(map(cls.findings, document["must_find"]))
        return cls(**{**values, "did": Counter(document["did"]), "found": Counter(document["found"])})
