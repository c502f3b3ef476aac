"""A log of a few hundred entries of every kind, and copies of it in the hands of someone who may write to them."""

import asyncio
import shutil
from dataclasses import dataclass
from pathlib import Path

import apsw

from gateway.adapters.keys import FileSigner, KeyRing, load_keys
from gateway.core.answer import Answer
from gateway.core.capability import ApprovalMode, IdempotencyRule
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.entry import Kind, Record
from gateway.core.envelope import NotDone, Refusal, Replay, Unknown
from gateway.core.evidence import EvidenceRef
from gateway.core.merkle import Frontier, leaf_hash
from gateway.core.outcome import Reason
from gateway.core.verify import Report
from tests.core.calls import ALLOW, ASK, Call, ask_for, person, request_of, run_of, seal
from tests.store.world import ORIGIN, SqliteWorld, run, verify_file

ROUNDS = 12
BOB = person("user:bob")


async def every_kind(world: SqliteWorld, number: int) -> None:
    """A round of calls with every end there is, and a checkpoint after it."""
    envelopes = iter(range(1000 * number, 1000 * (number + 1)))

    def call(**changed: object) -> Call:
        return Call(key=f"key-{number}").but(envelope=next(envelopes), **changed)

    def event(kind: Kind, name: str) -> Record:
        return Record(kind, world.clock.new_id(), world.clock.now(), {name: {"round": number}})

    await world.journal.record(event(Kind.BOOT, "boot"))
    await world.journal.record(event(Kind.PIN, "pin"))
    said = {"policy": {"event": "reloaded", "number": number + 1, "revision": f"sha256:{number}"}}
    await world.journal.record(Record(Kind.POLICY, world.clock.new_id(), world.clock.now(), said))
    failed = Reason("upstream.down", "Down.")
    for copy in range(3):
        await run(world, call(key=f"key-{number}-{copy}"))
    await run(world, call(key=None, tool="derived"))
    await run(world, call(tool="fails"), lambda _: NotDone(failed))
    await run(world, call(tool="doubt"), lambda _: Unknown(failed))
    await run(world, call(mode=ApprovalMode.READ_ONLY, rule=IdempotencyRule.NONE, key=None, tool="read"))
    refused = call(tool="refused")
    await world.journal.refuse(Refusal(run_of(refused), request_of(refused), (failed,)))
    again, of = seal(call(tool="again")), world.clock.new_id()
    await world.journal.replay(Replay(again, ALLOW, of, EvidenceRef.of_result(again.capability, of, None)))
    asking = seal(call(tool="ask"))
    request = ask_for(asking, approval_id=world.clock.new_id(), expires_at=world.clock.later(60))
    await world.journal.reserve(asking, ASK, request)
    await world.journal.questions.answer(request.approval_id, BOB.sign(request, Answer.APPROVE))
    await run(world, asking, decision=ASK, ask=request)
    left = seal(call(tool="left"))
    late = ask_for(left, approval_id=world.clock.new_id(), expires_at=world.clock.later(60))
    await world.journal.reserve(left, ASK, late)
    world.clock.advance(60)
    await world.journal.questions.expire_due()
    await world.checkpointed()


@dataclass(frozen=True, slots=True)
class Original:
    """A closed log with its keys; `kept` are checkpoints an auditor took home, oldest first."""

    path: Path
    keys: KeyRing
    public: Path
    size: int
    kept: list[str]


def full_log(folder: Path) -> Original:
    """Write a log of a few hundred entries of every kind into `folder`, and close it."""

    async def fill() -> list[str]:
        world = SqliteWorld(folder, approvers={BOB.signer.keyid: BOB.approver})
        for number in range(ROUNDS):
            await every_kind(world, number)
        kept = [note for _, note in world.checkpoints()]
        world.close()
        return kept

    kept = asyncio.run(fill())
    keys = load_keys(folder / "keys")
    report = verify_file(folder / "journal.db", keys, kept)
    assert report.ok
    assert set(report.kinds) == {"boot", "pin", "intent", "outcome", "in_doubt", "denied", "approval", "policy"}
    assert report.size > 200
    assert report.checkpoints == len(kept) >= ROUNDS
    return Original(folder / "journal.db", keys, folder / "keys" / "public.json", report.size, kept)


class Copy:
    """A copy of the log in the hands of someone who may write to it."""

    def __init__(self, original: Original, folder: Path) -> None:
        self.original = original
        self.path = folder / "journal.db"
        shutil.copy(original.path, self.path)
        self.db = apsw.Connection(str(self.path))

    def blob(self, query: str, *values: object) -> bytes:
        found = self.db.execute(query, values).get
        return found if isinstance(found, bytes) else str(found).encode()

    def entry(self, index: int) -> bytes:
        return self.blob("SELECT entry FROM entries WHERE idx = ?", index)

    def put(self, index: int, entry: bytes) -> None:
        """An entry with the leaf hash that belongs to it."""
        self.db.execute("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", (index, entry, leaf_hash(entry)))

    def rewrite(self, entries: list[bytes]) -> None:
        """These entries, with indexes, leaves and head that fit them, and no checkpoint but those that still hold."""
        self.db.execute("DELETE FROM entries")
        frontier, roots = Frontier(), {}
        for index, entry in enumerate(entries):
            self.put(index, entry)
            frontier.append(leaf_hash(entry))
            roots[frontier.size] = frontier.root()
        self.db.execute(
            "UPDATE head SET size = ?, frontier = ?, root = ?", (frontier.size, frontier.to_bytes(), frontier.root())
        )
        self.db.execute("DELETE FROM checkpoints WHERE size > ?", (frontier.size,))

    def entries(self) -> list[bytes]:
        return [bytes(row[0]) for row in self.db.execute("SELECT entry FROM entries ORDER BY idx")]

    def sign_checkpoints(self, signer: FileSigner) -> None:
        """Replace all checkpoints by ones of the entries as they are now."""
        sizes = [int(str(row[0])) for row in self.db.execute("SELECT size FROM checkpoints")]
        frontier = Frontier()
        for entry in self.entries():
            frontier.append(leaf_hash(entry))
            if frontier.size in sizes:
                note = sign_checkpoint(Checkpoint(ORIGIN, frontier.size, frontier.root()), signer)
                self.db.execute("UPDATE checkpoints SET note = ? WHERE size = ?", (note, frontier.size))

    def verify(self, kept: list[str] | None = None) -> Report:
        self.db.close()
        return verify_file(self.path, self.original.keys, kept or [])
