"""What policy saw of a call is kept with the call's first entry, encrypted, and goes as the call's other values do."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from gateway.adapters.store.sqlite.check import check_file
from gateway.core.capability import ApprovalMode, IdempotencyRule
from gateway.core.commitment import Missing
from gateway.core.entry import Kind
from gateway.core.envelope import Refusal, Replay
from gateway.core.errors import KeyFault, Overloaded, StoreFault
from gateway.core.evidence import EvidenceRef
from gateway.core.outcome import Reason
from tests.core.calls import ALLOW, DENY, Call, envelope_id, request_of, run_of, seal
from tests.store.stalled import stalling
from tests.store.world import SqliteWorld, run

pytestmark = pytest.mark.anyio

WRITE = Call()
READ = Call(mode=ApprovalMode.READ_ONLY, rule=IdempotencyRule.NONE, key=None)
CANARY = "canary-4711"
SEEN = {"context": {"arguments": {"text": CANARY}}}
DECISION = replace(ALLOW, input=b'{"context": {"arguments": {"text": "canary-4711"}}}')


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    world = SqliteWorld(tmp_path)
    yield world
    world.close()


@pytest.mark.parametrize("call", [WRITE, READ], ids=["effect", "read"])
async def test_the_input_of_a_call_that_ran_is_kept_and_readable_by_nobody_else(world: SqliteWorld, call: Call) -> None:
    await run(world, call, decision=DECISION)
    assert await world.journal.policy_input(envelope_id(1)) == SEEN
    for file in world.folder.glob("journal.db*"):
        assert CANARY.encode() not in file.read_bytes()


async def test_the_input_of_a_refusal_and_of_a_replay_is_kept(world: SqliteWorld) -> None:
    call = seal(WRITE, random=os.urandom)
    denied = replace(DENY, input=DECISION.input)
    refusal = Refusal(run_of(WRITE), request_of(WRITE), (Reason("no", "No."),), call.capability, call, denied)
    await world.journal.refuse(refusal)
    assert await world.journal.policy_input(envelope_id(1)) == SEEN
    again = seal(WRITE.but(envelope=2), random=os.urandom)
    await world.journal.replay(
        Replay(again, DECISION, envelope_id(1), EvidenceRef.of_result(again.capability, envelope_id(1), None))
    )
    assert await world.journal.policy_input(envelope_id(2)) == SEEN


@pytest.mark.parametrize("vault", ["full", "damaged", "busy", "standing still"])
async def test_a_refusal_is_recorded_and_says_so_where_its_input_cannot_be_kept(
    tmp_path: Path, vault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.adapters.store.sqlite.journal.KEY_SECONDS", 0.2)
    call = seal(WRITE, random=os.urandom)
    with stalling("vault.db") as disk:
        world = SqliteWorld(tmp_path)
        other = apsw.Connection(str(tmp_path / "vault.db"))
        if vault == "full":
            other.execute("CREATE TRIGGER f BEFORE INSERT ON subject_keys BEGIN SELECT raise(FAIL, 'the disk is full'); END")
        elif vault == "damaged":
            other.execute("INSERT INTO subject_keys VALUES (?, 0, zeroblob(60))", (call.subject,))
        elif vault == "busy":
            world.vault_thread._max_waiting = 0
        else:
            disk.stall()
        denied = replace(DENY, input=DECISION.input)
        refusal = Refusal(run_of(WRITE), request_of(WRITE), (Reason("no", "No."),), call.capability, call, denied)
        receipt = await world.journal.refuse(refusal)
        effects: list[str] = []
        if vault != "standing still":
            with pytest.raises((StoreFault, KeyFault, Overloaded)):
                await run(world, WRITE.but(envelope=2), decision=DECISION, effect=lambda: effects.append("done"))
        (entry,) = world.entries()
        assert (entry.id, entry.kind, effects) == (receipt.envelope_id, Kind.DENIED, [])
        assert entry.predicate["policy"]["input_kept"] is False
        assert entry.predicate["reasons"] == ["no"]
        assert await world.journal.policy_input(envelope_id(1)) is Missing.NOT_KEPT
        disk.go_on()
        other.close()
        world.close()
    assert check_file(world.path, world.keys.trusted()).ok


async def test_a_call_that_was_not_decided_has_none(world: SqliteWorld) -> None:
    await world.journal.refuse(Refusal(run_of(WRITE), request_of(WRITE), (Reason("tool.unknown", "No."),)))
    assert await world.journal.policy_input(envelope_id(1)) is Missing.NOT_KEPT


async def test_retention_takes_the_older_ones(world: SqliteWorld) -> None:
    for number in (1, 2):
        await run(world, WRITE.but(envelope=number, key=f"k{number}"), decision=DECISION)
    assert await world.journal.drop_before(envelope_id(2)) == 1
    assert await world.journal.policy_input(envelope_id(1)) is Missing.NOT_KEPT
    assert await world.journal.policy_input(envelope_id(2)) == SEEN


async def test_an_erasure_takes_those_of_its_subject_and_the_state_still_checks(world: SqliteWorld) -> None:
    call = seal(WRITE)
    await run(world, WRITE, decision=DECISION)
    erasure = await world.journal.erasures.erase(call.subject, reason="asked", by="carol")
    assert erasure.rows == 1
    assert await world.journal.policy_input(envelope_id(1)) is Missing.ERASED
    with apsw.Connection(str(world.path), flags=apsw.SQLITE_OPEN_READONLY) as db:
        assert db.execute("SELECT CAST(input AS BLOB) FROM decisions").fetchall() == [(b"",)]
    await world.checkpointed()
    report = check_file(world.path, world.keys.trusted(), vault=world.vault)
    assert report.ok, report.problems


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE decisions SET input = x'00000000ffffffffffffffffffffffffffff'", "was changed or moved"),
        ("UPDATE decisions SET envelope_id = 'other'", "was changed or moved"),
        ("UPDATE decisions SET input = x''", "has no erasure"),
    ],
)
async def test_a_changed_input_is_found(world: SqliteWorld, change: str, said: str) -> None:
    await run(world, WRITE, decision=DECISION)
    await world.checkpointed()
    other = apsw.Connection(str(world.path))
    other.execute(change)
    other.close()
    report = check_file(world.path, world.keys.trusted(), vault=world.vault)
    assert [problem for problem in report.problems if said in problem and problem.startswith("policy input of")]
