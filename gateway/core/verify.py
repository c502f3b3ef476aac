"""Is this log what was written? Applied to entries and checkpoints as they are stored; trusts nothing but the keys.

Checked, and every problem names its place. What a revocation disowns is told beside the problems. The log holds only for who
accepts exactly that, and only where a checkpoint that counts covers it: without one it may have been forged since.

* entries are numbered 0, 1, 2, …, each states its own number, and none comes twice
* each entry's signature, form and leaf hash, and that its key is in force there (`trust.py`)
* order: no outcome or doubt without an open intent of the same call, but of a read that policy allowed; no intent of a call
  that is open; no intent of a call that policy wanted a person for without a yes that holds for it, no step of an approval
  request that may not follow the one before, and no answer of somebody, or by a route, that does not count (`requests.py`);
  no request about a changed call but as the signed answer `modify` names it, or in the place of one that has ended
  (`change_links.py`); no resolution of what is not in doubt; no end of a compensation that was not begun, or that is not
  what the end of the undoing call means
* every tile that the store keeps is the one of these entries
* every checkpoint's signature, and that its root is the root of that many entries
* the log is at least as long as its longest checkpoint, the stored head's and the one the auditor kept

Entries and checkpoints are read once, side by side, in the order of their places: memory does not grow with the log.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.change_links import Changes
from gateway.core.checkpoint import Checkpoint, read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.entry import Entry, Kind, open_entry, part
from gateway.core.idempotency import State, undid
from gateway.core.merkle import Frontier, leaf_hash
from gateway.core.requests import Requests
from gateway.core.signed_answers import SignedAnswers
from gateway.core.tiles import Tile, TileEdge, TileName
from gateway.core.trust import Disowned, KeyHistory, TrustedKeys

MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A row of the log: its place, the entry's bytes, the leaf hash kept beside it."""

    index: int
    entry: bytes
    leaf: bytes


@dataclass(slots=True)
class Report:
    """What was found: `size` entries, the first `covered` of them under a checkpoint that counts.

    The log holds without problems, and where nothing is `revoked` but by keys that are `accepted`, and under a checkpoint
    that counts.
    """

    size: int = 0
    root: bytes = b""
    checkpoints: int = 0
    covered: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    revoked: list[Disowned] = field(default_factory=list)
    accepted: frozenset[str] = frozenset()

    def covers(self, one: Disowned) -> bool:
        """Whether a checkpoint that counts says that all of it was there. Nothing else tells it from a later forgery."""
        return one.reaches <= self.covered

    def accepts(self, one: Disowned) -> bool:
        """Whether somebody accepted what a revocation disowns, and could."""
        return one.keyid in self.accepted and self.covers(one)

    def told(self, one: Disowned) -> str:
        """What a revocation disowns, for people: also why it cannot be accepted, where it cannot."""
        if self.covers(one):
            return one.sentence
        return (
            f"{one.sentence}; it cannot be accepted: checkpoints that count cover the first {self.covered} entries only,"
            " and what they do not cover may have been forged since"
        )

    @property
    def unaccepted(self) -> list[Disowned]:
        """What a revocation disowns and nobody accepted, or could."""
        return [one for one in self.revoked if not self.accepts(one)]

    @property
    def faults(self) -> list[str]:
        """Why the log does not hold: the problems, and what is not accepted."""
        return [*self.problems, *(self.told(one) for one in self.unaccepted)]

    @property
    def ok(self) -> bool:
        return not self.faults


def verify_log(
    entries: Iterable[StoredEntry],
    notes: Iterable[tuple[int, str]],
    keys: TrustedKeys,
    *,
    head: tuple[int, bytes] | None = None,
    kept: Sequence[str] = (),
    snapshot: bool = False,
    tile: Callable[[TileName], bytes | None] | None = None,
    accept_revoked: frozenset[str] = frozenset(),
    answers: SignedAnswers | None = None,
) -> Report:
    """Check a whole log in one pass, in memory that grows only with what is open: calls, approvals, doubts.

    Args:
        entries: in the order of their stored numbers
        notes: stored checkpoints as (size they are filed under, signed note), in the order of their sizes
        head: size and root the store itself claims
        kept: signed notes from outside the log, which it must be an extension of
        snapshot: head and entries were read at one moment, so the head must state exactly these entries
        tile: reads the log's stored tiles, which then must be those of these entries
        accept_revoked: ids of keys that `keys` says are revoked; what these revocations disown, and no more, is accepted
            where it is covered
        answers: whose approvers must have signed the answers in the log; None: answers' signatures are not checked
    """
    report = _Pass(keys, notes, head, kept, tile, answers).over(entries, snapshot=snapshot)
    report.accepted = accept_revoked
    return report


class _Pass:
    """One reading of a log: the tree so far, the keys in force, what is open."""

    def __init__(
        self,
        keys: TrustedKeys,
        notes: Iterable[tuple[int, str]],
        head: tuple[int, bytes] | None,
        kept: Sequence[str],
        tile: Callable[[TileName], bytes | None] | None,
        answers: SignedAnswers | None,
    ) -> None:
        self._answers = answers
        self._history = KeyHistory(keys)
        self._order = _Order()
        self._tree = Frontier()
        self._tile = tile
        self._edge = TileEdge()
        self._report = Report()
        self._notes = iter(notes)
        self._next = next(self._notes, None)
        self._head = head
        self._kept = sorted(self._read_kept(kept), key=lambda pair: pair[0], reverse=True)

    def over(self, entries: Iterable[StoredEntry], *, snapshot: bool) -> Report:
        report = self._report
        self._compare()
        for stored in entries:
            if len(report.problems) >= MAX_PROBLEMS:
                report.problems.append("more problems follow; stopped here")
                break
            leaf = leaf_hash(stored.entry)
            self._check_entry(stored, leaf)
            self._tree.append(leaf)
            self._check_tiles(tile for tile in self._edge.append(leaf) if not tile.name.partial)
            self._compare()
        else:
            self._check_end(snapshot=snapshot)
        report.size, report.root = self._tree.size, self._tree.root()
        report.revoked.extend(self._history.disowned.values())
        return report

    def _check_entry(self, stored: StoredEntry, leaf: bytes) -> None:
        name, problems = f"entry {stored.index}", self._report.problems
        if stored.index != self._tree.size:
            problems.append(f"{name}: stands at place {self._tree.size}; an entry before it is missing or was added")
        if leaf != stored.leaf:
            problems.append(f"{name}: its leaf hash is not the hash of its bytes")
        try:
            entry = open_entry(stored.entry, self._history.known)
        except NotVerified as error:
            problems.append(f"{name}: {error}")
            return
        kinds = self._report.kinds
        kinds[entry.kind.value] = kinds.get(entry.kind.value, 0) + 1
        if entry.index != stored.index:
            problems.append(f"{name}: states that it is entry {entry.index}; it was moved or repeated")
            return
        problems.extend(f"{name}: {problem}" for problem in self._history.problems(entry))
        problems.extend(f"{name}: {problem}" for problem in self._order.problems(entry))
        if self._answers is not None:
            problems.extend(f"{name}: {problem}" for problem in self._answers.problems(entry))

    def _compare(self) -> None:
        """Hold what claims to know the root at this size against the tree."""
        size = self._tree.size
        while self._next is not None and self._next[0] <= size:
            filed, note = self._next
            if filed < size:
                self._report.problems.append(f"checkpoint {filed}: is out of order")
            self._check_note(note, filed)
            self._next = next(self._notes, None)
        while self._kept and self._kept[-1][0] <= size:
            _, note = self._kept.pop()
            self._check_root(f"the kept checkpoint {size}", note)
        if self._head is not None and self._head[0] == size and self._head[1] != self._tree.root():
            self._report.problems.append(f"the stored head: its root is not that of the first {size} entries")

    def _check_tiles(self, tiles: Iterable[Tile]) -> None:
        for tile in tiles:
            if self._tile is not None and self._tile(tile.name) != tile.hashes:
                self._report.problems.append(f"{tile.name.path}: is not the tile of these entries")

    def _check_note(self, note: str, filed: int) -> None:
        who = f"checkpoint {filed}"
        self._report.checkpoints += 1
        opened = self._check_root(who, note)
        if opened is None:
            return
        checkpoint, counts = opened
        if counts:
            self._report.covered = max(self._report.covered, checkpoint.size)
        if checkpoint.size != filed:
            self._report.problems.append(f"{who}: is filed under {filed} and states {checkpoint.size}")

    def _check_root(self, who: str, note: str) -> tuple[Checkpoint, bool] | None:
        """Its signature, and its root where it speaks of the tree as it is now. Also whether it counts, or is disowned."""
        try:
            checkpoint, counts = self._history.open_checkpoint(note)
        except NotVerified as error:
            self._report.problems.append(f"{who}: {error}")
            return None
        if checkpoint.size > self._tree.size:
            self._report.problems.append(f"truncated: {who} states {checkpoint.size} entries, the log has {self._tree.size}")
        elif checkpoint.size == self._tree.size and checkpoint.root != self._tree.root():
            self._report.problems.append(f"{who}: its root is not that of the first {checkpoint.size} entries")
        return checkpoint, counts

    def _check_end(self, *, snapshot: bool) -> None:
        """What is left when the entries end."""
        size, problems = self._tree.size, self._report.problems
        while self._next is not None and len(problems) < MAX_PROBLEMS:
            filed, note = self._next
            self._check_note(note, filed)
            self._next = next(self._notes, None)
        for claimed, note in reversed(self._kept):
            self._check_root(f"the kept checkpoint {claimed}", note)
        if self._head is not None and self._head[0] > size:
            problems.append(f"truncated: the stored head states {self._head[0]} entries, the log has {size}")
        if snapshot and self._head is not None and self._head[0] < size:
            problems.append(f"the stored head states {self._head[0]} entries, the log has {size}")
        self._check_tiles(self._edge.partial_tiles())
        problems.extend(self._history.bundle_problems(size))

    def _read_kept(self, kept: Sequence[str]) -> Iterator[tuple[int, str]]:
        for note in kept:
            try:
                yield read_checkpoint(note).checkpoint.size, note
            except NotVerified as error:
                self._report.problems.append(f"the kept checkpoint: {error}")


class _Order:
    """What was begun and not ended: calls, doubts, compensations; and approval requests (`requests.py`)."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Any, ...]] = {}  # by call: what was begun
        self._requests = Requests()
        self._changes = Changes()
        self._doubtful: set[str] = set()
        self._undoing: dict[str, tuple[str, bool | None]] = {}  # by call that undoes: which one, and whether it did

    def problems(self, entry: Entry) -> Iterator[str]:
        match entry.kind:
            case Kind.APPROVAL:
                yield from self._requests.problems(entry)
                yield from self._changes.problems(entry)
            case Kind.INTENT:
                if entry.id in self._open:
                    yield "a second intent of the same call"
                self._open[entry.id] = _begun(entry.predicate)
                yield from self._requests.problems(entry)
                yield from self._changes.problems(entry)
            case Kind.OUTCOME if part(entry.predicate, "result").get("status") == "replayed":
                if entry.id in self._open or part(entry.predicate, "policy").get("effect") not in ("allow", "ask"):
                    yield "a stored result to a call that was begun, or that policy did not let through"
            case Kind.OUTCOME | Kind.IN_DOUBT:
                yield from self._end_problems(entry)
                self._ended(entry.id, entry)
                if entry.kind is Kind.IN_DOUBT:
                    self._doubtful.add(entry.id)
            case Kind.RESOLUTION:
                resolved = str(part(entry.predicate, "resolution").get("envelope_id"))
                if resolved not in self._doubtful:
                    yield "a resolution of a call that is not in doubt"
                self._doubtful.discard(resolved)
                self._ended(resolved, entry)
            case Kind.COMPENSATION:
                yield from self._compensation_problems(part(entry.predicate, "compensation"))
            case _:
                pass

    def _end_problems(self, entry: Entry) -> Iterator[str]:
        """The end of what was begun, as it was begun. Only a read that policy allowed has no intent."""
        predicate = entry.predicate
        begun = self._open.pop(entry.id, None)
        if begun is None:
            effect, mode = part(predicate, "policy").get("effect"), predicate.get("approval_mode_effective")
            if entry.kind is Kind.IN_DOUBT or (effect, mode) != ("allow", "read_only"):
                yield f"{entry.kind} without its intent"
        elif begun != _begun(predicate) and (entry.kind is Kind.OUTCOME or "policy" in predicate):
            yield f"{entry.kind} of another call, decision or approval than its intent"  # after a restart it states none

    def _ended(self, call: str, entry: Entry) -> None:
        if call in self._undoing:
            of, _ = self._undoing[call]
            self._undoing[call] = of, _undid(entry)

    def _compensation_problems(self, told: Mapping[str, Any]) -> Iterator[str]:
        of, by, event = str(told.get("of")), str(told.get("by")), told.get("event")
        if event == "started":
            self._undoing[by] = of, None
            return
        begun, done = self._undoing.get(by, (None, None))
        if begun != of:
            yield "the end of a compensation that was not begun"
            return
        del self._undoing[by]
        if done is None or event != ("completed" if done else "failed"):
            yield "the end of a compensation that is not what the end of its call means"


def _undid(entry: Entry) -> bool | None:
    """What an entry that tells how a call ended, or turned out to have ended, means for the call that it undoes."""
    resolves = entry.kind is Kind.RESOLUTION
    told = part(entry.predicate, "resolution" if resolves else "result")
    said = told.get("verdict" if resolves else "status")
    end = next((state for state in (State.COMPLETED, State.FAILED) if state == said), None)
    return undid(end, is_error=told.get("is_error") is True)


def _begun(predicate: Mapping[str, Any]) -> tuple[Any, ...]:
    """What a call is, how it was decided and who approved it: the same in its intent and its end."""
    call, policy, approval = (part(predicate, name) for name in ("call", "policy", "approval"))
    decided = policy.get("decision_id"), policy.get("effect"), policy.get("bundle_revision")
    return call.get("call_digest"), predicate.get("approval_mode_effective"), *decided, approval.get("approval_id")
