"""Is this log what was written? Applied to entries and checkpoints as they are stored; trusts nothing but the keys.

Checked, and every problem names its place:

* entries are numbered 0, 1, 2, …, each states its own number, and none comes twice
* each entry's signature, form and leaf hash
* order: no outcome or doubt of an effect without an open intent, no intent of a call that is open; no intent of a call that
  policy wanted a person for without a yes to exactly this call, and none after another one used that yes
* every checkpoint's signature, and that its root is the root of that many entries
* the log is at least as long as its longest checkpoint, the stored head's and the one the auditor kept
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.checkpoint import Checkpoint, open_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.entry import Entry, Kind, open_entry
from gateway.core.merkle import Frontier, leaf_hash

MAX_PROBLEMS = 100


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A row of the log: its place, the entry's bytes, the leaf hash kept beside it."""

    index: int
    entry: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys the auditor trusts: entry keys by key id, the log's key and the log's name."""

    entry_keys: Mapping[str, Ed25519PublicKey]
    log_key: Ed25519PublicKey
    origin: str


@dataclass(slots=True)
class Report:
    """What was found: `size` entries, the first `covered` of them under a checkpoint. The log holds without problems."""

    size: int = 0
    root: bytes = b""
    checkpoints: int = 0
    covered: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Claim:
    """Someone's statement of the root at `size`."""

    who: str
    size: int
    root: bytes


def verify_log(
    entries: Iterable[StoredEntry],
    notes: Iterable[tuple[int, str]],
    keys: TrustedKeys,
    *,
    head: tuple[int, bytes] | None = None,
    kept: Sequence[str] = (),
    snapshot: bool = False,
) -> Report:
    """Check a whole log in one pass, in memory that does not grow with values, only with calls still open.

    Args:
        entries: in the order of their stored numbers
        notes: stored checkpoints as (size they are filed under, signed note)
        head: size and root the store itself claims
        kept: signed notes from outside the log, which it must be an extension of
        snapshot: head and entries were read at one moment, so the head must state exactly these entries
    """
    report = Report()
    claims = list(_claims(notes, keys, head, kept, report))
    by_size: dict[int, list[_Claim]] = {}
    for claim in claims:
        by_size.setdefault(claim.size, []).append(claim)

    tree = Frontier()
    order = _Order()
    _compare(by_size, tree, report)
    for stored in entries:
        if len(report.problems) >= MAX_PROBLEMS:
            report.problems.append("more problems follow; stopped here")
            break
        _check_entry(stored, tree.size, keys, order, report)
        tree.append(leaf_hash(stored.entry))
        _compare(by_size, tree, report)
    else:
        for claim in claims:
            if claim.size > tree.size:
                report.problems.append(f"truncated: {claim.who} states {claim.size} entries, the log has {tree.size}")
        if snapshot and head is not None and head[0] < tree.size:
            report.problems.append(f"the stored head states {head[0]} entries, the log has {tree.size}")
    report.size, report.root = tree.size, tree.root()
    return report


def _check_entry(stored: StoredEntry, place: int, keys: TrustedKeys, order: "_Order", report: Report) -> None:
    name = f"entry {stored.index}"
    if stored.index != place:
        report.problems.append(f"{name}: stands at place {place}; an entry before it is missing or was added")
    if leaf_hash(stored.entry) != stored.leaf:
        report.problems.append(f"{name}: its leaf hash is not the hash of its bytes")
    try:
        entry = open_entry(stored.entry, keys.entry_keys)
    except NotVerified as error:
        report.problems.append(f"{name}: {error}")
        return
    report.kinds[entry.kind.value] = report.kinds.get(entry.kind.value, 0) + 1
    if entry.index != stored.index:
        report.problems.append(f"{name}: states that it is entry {entry.index}; it was moved or repeated")
        return
    report.problems.extend(f"{name}: {problem}" for problem in order.problems(entry))


class _Order:
    """Calls whose intent was seen and whose end was not, and approvals not used yet: the only memory a pass needs."""

    def __init__(self) -> None:
        self._open: set[str] = set()
        self._approved: dict[str, tuple[Any, ...]] = {}

    def problems(self, entry: Entry) -> Iterator[str]:
        match entry.kind:
            case Kind.APPROVAL if entry.predicate.get("event") == "approved":
                asked = entry.predicate.get("approval") or {}
                self._approved[_approval_id(entry.predicate)] = tuple(asked.get(name) for name in ASKED)
            case Kind.INTENT:
                if entry.id in self._open:
                    yield "a second intent of the same call"
                self._open.add(entry.id)
                yield from self._grant_problems(entry.predicate)
            case Kind.OUTCOME | Kind.IN_DOUBT:
                if entry.id not in self._open and (entry.kind is Kind.IN_DOUBT or _needs_intent(entry.predicate)):
                    yield f"{entry.kind} without its intent"
                self._open.discard(entry.id)
            case _:
                pass

    def _grant_problems(self, predicate: Mapping[str, Any]) -> Iterator[str]:
        if (predicate.get("policy") or {}).get("effect") == "allow":
            return
        answered = self._approved.pop(_approval_id(predicate), None)
        if answered is None:
            yield "an intent without an approval that was given and not used before"
        elif answered != _runs(predicate):
            yield "an intent with the approval of another call, mode or policy"


ASKED = ("call_digest", "mode", "policy_revision")


def _runs(predicate: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an intent runs, in the order of `ASKED`."""
    call, policy = predicate.get("call") or {}, predicate.get("policy") or {}
    return call.get("call_digest"), predicate.get("approval_mode_effective"), policy.get("bundle_revision")


def _approval_id(predicate: Mapping[str, Any]) -> str:
    return str((predicate.get("approval") or {}).get("approval_id"))


def _needs_intent(predicate: Mapping[str, Any]) -> bool:
    result = predicate.get("result") or {}
    return predicate.get("approval_mode_effective") != "read_only" and result.get("status") != "replayed"


def _claims(
    notes: Iterable[tuple[int, str]],
    keys: TrustedKeys,
    head: tuple[int, bytes] | None,
    kept: Sequence[str],
    report: Report,
) -> Iterator[_Claim]:
    for size, note in notes:
        report.checkpoints += 1
        who = f"checkpoint {size}"
        checkpoint = _opened(note, who, keys, report)
        if checkpoint is not None:
            report.covered = max(report.covered, checkpoint.size)
            if checkpoint.size != size:
                report.problems.append(f"{who}: is filed under {size} and states {checkpoint.size}")
            yield _Claim(who, checkpoint.size, checkpoint.root)
    for note in kept:
        checkpoint = _opened(note, "the kept checkpoint", keys, report)
        if checkpoint is not None:
            yield _Claim(f"the kept checkpoint {checkpoint.size}", checkpoint.size, checkpoint.root)
    if head is not None:
        yield _Claim("the stored head", *head)


def _opened(note: str, who: str, keys: TrustedKeys, report: Report) -> Checkpoint | None:
    try:
        return open_checkpoint(note, keys.origin, keys.log_key)
    except NotVerified as error:
        report.problems.append(f"{who}: {error}")
        return None


def _compare(by_size: Mapping[int, list[_Claim]], tree: Frontier, report: Report) -> None:
    claims = by_size.get(tree.size)
    if claims:
        root = tree.root()
        for claim in claims:
            if claim.root != root:
                report.problems.append(f"{claim.who}: its root is not that of the first {tree.size} entries")
