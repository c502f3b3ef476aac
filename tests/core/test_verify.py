"""The order that a log must have, and what verification makes of a log that somebody with the right keys wrote wrongly."""

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.entry import Kind, Record, seal_entry
from gateway.core.merkle import Frontier, leaf_hash
from gateway.core.trust import KeyPeriod, TrustedKeys, keyed
from gateway.core.verify import MAX_PROBLEMS, Report, StoredEntry, verify_log
from tests.core.calls import NOW, envelope_id

ORIGIN = "test.example/log"
SIGNER = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
LOG = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
KEYS = TrustedKeys(
    keyed(KeyPeriod(Ed25519PublicKey.from_public_bytes(SIGNER.public_key))),
    keyed(KeyPeriod(Ed25519PublicKey.from_public_bytes(LOG.public_key))),
    ORIGIN,
)
ALLOWED = {"policy": {"effect": "allow"}}
READ = {**ALLOWED, "approval_mode_effective": "read_only"}
REPLAYED: dict[str, Any] = {**ALLOWED, "result": {"status": "replayed"}}

Said = tuple[Kind, int, dict[str, Any]]


def intent(call: int = 1, body: dict[str, Any] = ALLOWED) -> Said:
    return Kind.INTENT, call, body


def outcome(call: int = 1, body: dict[str, Any] = ALLOWED) -> Said:
    return Kind.OUTCOME, call, {"result": {"status": "completed"}, **body}


def in_doubt(call: int = 1) -> Said:
    return Kind.IN_DOUBT, call, {"result": {"status": "in_doubt"}}


def answer(call: int, *, is_error: bool) -> Said:
    return outcome(call, {**ALLOWED, "result": {"status": "completed", "is_error": is_error}})


def failure(call: int) -> Said:
    return outcome(call, {**ALLOWED, "result": {"status": "failed"}})


def verdict(call: int, said: str, **told: Any) -> Said:
    return Kind.RESOLUTION, 8, {"resolution": {"envelope_id": envelope_id(call), "verdict": said, **told}}


def undo(event: str, by: int = 2, of: int = 1) -> Said:
    return Kind.COMPENSATION, 7, {"compensation": {"of": envelope_id(of), "by": envelope_id(by), "event": event}}


def written(said: list[Said]) -> list[StoredEntry]:
    """These entries, signed, in this order. A body may say itself when it was recorded."""
    sealed = [
        seal_entry(Record(kind, envelope_id(call), body.get("recorded_at", NOW), body), place, SIGNER, dev=False)
        for place, (kind, call, body) in enumerate(said)
    ]
    return [StoredEntry(one.index, one.data, one.leaf) for one in sealed]


def verify(*said: Said) -> list[str]:
    return verify_log(written(list(said)), (), KEYS).problems


@pytest.mark.parametrize(
    "said",
    [
        [],
        [intent(), outcome()],
        [intent(), in_doubt()],
        [intent()],
        [intent(1), intent(2), outcome(2), outcome(1)],
        [outcome(1, READ), outcome(2, READ)],
        [outcome(1, REPLAYED)],
        [outcome(1, {**REPLAYED, "policy": {"effect": "ask"}})],
        [(Kind.DENIED, 1, {}), (Kind.BOOT, 2, {}), (Kind.PIN, 3, {})],
        [intent(2), undo("started"), answer(2, is_error=False), undo("completed")],
        [intent(2), undo("started"), answer(2, is_error=True), undo("failed")],
        [intent(2), undo("started"), failure(2), undo("failed")],
        [intent(2), undo("started"), in_doubt(2), verdict(2, "completed"), undo("completed")],
        [intent(2), undo("started"), in_doubt(2), verdict(2, "completed", is_error=False), undo("completed")],
        [intent(2), undo("started"), in_doubt(2), verdict(2, "completed", is_error=True), undo("failed")],
        [intent(2), undo("started"), in_doubt(2), verdict(2, "failed"), undo("failed")],
        [intent(2), undo("started"), intent(3), undo("started", 3, 4), failure(2), undo("failed")],
    ],
)
def test_what_the_gateway_writes_is_in_order(said: list[Said]) -> None:
    assert verify(*said) == []


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ([intent(), intent()], "entry 1: a second intent of the same call"),
        ([outcome()], "entry 0: outcome without its intent"),
        ([in_doubt()], "entry 0: in_doubt without its intent"),
        ([outcome(), intent()], "entry 0: outcome without its intent"),
        ([intent(), outcome(), outcome()], "entry 2: outcome without its intent"),
        ([intent(), outcome(), in_doubt()], "entry 2: in_doubt without its intent"),
        ([intent(), in_doubt(), outcome()], "entry 2: outcome without its intent"),
        ([intent(2), outcome(1)], "entry 1: outcome without its intent"),
        ([outcome(1, {})], "entry 0: outcome without its intent"),
        ([outcome(1, {**READ, "policy": {"effect": "ask"}})], "entry 0: outcome without its intent"),
        ([outcome(1, {**READ, "policy": {"effect": "deny"}})], "entry 0: outcome without its intent"),
        ([outcome(1, {"approval_mode_effective": "read_only"})], "entry 0: outcome without its intent"),
        ([intent(1), outcome(1, {**ALLOWED, "call": {"call_digest": "x"}})], "entry 1: outcome of another call, decision"),
        ([intent(1), outcome(1, READ)], "entry 1: outcome of another call, decision"),
        ([intent(1), outcome(1, {"policy": {"effect": "ask"}})], "entry 1: outcome of another call, decision"),
        (
            [intent(1), outcome(1, {**ALLOWED, "approval": {"approval_id": "x"}})],
            "entry 1: outcome of another call, decision",
        ),
        ([intent(1), outcome(1, REPLAYED)], "entry 1: a stored result to a call that was begun"),
        ([outcome(1, {**REPLAYED, "policy": {"effect": "deny"}})], "entry 0: a stored result to a call that was begun"),
        ([intent(1, {"policy": {"effect": "deny"}})], "entry 0: an intent without an approval"),
        ([intent(1, {})], "entry 0: an intent without an approval"),
    ],
)
def test_what_cannot_have_happened_in_that_order_is_named(said: list[Said], problem: str) -> None:
    assert any(found.startswith(problem) for found in verify(*said)), verify(*said)


BEGUN = [intent(2), undo("started")]
LOST = [*BEGUN, in_doubt(2)]


@pytest.mark.parametrize(
    "said",
    [
        [*BEGUN, answer(2, is_error=True), undo("completed")],
        [*BEGUN, answer(2, is_error=False), undo("failed")],
        [*BEGUN, failure(2), undo("completed")],
        [*BEGUN, undo("completed")],
        [*BEGUN, undo("failed")],
        [*LOST, undo("completed")],
        [*LOST, undo("failed")],
        [*LOST, verdict(2, "completed", is_error=True), undo("completed")],
        [*LOST, verdict(2, "completed"), undo("failed")],
        [*LOST, verdict(2, "failed"), undo("completed")],
    ],
)
def test_a_call_counts_as_undone_by_what_its_undoing_call_came_to_and_nothing_else(said: list[Said]) -> None:
    problem = "the end of a compensation that is not what the end of its call means"
    assert verify(*said) == [f"entry {len(said) - 1}: {problem}"]


@pytest.mark.parametrize("end", [undo("completed"), undo("completed", 2, 9), undo("completed", 3)])
def test_the_end_of_an_undoing_belongs_to_its_beginning(end: Said) -> None:
    before = [] if end[2]["compensation"]["of"] == envelope_id(1) else BEGUN
    assert verify(*before, end) == [f"entry {len(before)}: the end of a compensation that was not begun"]


def checkpoint(entries: list[StoredEntry], size: int) -> tuple[int, str]:
    """The signed checkpoint of the first `size` of them."""
    frontier = Frontier()
    for stored in entries[:size]:
        frontier.append(leaf_hash(stored.entry))
    return size, sign_checkpoint(Checkpoint(ORIGIN, size, frontier.root()), LOG)


LOG_OF_NINE = written([(Kind.BOOT, number, {}) for number in range(9)])


def test_each_checkpoint_is_compared_with_the_entries_it_covers() -> None:
    notes = [checkpoint(LOG_OF_NINE, size) for size in (0, 1, 5, 9)]
    report = verify_log(LOG_OF_NINE, notes, KEYS, kept=[notes[2][1]])
    assert report.ok
    assert (report.size, report.checkpoints, report.kinds) == (9, 4, {"boot": 9})
    assert Checkpoint(ORIGIN, 9, report.root) == Checkpoint(ORIGIN, 9, _root(LOG_OF_NINE))
    other = written([(Kind.BOOT, number + 1, {}) for number in range(9)])
    wrong = verify_log(other, notes, KEYS)
    assert wrong.problems == [f"checkpoint {size}: its root is not that of the first {size} entries" for size in (1, 5, 9)]


def _root(entries: list[StoredEntry]) -> bytes:
    frontier = Frontier()
    for stored in entries:
        frontier.append(leaf_hash(stored.entry))
    return frontier.root()


def test_a_head_that_was_read_before_the_log_grew_is_no_problem() -> None:
    assert verify_log(LOG_OF_NINE, [checkpoint(LOG_OF_NINE, 5)], KEYS, head=(7, _root(LOG_OF_NINE[:7]))).ok


@pytest.mark.parametrize("size", range(9))
def test_a_shorter_log_than_a_checkpoint_states_is_truncated(size: int) -> None:
    note = checkpoint(LOG_OF_NINE, 9)
    (problem,) = verify_log(LOG_OF_NINE[:size], [note], KEYS).problems
    assert problem == f"truncated: checkpoint 9 states 9 entries, the log has {size}"
    (problem,) = verify_log(LOG_OF_NINE[:size], (), KEYS, kept=[note[1]]).problems
    assert problem == f"truncated: the kept checkpoint 9 states 9 entries, the log has {size}"


def test_it_stops_after_enough_problems_and_says_so() -> None:
    def endless() -> Iterator[StoredEntry]:
        while True:
            yield StoredEntry(0, b"{}", bytes(32))

    report: Report = verify_log(endless(), (), KEYS)
    assert report.problems[-1] == "more problems follow; stopped here"
    assert len(report.problems) <= MAX_PROBLEMS + 3
