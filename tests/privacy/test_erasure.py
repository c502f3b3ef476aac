"""Erasure on real files: unreadable for ever, recorded, finished where it was cut off, and nothing runs again."""

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import apsw
import pytest

from gateway.adapters.store.sqlite.erasure import ROWS_AT_ONCE
from gateway.adapters.store.sqlite.evidence import evidence_row, put_arguments
from gateway.adapters.store.sqlite.writer import Transaction
from gateway.adapters.vault import FileVault, migrate_vault
from gateway.core.answer import Answer
from gateway.core.approval import ApprovalState, Grant
from gateway.core.commitment import Missing
from gateway.core.entry import Kind
from gateway.core.errors import Erased, GatewayError, KeyFault, StoreFault
from gateway.core.outcome import Receipt
from gateway.core.reservation import Gone, Held, Prior, Waiting
from gateway.core.run_context import Principal, PrincipalKind
from tests.core.calls import ALLOW, ASK, Call, ask_for, envelope_id, person, seal
from tests.store.world import SqliteWorld, answered, run, text

pytestmark = pytest.mark.anyio

ALICE, CAROL = "acme/user:alice", "acme/user:carol"
HERS = Call()
CAROLS = Call(principal=Principal(PrincipalKind.USER, "carol"), envelope=50)
BOB = person("user:bob")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path)
    yield opened
    opened.close()


async def erase(world: SqliteWorld, subject: str = ALICE) -> None:
    await world.journal.erasures.erase(subject, reason="asked for it", by="operator")


def read(world: SqliteWorld) -> apsw.Connection:
    return apsw.Connection(str(world.path), flags=apsw.SQLITE_OPEN_READONLY)


def files(world: SqliteWorld) -> list[Path]:
    return [path for path in world.folder.rglob("*") if path.is_file()]


def wrapped_keys(world: SqliteWorld) -> dict[tuple[str, int], bytes]:
    """The vault's keys as they are stored, without the destroyed ones."""
    db = apsw.Connection(str(world.folder / "vault.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = db.execute("SELECT subject, number, wrapped FROM subject_keys WHERE wrapped IS NOT NULL").fetchall()
    db.close()
    return {(str(subject), int(number)): bytes(wrapped) for subject, number, wrapped in rows}  # type: ignore[arg-type]


async def test_a_completed_call_is_not_run_again_after_its_result_was_erased(world: SqliteWorld) -> None:
    await run(world, HERS)
    await erase(world)
    met = await run(world, HERS.but(envelope=2))
    assert isinstance(met, Gone)
    assert "its result was erased" in met.reason.message
    kept = await world.journal.values(envelope_id(1))
    assert kept is not None
    assert (kept.arguments, kept.result) == (Missing.ERASED, Missing.ERASED)
    assert world.verify().ok


async def test_the_log_says_who_erased_what_and_why(world: SqliteWorld) -> None:
    await run(world, HERS)
    done = await world.journal.erasures.erase(ALICE, reason="asked for it", by="operator")
    entry = world.entries()[-1]
    assert (entry.kind, entry.index) == (Kind.ERASURE, done.index)
    told = {"subject": ALICE, "keys": [0], "reason": "asked for it", "by": "operator"}
    assert entry.predicate["erasure"] == told


async def test_what_comes_after_is_kept_under_another_key(world: SqliteWorld) -> None:
    await run(world, HERS)
    await erase(world)
    assert isinstance(await run(world, HERS.but(envelope=2, key="key-2"), lambda one: answered(one, text("new"))), Receipt)
    again = await run(world, HERS.but(envelope=3, key="key-2"))
    assert isinstance(again, Prior)
    assert again.result == text("new")
    row = evidence_row(read(world), envelope_id(2))
    assert row is not None
    assert row.arguments[:4] == (1).to_bytes(4)
    await erase(world)
    assert isinstance(await run(world, HERS.but(envelope=4, key="key-2")), Gone)
    assert world.entries()[-1].predicate["erasure"]["keys"] == [1]


async def test_nobody_elses_values_are_touched(world: SqliteWorld) -> None:
    await run(world, HERS)
    await run(world, CAROLS, lambda one: answered(one, text("carol's")))
    await erase(world)
    met = await run(world, CAROLS.but(envelope=51))
    assert isinstance(met, Prior)
    assert met.result == text("carol's")


async def test_somebody_of_whom_nothing_is_stored_cannot_be_erased(world: SqliteWorld) -> None:
    await run(world, HERS)
    before = len(world.entries())
    for unknown in (CAROL, "alice", "acme/user:alic_", "%"):
        with pytest.raises(GatewayError) as refused:
            await erase(world, unknown)
        assert refused.value.code == "erasure.unknown_subject"
    assert len(world.entries()) == before


async def test_an_erasure_is_done_once(world: SqliteWorld) -> None:
    await run(world, HERS)
    await erase(world)
    with pytest.raises(GatewayError) as refused:
        await erase(world)
    assert refused.value.code == "erasure.done"
    assert [entry.kind for entry in world.entries()].count(Kind.ERASURE) == 1


async def test_pending_requests_end_and_their_calls_ask_anew(world: SqliteWorld) -> None:
    asking = seal(HERS, random=os.urandom)
    request = ask_for(asking, approval_id=envelope_id(60))
    assert await world.journal.reserve(asking, ASK, request) == Waiting(request)
    other = seal(CAROLS, random=os.urandom)
    hers = ask_for(other, approval_id=envelope_id(61))
    await world.journal.reserve(other, ASK, hers)
    done = await world.journal.erasures.erase(ALICE, reason="asked for it", by="operator")
    assert done.requests == 1
    states = {row.request.approval_id: row.state for row in await world.journal.questions.rows(pending_only=False)}
    assert states == {envelope_id(60): ApprovalState.VOID, envelope_id(61): ApprovalState.PENDING}
    world.approvers[BOB.signer.keyid] = BOB.approver
    told = await world.journal.questions.answer(request.approval_id, BOB.sign(request, Answer.APPROVE))
    assert getattr(told, "code", None) == "approval.already_answered"
    again = seal(HERS.but(envelope=2), random=os.urandom)
    anew = ask_for(again, approval_id=envelope_id(62))
    assert await world.journal.reserve(again, ASK, anew) == Waiting(anew)
    assert world.verify().ok


async def test_what_policy_said_about_a_call_goes_with_its_arguments(world: SqliteWorld) -> None:
    asking = seal(HERS, random=os.urandom)
    await world.journal.reserve(asking, ASK, ask_for(asking, approval_id=envelope_id(60)))
    (row,) = await world.journal.questions.rows(pending_only=False)
    assert [reason.message for reason in row.request.reasons] == ["It is so."]
    assert not [file.name for file in files(world) if b"It is so." in file.read_bytes()]
    await erase(world)
    (row,) = await world.journal.questions.rows(pending_only=False)
    assert [(reason.code, reason.message) for reason in row.request.reasons] == [("because", "")]


async def test_a_call_that_was_running_meanwhile_keeps_no_values(world: SqliteWorld) -> None:
    sealed = seal(HERS, random=os.urandom)
    grant = Grant(sealed, ALLOW)
    assert isinstance(await world.journal.reserve(sealed, ALLOW, None), Held)
    await world.journal.begin(grant)
    await erase(world)
    await world.journal.finish(grant, answered(sealed, text("late")), 1)
    world.journal.release(sealed)
    assert isinstance(await run(world, HERS.but(envelope=2)), Gone)
    assert world.verify().ok


async def test_a_destroyed_key_is_in_no_file_any_more(world: SqliteWorld) -> None:
    for number in range(40):  # so many that keys lie on several pages, which come and go
        subject = Principal(PrincipalKind.USER, f"u{number}")
        await run(world, CAROLS.but(principal=subject, envelope=number, key=None))
    keys = wrapped_keys(world)
    assert len(keys) == 40
    assert all(key in (world.folder / "vault.db").read_bytes() for key in keys.values())  # the search finds what is there
    for number in range(0, 40, 2):
        await erase(world, f"acme/user:u{number}")
    for (owner, _), key in keys.items():
        destroyed = int(owner.removeprefix("acme/user:u")) % 2 == 0
        assert any(key[12:28] in file.read_bytes() for file in files(world)) is not destroyed, owner


# --- cut off ---


def locked(world: SqliteWorld) -> apsw.Connection:
    """Somebody else holds the vault: keys cannot be destroyed now."""
    holder = apsw.Connection(str(world.folder / "vault.db"))
    holder.execute("BEGIN IMMEDIATE")
    return holder


async def cut_off_before_keys(world: SqliteWorld) -> None:
    holder = locked(world)
    with pytest.raises(StoreFault):
        await erase(world)
    holder.execute("ROLLBACK")
    holder.close()
    assert world.entries()[-1].kind is Kind.ERASURE
    assert world.vault.numbers(ALICE) == [0]


async def cut_off_before_values(world: SqliteWorld) -> None:
    await cut_off_before_keys(world)
    world.vault.destroy(ALICE, [0])


@pytest.mark.parametrize("cut_off", [cut_off_before_keys, cut_off_before_values])
async def test_an_erasure_that_was_cut_off_is_finished_at_the_next_start(
    world: SqliteWorld, cut_off: Callable[[SqliteWorld], Awaitable[None]]
) -> None:
    await run(world, HERS)
    asking = seal(HERS.but(envelope=3, key="other"), random=os.urandom)
    await world.journal.reserve(asking, ASK, ask_for(asking, approval_id=envelope_id(60)))
    await cut_off(world)
    world.reopen()
    await world.journal.recover()
    assert world.vault.numbers(ALICE) == []
    row = evidence_row(read(world), envelope_id(1))
    assert row is not None
    assert (row.arguments, row.result) == (b"", None)
    (approval,) = await world.journal.questions.rows(pending_only=False)
    assert approval.state is ApprovalState.VOID
    assert [entry.kind for entry in world.entries()].count(Kind.ERASURE) == 1
    assert world.verify().ok
    size = len(world.entries())
    world.reopen()
    await world.journal.recover()
    assert len(world.entries()) == size


async def test_many_rows_are_emptied_a_few_at_once(world: SqliteWorld) -> None:
    await run(world, HERS)
    await run(world, CAROLS)
    count = 2 * ROWS_AT_ONCE + 10
    sealed = {subject: world.vault.sealing_key(subject).seal(b"[]", b"somewhere") for subject in (ALICE, CAROL)}

    def fill(transaction: Transaction) -> None:
        for number in range(count):
            subject = CAROL if number % 2 else ALICE
            put_arguments(transaction.db, envelope_id(1000 + number), subject, sealed[subject])

    await world.writer.submit(fill)
    done = await world.journal.erasures.erase(ALICE, reason="asked for it", by="operator")
    assert done.rows == 1 + count // 2
    left = read(world).execute("SELECT subject, count(*) FROM evidence WHERE arguments <> x'' GROUP BY 1").fetchall()
    assert left == [(CAROL, 1 + count // 2)]


# --- the vault itself ---


def test_a_value_opens_with_its_own_key_only(tmp_path: Path) -> None:
    vault = FileVault(tmp_path / "vault.db", bytes(32))
    first = vault.sealing_key(ALICE).seal(b"one", b"here")
    vault.destroy(ALICE, vault.numbers(ALICE))
    second = vault.sealing_key(ALICE).seal(b"two", b"here")
    assert (first[:4], second[:4]) == (bytes(4), b"\0\0\0\1")
    assert vault.keys(ALICE).open(second, b"here") == b"two"
    with pytest.raises(Erased):
        vault.keys(ALICE).open(first, b"here")
    for moved in (first[:4] + second[4:], b"\0\0\0\2" + second[4:], second[:4] + first[4:], second[:10], b""):
        with pytest.raises(KeyFault):
            vault.keys(ALICE).open(moved, b"here")
    vault.close()


def test_a_vault_of_the_first_schema_is_refused_until_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "vault.db"
    old = apsw.Connection(str(path))
    old.execute("CREATE TABLE subject_keys (subject TEXT PRIMARY KEY, wrapped BLOB NOT NULL)")
    old.execute("INSERT INTO subject_keys VALUES (?, ?)", (ALICE, os.urandom(60)))
    old.close()
    with pytest.raises(StoreFault) as refused:
        FileVault(path, bytes(32))
    assert "state migrate" in refused.value.hint
    assert migrate_vault(path)
    assert not migrate_vault(path)
    vault = FileVault(path, bytes(32))
    assert vault.numbers(ALICE) == [0]
    vault.close()
