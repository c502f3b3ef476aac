"""A disk that stands still while it makes a new subject's key: that call waits, every other one is answered."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from gateway.adapters.keys import make_keys
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.database import open_for_writing
from gateway.adapters.store.sqlite.journal import SqliteJournal
from gateway.adapters.vault import FileVault, VaultThread
from gateway.core.answer import Answer
from gateway.core.approval import Grant
from gateway.core.capability import ApprovalMode
from gateway.core.commitment import Missing
from gateway.core.entry import Kind
from gateway.core.errors import ApprovalSpent, Overloaded, StoreFault
from gateway.core.outcome import Receipt
from gateway.core.reservation import Prior, Waiting
from gateway.core.run_context import Principal, PrincipalKind
from gateway.wiring import opened_journal
from tests.core.calls import ALLOW, ASK, Call, ask_for, envelope_id, person, seal
from tests.store.stalled import StallingFile, stalling
from tests.store.world import ORIGIN, SqliteWorld, answered, run, text, until

pytestmark = pytest.mark.anyio

CAROL = Principal(PrincipalKind.USER, "carol")
HERS, CAROLS = Call(key="hers"), Call(key="carols", envelope=2, principal=CAROL)
CAROLS_READ = CAROLS.but(mode=ApprovalMode.READ_ONLY, key=None)
BOB = person("user:bob")


@pytest.fixture
def disk() -> Iterator[StallingFile]:
    with stalling("vault.db") as file:
        yield file


@pytest.fixture
def world(disk: StallingFile, tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path, approvers={BOB.signer.keyid: BOB.approver})
    yield opened
    disk.go_on()
    opened.close()


def subjects_with_keys(world: SqliteWorld) -> list[str]:
    db = apsw.Connection(str(world.folder / "vault.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = [str(row[0]) for row in db.execute("SELECT subject FROM subject_keys ORDER BY subject, number")]
    db.close()
    return found


@pytest.mark.parametrize("call", [CAROLS, CAROLS_READ], ids=["effect", "read"])
async def test_other_calls_are_answered_and_its_own_has_no_effect_yet(
    world: SqliteWorld, disk: StallingFile, call: Call
) -> None:
    await run(world, HERS)
    disk.stall()
    effects: list[str] = []
    hers = asyncio.ensure_future(run(world, call, effect=lambda: effects.append("carol")))
    await until(disk.waiting.is_set)
    for number in range(3, 13):
        assert isinstance(await run(world, HERS.but(key=f"key-{number}", envelope=number)), Receipt)
    assert isinstance(await run(world, HERS.but(envelope=20)), Prior)
    assert (hers.done(), effects) == (False, [])
    disk.go_on()
    assert isinstance(await hers, Receipt)
    assert effects == ["carol"]
    kept = await world.journal.values(envelope_id(2))
    assert kept is not None
    assert not isinstance(kept.arguments, Missing)
    assert world.verify().ok


async def test_operators_are_answered_meanwhile(world: SqliteWorld, disk: StallingFile) -> None:
    asking = seal(HERS, random=os.urandom)
    request = ask_for(asking, approval_id=envelope_id(60))
    assert await world.journal.reserve(asking, ASK, request) == Waiting(request)
    disk.stall()
    waits = asyncio.ensure_future(run(world, CAROLS))
    await until(disk.waiting.is_set)
    (row,) = await world.journal.questions.rows(pending_only=True)
    assert row.request == request
    await world.journal.questions.answer(request.approval_id, BOB.sign(request, Answer.APPROVE))
    assert isinstance(await run(world, HERS.but(envelope=3), decision=ASK, ask=request), Receipt)
    disk.go_on()
    assert isinstance(await waits, Receipt)


async def test_many_calls_of_a_new_subject_at_once_make_one_key(world: SqliteWorld, disk: StallingFile) -> None:
    disk.stall()
    calls = [CAROLS.but(key=f"key-{number}", envelope=number) for number in range(2, 32)]
    running = [asyncio.ensure_future(run(world, call)) for call in calls]
    await until(disk.waiting.is_set)
    disk.go_on()
    assert all(isinstance(ended, Receipt) for ended in await asyncio.gather(*running))
    assert subjects_with_keys(world) == ["acme/user:carol"]
    for call in calls:
        kept = await world.journal.values(envelope_id(call.envelope))
        assert kept is not None
        assert not isinstance(kept.result, Missing)


async def test_a_call_whose_caller_leaves_while_its_key_is_made_leaves_its_idempotency_key_free(
    world: SqliteWorld, disk: StallingFile
) -> None:
    disk.stall()
    leaves = asyncio.ensure_future(run(world, CAROLS))
    await until(disk.waiting.is_set)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    again = asyncio.ensure_future(run(world, CAROLS.but(envelope=3)))
    disk.go_on()
    assert isinstance(await again, Receipt)
    assert subjects_with_keys(world) == ["acme/user:carol"]


@pytest.mark.parametrize("call", [CAROLS, CAROLS_READ], ids=["effect", "read"])
async def test_a_call_whose_key_cannot_be_made_does_not_run(world: SqliteWorld, call: Call) -> None:
    await run(world, HERS)
    blocker = apsw.Connection(str(world.folder / "vault.db"))
    blocker.execute("CREATE TRIGGER full BEFORE INSERT ON subject_keys BEGIN SELECT raise(FAIL, 'the disk is full'); END")
    effects: list[str] = []
    with pytest.raises(StoreFault, match="cannot keep a new key"):
        await run(world, call, effect=lambda: effects.append("carol"))
    assert effects == []
    assert {entry.id for entry in world.entries()} == {envelope_id(1)}
    assert isinstance(await run(world, HERS.but(key="other", envelope=3)), Receipt)
    blocker.execute("DROP TRIGGER full")
    blocker.close()
    assert isinstance(await run(world, call.but(envelope=4), effect=lambda: effects.append("carol")), Receipt)
    assert effects == ["carol"]
    assert Kind.IN_DOUBT not in {entry.kind for entry in world.entries()}


async def test_the_end_of_an_effect_needs_no_disk_of_the_vault_though_its_subject_was_erased_meanwhile(
    world: SqliteWorld, disk: StallingFile
) -> None:
    call = seal(HERS, random=os.urandom)
    await world.journal.reserve(call, ALLOW, None)
    grant = Grant(call, ALLOW)
    await world.journal.begin(grant)
    await world.journal.erasures.erase(call.subject, reason="asked", by="user:dpo")
    disk.stall()
    others = asyncio.ensure_future(run(world, CAROLS))
    await until(disk.waiting.is_set)
    receipt = await world.journal.finish(grant, answered(call, text("done")), 5)
    world.journal.release(call)
    assert [entry.kind for entry in world.entries() if entry.id == call.envelope_id] == [Kind.INTENT, Kind.OUTCOME]
    assert receipt.envelope_id == call.envelope_id
    disk.go_on()
    assert isinstance(await others, Receipt)
    kept = await world.journal.values(call.envelope_id)
    assert kept is not None
    assert (kept.arguments, kept.result) == (Missing.ERASED, Missing.ERASED)
    assert world.verify().ok


async def test_a_yes_that_expires_while_the_disk_stands_still_begins_nothing(world: SqliteWorld, disk: StallingFile) -> None:
    asking = seal(CAROLS, random=os.urandom)
    request = ask_for(asking, approval_id=envelope_id(60))
    await world.journal.reserve(asking, ASK, request)
    await world.journal.questions.answer(request.approval_id, BOB.sign(request, Answer.APPROVE))
    await world.journal.erasures.erase(asking.subject, reason="asked", by="user:dpo")
    disk.stall()
    effects: list[str] = []
    late = asyncio.ensure_future(
        run(world, CAROLS.but(envelope=3), decision=ASK, ask=request, effect=lambda: effects.append("carol"))
    )
    await until(disk.waiting.is_set)
    world.clock.advance(3600)
    disk.go_on()
    with pytest.raises(ApprovalSpent, match="expired"):
        await late
    assert effects == []
    assert {entry.kind for entry in world.entries()} == {Kind.APPROVAL, Kind.ERASURE}


async def test_more_than_may_wait_for_the_disk_are_refused_at_once(disk: StallingFile, tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "vault.db", bytes(32))
    thread = VaultThread(vault, max_waiting=3)
    disk.stall()
    waiting = [asyncio.ensure_future(thread.sealing_key(f"acme/user:{number}")) for number in range(3)]
    await until(disk.waiting.is_set)
    for _ in range(5):
        with pytest.raises(Overloaded):
            await thread.sealing_key("acme/user:another")
    disk.go_on()
    sealed = [key.seal(b"value", b"here") for key in await asyncio.gather(*waiting)]
    keys = await thread.keys("acme/user:2")
    assert keys.open(sealed[2], b"here") == b"value"
    assert await thread.numbers("acme/user:another") == []
    thread.close()
    vault.close()


async def test_the_state_folder_stays_owned_until_the_disk_did_what_the_vault_was_asked_for(
    disk: StallingFile, tmp_path: Path
) -> None:
    folder = StateFolder(tmp_path / "state")
    folder.create()
    make_keys(folder.keys, origin=ORIGIN, dev=False)
    made = open_for_writing(folder.journal, ORIGIN)

    async def leave_while_a_key_is_made(journal: SqliteJournal) -> None:
        call = seal(CAROLS, random=os.urandom)
        await journal.reserve(call, ALLOW, None)
        begins = asyncio.ensure_future(journal.begin(Grant(call, ALLOW)))
        await until(disk.waiting.is_set)
        begins.cancel()
        await asyncio.gather(begins, return_exceptions=True)

    def serve() -> None:
        with folder, opened_journal(folder) as journal:
            disk.stall()
            asyncio.run(leave_while_a_key_is_made(journal))

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        await until(disk.waiting.is_set)
        serving.join(0.5)
        assert (serving.is_alive(), StateFolder(folder.path).owned()) == (True, True)
    finally:
        disk.go_on()
    await until(lambda: not serving.is_alive())
    assert not StateFolder(folder.path).owned()
    made.close()
