"""The first boot after a restore: the log says so, and no yes from before the backup counts any more."""

from pathlib import Path

import pytest

from gateway.adapters.store.sqlite.check import check_file
from gateway.adapters.store.sqlite.restored import mark_restored
from gateway.core.answer import Answer
from gateway.core.entry import Kind, Record
from gateway.core.outcome import Receipt
from gateway.core.reservation import NotApproved, Waiting
from tests.core.calls import ASK, Call, ask_for, person, seal
from tests.store.world import ORIGIN, SqliteWorld, run

pytestmark = pytest.mark.anyio

BOB = person("user:bob")
FROM = {"size": 3, "root": "00", "backed_up_at": "2026-11-22T10:00:00.000Z", "at": "2026-11-23T10:00:00.000Z", "reason": "r"}


def boot(world: SqliteWorld) -> Record:
    return Record(Kind.BOOT, world.clock.new_id(), world.clock.now(), {"boot": {"version": "1"}})


@pytest.mark.parametrize("answered", [True, False])
async def test_a_question_of_before_the_backup_is_asked_anew(tmp_path: Path, answered: bool) -> None:
    world = SqliteWorld(tmp_path, approvers={BOB.signer.keyid: BOB.approver})
    call = seal(Call(key="one"))
    asked = ask_for(call, approval_id=world.clock.new_id(), expires_at=world.clock.later(600))
    await world.journal.reserve(call, ASK, asked)
    if answered:
        await world.journal.questions.answer(asked.approval_id, BOB.sign(asked, Answer.APPROVE))
    world.close()
    mark_restored(world.path, ORIGIN, FROM)
    world.open()
    await world.journal.boot(boot(world))
    again = ask_for(call, approval_id=world.clock.new_id(), expires_at=world.clock.later(600))
    met = await run(world, call, decision=ASK, ask=again)
    assert isinstance(met, Waiting | NotApproved), "the yes may have been used after the backup was taken"
    met = await run(world, call, decision=ASK, ask=again)
    assert isinstance(met, Waiting)
    await world.journal.questions.answer(met.request.approval_id, BOB.sign(met.request, Answer.APPROVE))
    assert isinstance(await run(world, call, decision=ASK, ask=again), Receipt)
    said = [(entry.kind, entry.predicate.get("event")) for entry in world.entries()]
    assert (Kind.APPROVAL, "void") in said
    assert world.verify().ok
    world.close()
    report = check_file(world.path, world.keys.trusted())
    assert report.ok, report.problems


async def test_the_boot_entry_names_what_was_restored_once(tmp_path: Path) -> None:
    world = SqliteWorld(tmp_path)
    await world.journal.boot(boot(world))
    world.close()
    mark_restored(world.path, ORIGIN, FROM)
    world.open()
    await world.journal.boot(boot(world))
    await world.journal.boot(boot(world))
    told = [entry.predicate["boot"].get("restored_from") for entry in world.entries()]
    assert told == [None, FROM, None]
    world.close()
