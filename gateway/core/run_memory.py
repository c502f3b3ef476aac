"""What the gateway remembers of runs, in memory only and bounded: what was read, what for, and which results can be cited.

What is forgotten is no origin and no evidence; and of a run that may have been forgotten (`Runs.of`) everything counts as
sent, so that no result teaches it anything. So forgetting only ever makes policy stricter. Whether a run is tainted is not
kept here: that must survive a restart (`flow.py`).
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.core.capability import TrustLevel
from gateway.core.echo import Repeated, Sent
from gateway.core.evidence import EvidenceRef
from gateway.core.intent import Intent
from gateway.core.occurrence import Reading, Sought, count_tokens, reading, sought, texts_of

MAX_RUNS = 4096
MAX_RUN_CHARS = 256 * 1024  # of the texts of one trust level
MAX_BYTES = 64 * 1024 * 1024  # about
BLOCK_CHARS = 16 * 1024  # short texts are searched together
MAX_EVIDENCE = 256
MAX_ECHOED = 64  # words of one call that its result is read beside


@dataclass(slots=True)
class Corpus:
    """Texts, oldest first; the oldest are forgotten first. `chars`: so much is searched; `size`: see `Reading`."""

    blocks: deque[Reading] = field(default_factory=deque)
    chars: int = 0
    size: int = 0

    def add(self, one: Reading) -> None:
        """Keep one more text, within the bound. It is the corpus's own from now on."""
        last = self.blocks[-1] if self.blocks else one
        before = 0, 0
        if self.blocks and len(last.marked) + len(one.marked) <= BLOCK_CHARS:
            before = len(last.marked), last.size
            last.add(one)
        else:
            self.blocks.append(last := one)
        self._count(len(last.marked) - before[0], last.size - before[1])
        while self.chars > MAX_RUN_CHARS:
            oldest = self.blocks.popleft()
            self._count(-len(oldest.marked), -oldest.size)

    def holds(self, value: Sought) -> bool:
        """Whether a value occurs in one of the texts."""
        return any(block.holds(value) for block in self.blocks)

    def _count(self, chars: int, size: int) -> None:
        self.chars += chars
        self.size += size


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
        """About how many bytes of memory it takes."""
        intent = 0 if self.intent is None else self.intent.size
        return self.trusted.size + self.untrusted.size + self.sent.size + intent

    @property
    def chars(self) -> int:
        """How many characters are searched for one value."""
        return self.trusted.chars + self.untrusted.chars + (0 if self.intent is None else self.intent.chars)

    def unknown_texts(self, arguments: dict[str, Any]) -> list[str]:
        """The texts among arguments that neither the intent nor a trusted result of the run holds as they are."""
        texts = list(texts_of(arguments, raw=True))
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
        self._bytes = 0
        self._pending: dict[str, list[Pending]] = {}

    def remembers(self, scope: str) -> bool:
        """Whether there is a memory of the run."""
        return scope in self._runs

    def start(self, scope: str) -> None:
        """The run is a new one: nothing of it can have been forgotten."""
        self._runs[scope] = RunMemory()

    def of(self, scope: str) -> RunMemory:
        """The memory of a run. One that is not there was forgotten, for all that is known: what it sent may be anything."""
        memory = self._runs.get(scope)
        if memory is None:
            memory = self._runs[scope] = RunMemory(sent=Sent(full=True))
        self._runs.move_to_end(scope)
        self._bound()
        return memory

    def register(self, scope: str, intent: Intent) -> None:
        """The run is for this: it is registered durably."""
        memory = self.of(scope)
        before = memory.size
        memory.intent = intent
        self._bytes += memory.size - before
        self._bound()

    def sends(self, scope: str, arguments: dict[str, Any]) -> list[str] | None:
        """A call is about to be sent, or was: from now on no trusted result makes known what was not known of it.

        Returned is what was not, for `read`; None where there are many words: a tool may repeat them in some other form.
        """
        memory = self.of(scope)
        before = memory.size
        unknown = memory.unknown_texts(arguments)
        memory.sent.add(unknown)
        self._bytes += memory.size - before
        self._bound()
        return unknown if count_tokens(texts_of(arguments), MAX_ECHOED) <= MAX_ECHOED else None

    def read(self, scope: str, result: dict[str, Any], evidence: EvidenceRef, sent: list[str] | None) -> None:
        """The run has this result now, of the call for which `sends` returned `sent`.

        A trusted result teaches nothing that the run sent; that of a call with many words, nothing at all.
        """
        memory = self.of(scope)
        memory.evidence[evidence.ref] = evidence
        while len(memory.evidence) > MAX_EVIDENCE:
            memory.evidence.popitem(last=False)
        before = memory.size
        if evidence.trust_level is not TrustLevel.TRUSTED:
            memory.untrusted.add(reading(texts_of(result)))
        elif sent is not None and not memory.sent.full:
            own = Sent()
            own.add(sent, words=True)
            memory.trusted.add(reading(texts_of(result), Repeated(own, memory.sent)))
        self._bytes += memory.size - before
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
        while len(self._runs) > MAX_RUNS or (self._bytes > MAX_BYTES and len(self._runs) > 1):
            _, forgotten = self._runs.popitem(last=False)
            self._bytes -= forgotten.size
