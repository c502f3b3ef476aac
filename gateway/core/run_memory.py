"""What the gateway remembers of runs, in memory only and bounded: what was read, what for, and which results can be cited.

What is forgotten is no origin and no evidence, so forgetting only ever makes policy stricter. Whether a run is tainted is
not kept here: that must survive a restart (`flow.py`).
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.core.capability import TrustLevel
from gateway.core.echo import Sent
from gateway.core.evidence import EvidenceRef
from gateway.core.intent import Intent
from gateway.core.occurrence import Reading, Sought, count_tokens, reading, sought, texts_of

MAX_RUNS = 4096
MAX_RUN_CHARS = 256 * 1024  # of the texts of one trust level
MAX_CHARS = 32 * 1024 * 1024
MAX_EVIDENCE = 256
MAX_ECHOED = 64  # words of one call that its result is read beside


@dataclass(slots=True)
class Corpus:
    """Texts, oldest first; the oldest are forgotten first."""

    readings: deque[Reading] = field(default_factory=deque)
    size: int = 0

    def add(self, one: Reading) -> None:
        """Keep one more text, within the bound."""
        self.readings.append(one)
        self.size += one.size
        while self.size > MAX_RUN_CHARS:
            self.size -= self.readings.popleft().size

    def holds(self, value: Sought) -> bool:
        """Whether a value occurs in one of the texts."""
        return any(one.holds(value) for one in self.readings)


@dataclass(slots=True)
class RunMemory:
    """One run's. `intent` is set once it is registered; `calls` counts them all; `sent`: what was not known by then."""

    intent: Intent | None = None
    calls: int = 0
    trusted: Corpus = field(default_factory=Corpus)
    untrusted: Corpus = field(default_factory=Corpus)
    sent: Sent = field(default_factory=Sent)
    evidence: OrderedDict[str, EvidenceRef] = field(default_factory=OrderedDict)

    @property
    def size(self) -> int:
        """About how many characters it takes."""
        intent = 0 if self.intent is None else self.intent.size
        return self.trusted.size + self.untrusted.size + self.sent.size + intent

    def unknown_texts(self, arguments: dict[str, Any]) -> list[str]:
        """The texts among arguments that neither the intent nor a trusted result of the run holds as they are."""
        texts = list(texts_of(arguments))
        return texts if len(texts) > MAX_ECHOED else [text for text in texts if not self._vouches_for(text)]

    def _vouches_for(self, text: str) -> bool:
        value = sought(text)
        return (self.intent is not None and self.intent.mentions(value)) or self.trusted.holds(value)


class Pending:
    """One of the calls of a run that may yet have an effect.

    Of calls that come at the same moment each is told how many are `ahead` of it, so that none gets past a budget beside
    another. Once begun it is counted durably and no longer here.
    """

    def __init__(self, line: list["Pending"]) -> None:
        self._line = line
        line.append(self)

    @property
    def ahead(self) -> int:
        return self._line.index(self) if self in self._line else 0

    def begun(self) -> None:
        if self in self._line:
            self._line.remove(self)


class Runs:
    """The memories by scope (`flow.scope_of`); the one used longest ago is forgotten first. Owned by the event loop."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, RunMemory] = OrderedDict()
        self._chars = 0
        self._pending: dict[str, list[Pending]] = {}

    def of(self, scope: str) -> RunMemory:
        """The memory of a run, made where there is none."""
        memory = self._runs.setdefault(scope, RunMemory())
        self._runs.move_to_end(scope)
        self._bound()
        return memory

    def register(self, scope: str, intent: Intent) -> None:
        """The run is for this: it is registered durably."""
        memory = self.of(scope)
        before = memory.size
        memory.intent = intent
        self._chars += memory.size - before
        self._bound()

    def sends(self, scope: str, arguments: dict[str, Any]) -> None:
        """A call is about to be sent, or was: from now on no trusted result makes known what was not known of it."""
        memory = self.of(scope)
        before = memory.size
        memory.sent.add(memory.unknown_texts(arguments))
        self._chars += memory.size - before
        self._bound()

    def read(self, scope: str, result: dict[str, Any], evidence: EvidenceRef, arguments: dict[str, Any]) -> None:
        """The run has this result now, of a call with these arguments, which it sent (`sends`).

        A trusted result teaches nothing that the run sent; that of a call with many words, nothing at all: it may repeat
        them in some other form.
        """
        memory = self.of(scope)
        memory.evidence[evidence.ref] = evidence
        while len(memory.evidence) > MAX_EVIDENCE:
            memory.evidence.popitem(last=False)
        before = memory.size
        if evidence.trust_level is not TrustLevel.TRUSTED:
            memory.untrusted.add(reading(texts_of(result)))
        elif count_tokens(texts_of(arguments), MAX_ECHOED) <= MAX_ECHOED:
            own = Sent()
            own.add(memory.unknown_texts(arguments), words=True)
            repeated = [sent.repeated() for sent in (own, memory.sent)]
            memory.trusted.add(reading(texts_of(result), repeated=[one for one in repeated if one is not None]))
        self._chars += memory.size - before
        self._bound()

    @contextmanager
    def effect(self, scope: str, *, may_have_one: bool) -> Iterator["Pending"]:
        """A call is under way; until it is begun (`Pending.begun`) or left, it may yet have the effect that it may have."""
        if not may_have_one:
            yield Pending([])
            return
        pending = Pending(self._pending.setdefault(scope, []))
        try:
            yield pending
        finally:
            pending.begun()
            if not self._pending.get(scope):
                self._pending.pop(scope, None)

    def _bound(self) -> None:
        while len(self._runs) > MAX_RUNS or (self._chars > MAX_CHARS and len(self._runs) > 1):
            _, forgotten = self._runs.popitem(last=False)
            self._chars -= forgotten.size
