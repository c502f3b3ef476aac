"""What is on disk: no argument or result value in the clear, in any spelling; what was encrypted opens, if unchanged."""

import hashlib
import json
import os
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from gateway.adapters.store.sqlite.database import open_for_reading
from gateway.adapters.store.sqlite.evidence import evidence_row
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.answer import Answer
from gateway.core.capability import ApprovalMode, IdempotencyRule
from gateway.core.entry import Kind
from gateway.core.envelope import Refusal
from gateway.core.errors import GatewayError, KeyFault
from gateway.core.outcome import Reason, Receipt
from tests.core.calls import ALLOW, ASK, Call, ask_for, envelope_id, person, request_of, seal
from tests.store.world import SqliteWorld, answered, run, text

pytestmark = pytest.mark.anyio

ARGUMENTS = {"text": "canary-argument-41c8", "a": {"inner": ["canary-inner-77d0"]}, "b": 20_251_122_407}
RESULT = "canary-result-9e15"
KEY = "canary-key-55aa"
CANARIES = ["canary-argument-41c8", "canary-inner-77d0", "20251122407", RESULT, KEY]
VALUES = [ARGUMENTS, *ARGUMENTS.values(), text(RESULT), RESULT, KEY]
BOB = person("user:bob")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SqliteWorld]:
    opened = SqliteWorld(tmp_path)
    yield opened
    opened.close()


def spellings() -> list[bytes]:
    """Every canary as it could lie in a file: plain, hex, base64 at each alignment; and every unsalted digest of a value."""
    found: list[bytes] = []
    for canary in CANARIES:
        data = canary.encode()
        found += [data, data.hex().encode()]
        for shift in range(3):
            for encode in (b64encode, urlsafe_b64encode):
                found.append(encode(bytes(shift) + data)[4 if shift else 0 : -4])
    for value in VALUES:
        for data in (orjson.dumps(value, option=orjson.OPT_SORT_KEYS), json.dumps(value).encode(), str(value).encode()):
            hashed = hashlib.sha256(data)
            found += [hashed.digest(), hashed.hexdigest().encode(), urlsafe_b64encode(hashed.digest()).rstrip(b"=")]
    return found


def written(world: SqliteWorld) -> dict[str, bytes]:
    """Everything on disk, file by file, table by table, and the entries decoded."""
    found = {path.name: path.read_bytes() for path in world.folder.glob("*.db*")}
    assert {"journal.db", "journal.db-wal", "vault.db"} <= found.keys()
    db = open_for_reading(world.path)
    for (table,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
        for row in db.execute(f"SELECT * FROM {table}"):  # noqa: S608 a name from the schema
            cells = [cell if isinstance(cell, bytes) else str(cell).encode() for cell in row]
            found[f"table {table}"] = found.get(f"table {table}", b"") + b"\n".join(cells) + b"\n"
    db.close()
    log = SqliteLog(world.path)
    found["payloads"] = b"".join(b64decode(orjson.loads(stored.entry)["payload"]) for stored in log.entries())
    log.close()
    return found


async def everything(world: SqliteWorld) -> None:
    """Calls of every end, with the canaries in them."""
    call = Call(arguments=ARGUMENTS, key=KEY)
    await run(world, call, lambda one: answered(one, text(RESULT)))
    await run(world, call.but(envelope=2))
    await run(world, call.but(envelope=3, key=None, tool="other"), lambda one: answered(one, text(RESULT, is_error=True)))
    await run(world, call.but(envelope=4, mode=ApprovalMode.READ_ONLY, rule=IdempotencyRule.NONE, key=None, tool="read"))
    refused = seal(call.but(envelope=5), random=os.urandom)
    spoken = Reason("no", f"No: {ARGUMENTS['text']}.")
    await world.journal.refuse(Refusal(refused.run, request_of(call), (spoken,), refused.capability, refused, ALLOW))
    await world.journal.refuse(Refusal(refused.run, request_of(call), (spoken,)))
    asking = seal(call.but(envelope=6, tool="ask"), random=os.urandom)
    request = ask_for(asking, approval_id=envelope_id(60))
    await world.journal.reserve(asking, ASK, request)
    world.approvers[BOB.signer.keyid] = BOB.approver
    await world.journal.questions.answer(request.approval_id, BOB.sign(request, Answer.APPROVE))
    await run(world, asking, lambda one: answered(one, text(RESULT)), decision=ASK, ask=request)
    await world.checkpointed()


async def test_no_value_is_on_disk_in_the_clear(world: SqliteWorld) -> None:
    await everything(world)
    found = written(world)
    assert found["payloads"].count(b'"kind":"intent"') == 3
    for place, data in found.items():
        for spelling in spellings():
            assert spelling not in data, f"{spelling!r} is in {place}"


def disclosures(world: SqliteWorld, call: str) -> tuple[list[str], list[str]]:
    """A call's stored argument and result disclosures, opened through the vault."""
    db = open_for_reading(world.path)
    kept = evidence_row(db, call)
    db.close()
    assert kept is not None
    assert kept.result is not None
    opened = world.vault.keys(kept.subject).open(kept.arguments, f"{call}:arguments".encode())
    return orjson.loads(opened), [world.vault.keys(kept.subject).open(kept.result, f"{call}:result".encode()).decode()]


def value(disclosure: str) -> Any:
    """What an SD-JWT disclosure discloses."""
    return orjson.loads(urlsafe_b64decode(disclosure + "=" * (-len(disclosure) % 4)))[1:]


def commitment(disclosure: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(disclosure.encode()).digest()).decode().rstrip("=")


async def test_what_was_committed_to_opens_with_the_vault(world: SqliteWorld) -> None:
    await everything(world)
    arguments, (result,) = disclosures(world, envelope_id(1))
    assert dict(map(value, arguments)) == ARGUMENTS
    assert value(result) == ["result", text(RESULT)]
    of_call = {entry.kind: entry for entry in world.entries() if entry.id == envelope_id(1)}
    intent, outcome = of_call[Kind.INTENT], of_call[Kind.OUTCOME]
    assert set(intent.predicate["call"]["arguments"].values()) == set(map(commitment, arguments))
    assert outcome.predicate["result"]["commitment"] == commitment(result)
    assert outcome.predicate["evidence_refs"][0]["commitment"] == commitment(result)


def changed(world: SqliteWorld, statement: str, *values: Any) -> None:
    """Someone with the file changes it while the gateway is down."""
    world.close()
    for path in (world.path, world.folder / "vault.db"):
        db = apsw.Connection(str(path))
        table = "subject_keys" if path.name == "vault.db" else "entries"
        if (table == "subject_keys") is ("subject_keys" in statement):
            db.execute(statement, values)
        db.close()
    world.open()


ANOTHER_LAST_BYTE = (
    "UPDATE {0} SET {1} = substr({1}, 1, length({1}) - 1) || CASE hex(substr({1}, -1)) WHEN 'FF' THEN x'00' ELSE x'ff' END"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE evidence SET result = result || x'00'",
        ANOTHER_LAST_BYTE.format("evidence", "result"),
        "UPDATE evidence SET result = substr(result, 2)",
        "UPDATE evidence SET result = x''",
        "UPDATE evidence SET result = arguments",
        "UPDATE evidence SET result = (SELECT result FROM evidence AS o WHERE o.envelope_id != evidence.envelope_id)",
        "UPDATE evidence SET subject = 'acme/user:mallory'",
        "DELETE FROM subject_keys",
        ANOTHER_LAST_BYTE.format("subject_keys", "wrapped"),
        "UPDATE subject_keys SET wrapped = x''",
    ],
)
async def test_a_stored_result_that_was_changed_or_moved_is_not_replayed(world: SqliteWorld, statement: str) -> None:
    first = Call(arguments={"text": "one"}, key="key-1")
    await run(world, first, lambda one: answered(one, text("one")))
    await run(world, Call(arguments={"text": "one"}, key="key-2", envelope=2), lambda one: answered(one, text("two")))
    changed(world, statement)
    with pytest.raises(GatewayError):
        await run(world, first.but(envelope=3))


async def test_pending_arguments_that_were_changed_are_not_shown_to_an_approver(world: SqliteWorld) -> None:
    asking = seal(Call(arguments=ARGUMENTS), random=os.urandom)
    request = ask_for(asking, approval_id=envelope_id(60))
    await world.journal.reserve(asking, ASK, request)
    changed(world, "UPDATE evidence SET arguments = zeroblob(length(arguments))")
    with pytest.raises(KeyFault):
        await world.journal.questions.row(request.approval_id)


async def test_a_call_whose_key_cannot_be_opened_does_not_begin_and_leaves_its_key_free(world: SqliteWorld) -> None:
    await run(world, Call(key="before"))
    vault = apsw.Connection(str(world.folder / "vault.db"))
    wrapped = vault.execute("SELECT wrapped FROM subject_keys").get
    vault.execute("UPDATE subject_keys SET wrapped = zeroblob(60)")
    world.reopen()
    effects: list[int] = []
    for number in range(2, 5):
        with pytest.raises(KeyFault):
            await run(world, Call(envelope=number), effect=lambda: effects.append(1))
    assert not effects
    vault.execute("UPDATE subject_keys SET wrapped = ?", (wrapped,))
    assert isinstance(await run(world, Call(envelope=9)), Receipt)
    vault.close()


async def test_an_approved_state_without_a_signed_answer_approves_nothing(world: SqliteWorld) -> None:
    asking = seal(Call(), random=os.urandom)
    request = ask_for(asking, approval_id=envelope_id(60))
    await world.journal.reserve(asking, ASK, request)
    mallory = person("user:bob")
    forged = {
        "approval_id": request.approval_id,
        "answer": "approve",
        "approver": "user:bob",
        "keyid": mallory.signer.keyid,
        "comment": "",
        "envelope": mallory.sign(request),
    }
    world.approvers[BOB.signer.keyid] = BOB.approver
    changed(world, "UPDATE approvals SET state = 'approved', answer = ?", orjson.dumps(forged).decode())
    met = await run(world, Call(envelope=2), decision=ASK, ask=ask_for(asking, approval_id=envelope_id(61)))
    assert not isinstance(met, Receipt)
    assert [entry.kind for entry in world.entries()].count(Kind.INTENT) == 0
