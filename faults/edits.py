"""Random edits of a log by someone with its file, and for the cleverest ones with its keys: `verify_log` finds each.

The log is made by the real journal. An edit changes its rows in memory; the careful ones make leaf hashes, numbers, head
and checkpoints fit again as far as they can. Truncation, roll-back and whatever is done with both stolen keys show only
against a checkpoint that an auditor kept.
"""

import asyncio
import functools
import os
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

import gateway.core.verify as verify_module
from faults.tally import Finding, Tally
from gateway.adapters.keys import FileSigner, KeyRing, load_keys
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.entry import Entry, Kind, Record, open_entry, seal_entry
from gateway.core.merkle import Frontier, leaf_hash
from gateway.core.verify import Report, StoredEntry, verify_log
from tests.store.full_log import BOB, every_kind
from tests.store.world import ORIGIN, SqliteWorld

SIZE = 2000
COMPARED = 10
"""So many edits of each share are verified without the memory as well."""
CHECKPOINTS_APART = 8
"""Every 8th stored checkpoint stays: an idle writer makes one every few entries, and each costs a pass a signature."""
ATTACKER = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\7" * 32))


@dataclass(frozen=True, slots=True)
class Rows:
    """A log as it is stored."""

    entries: list[StoredEntry]
    notes: list[tuple[int, str]]
    head: tuple[int, bytes]

    def refitted(self, entries: list[bytes], *, signer: FileSigner | None = None) -> "Rows":
        """These entries with numbers, leaf hashes and head that fit them, and the checkpoints that are not longer.

        `signer` makes the checkpoints anew.
        """
        stored = [StoredEntry(index, entry, leaf_hash(entry)) for index, entry in enumerate(entries)]
        sizes, notes, frontier = dict(self.notes), [], Frontier()
        for each in stored:
            frontier.append(each.leaf)
            if frontier.size in sizes:
                note = sizes[frontier.size]
                if signer is not None:
                    note = sign_checkpoint(Checkpoint(ORIGIN, frontier.size, frontier.root()), signer)
                notes.append((frontier.size, note))
        return Rows(stored, notes, (frontier.size, frontier.root()))

    def plain(self) -> list[bytes]:
        """The entries' bytes."""
        return [stored.entry for stored in self.entries]

    def replaced(self, changes: Mapping[int, bytes]) -> "Rows":
        """With these entries in place of others, their leaf hashes with them, and nothing else."""
        entries = list(self.entries)
        for place, entry in changes.items():
            entries[place] = StoredEntry(entries[place].index, entry, leaf_hash(entry))
        return replace(self, entries=entries)


Edit = Callable[[Rows, Random, KeyRing], Rows]


def flip(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """One bit of an entry, a leaf hash, a checkpoint or the head."""
    place = dice.randrange(len(rows.entries))
    stored, entries = rows.entries[place], list(rows.entries)
    match dice.randrange(5):
        case 0:
            entries[place] = replace(stored, entry=_flipped(stored.entry, dice))
        case 1:
            return rows.replaced({place: _flipped(stored.entry, dice)})
        case 2:
            entries[place] = replace(stored, leaf=_flipped(stored.leaf, dice))
        case 3:
            notes, at = list(rows.notes), dice.randrange(len(rows.notes))
            notes[at] = notes[at][0], _flipped(notes[at][1].encode(), dice).decode(errors="replace")
            return replace(rows, notes=notes)
        case _:
            return replace(rows, head=(rows.head[0], _flipped(rows.head[1], dice)))
    return replace(rows, entries=entries)


def delete(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """One to three entries, with or without closing the gap."""
    place = dice.randrange(len(rows.entries) - 3)
    end = place + dice.randint(1, 3)
    if dice.random() < 0.5:
        return replace(rows, entries=rows.entries[:place] + rows.entries[end:])
    entries = rows.plain()
    return rows.refitted(entries[:place] + entries[end:])


def swap(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """Two entries, neighbours or far apart."""
    one = dice.randrange(len(rows.entries) - 1)
    other = one + 1 if dice.random() < 0.5 else dice.choice([n for n in range(len(rows.entries)) if n != one])
    entries = rows.plain()
    if dice.random() < 0.5:
        return rows.replaced({one: entries[other], other: entries[one]})
    entries[one], entries[other] = entries[other], entries[one]
    return rows.refitted(entries)


def duplicate(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """An entry once more: over another one, between two, or at the end."""
    entries, place = rows.plain(), dice.randrange(len(rows.entries) - 1)
    match dice.randrange(3):
        case 0:
            return rows.replaced({place: entries[place + 1]})
        case 1:
            return rows.refitted([*entries[: place + 1], *entries[place:]])
        case _:
            return rows.refitted([*entries, entries[place]])


def truncate(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """The end of the log, wherever; all that is left fits together."""
    return rows.refitted(rows.plain()[: dice.randrange(len(rows.entries))])


def fork(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """Some entries tell another story, signed with the stolen entry key; checkpoints as they were, or made with the stolen
    log key."""
    place = dice.randrange(len(rows.entries))
    entries = rows.plain()
    for index in range(place, min(place + dice.randint(1, 20), len(entries))):
        entries[index] = _retold(entries[index], index, keys.entry)
    return rows.refitted(entries, signer=keys.log if dice.random() < 0.5 else None)


def replace_signature(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """The signature of an entry: another entry's, another key's under either name, or none at all."""
    place = dice.randrange(len(rows.entries))
    other = dice.choice([n for n in range(len(rows.entries)) if n != place])
    envelope, lender = orjson.loads(rows.entries[place].entry), orjson.loads(rows.entries[other].entry)
    forged = orjson.loads(_retold(rows.entries[place].entry, place, ATTACKER))
    signature = envelope["signatures"][0]
    match dice.randrange(4):
        case 0:
            signature["sig"] = lender["signatures"][0]["sig"]
        case 1:
            envelope["payload"], envelope["signatures"] = forged["payload"], forged["signatures"]
        case 2:
            envelope["payload"], signature["sig"] = forged["payload"], forged["signatures"][0]["sig"]
        case _:
            signature["sig"] = b64encode(bytes(64)).decode()
    entries = rows.plain()
    entries[place] = orjson.dumps(envelope)
    return rows.refitted(entries) if dice.random() < 0.5 else rows.replaced({place: entries[place]})


def roll_back(rows: Rows, dice: Random, keys: KeyRing) -> Rows:
    """The log as it once was, to the byte: an old backup under a checkpoint of its time."""
    size = dice.choice(rows.notes[:-1])[0]
    return rows.refitted(rows.plain()[:size])


EDITS: tuple[Edit, ...] = (flip, delete, swap, duplicate, truncate, fork, replace_signature, roll_back)


def run(tally: Tally, edits: int, folder: Path) -> None:
    """That many edits, each kind equally often."""
    asyncio.run(_make(folder))
    workers = os.cpu_count() or 1
    shares = [range(start, edits, workers) for start in range(workers)]
    with ProcessPoolExecutor(workers) as pool:
        for done, missed, problems in pool.map(_share, [folder] * workers, [tally.seed] * workers, shares):
            tally.did += done
            for what in missed:
                tally.find(Finding.UNVERIFIABLE, f"not found: {what}")
            for what in problems:
                tally.find(Finding.OTHER, what)


async def _make(folder: Path) -> None:
    world = SqliteWorld(folder, approvers={BOB.signer.keyid: BOB.approver})
    number = 0
    while world.head()[0] < SIZE:
        await every_kind(world, number)
        number += 1
    world.close()


def _share(folder: Path, seed: int, numbers: range) -> tuple[Counter[str], list[str], list[str]]:
    """These edits: what was done, which were not found, and what else was wrong."""
    keys, rows = load_keys(folder / "keys"), _rows(folder)
    kept = rows.notes[-1][1]
    done: Counter[str] = Counter()
    missed: list[str] = []
    problems: list[str] = []
    plainly = _verify(rows, keys, kept)
    if not plainly.ok:
        return done, missed, [f"the log itself does not verify: {plainly.problems[0]}"]
    done["entries in the log"] = len(rows.entries) if 0 in numbers else 0
    tally = Tally("edits", seed)
    with _remembering() as opened:
        for number in numbers:
            tally.progress(number, numbers.stop)
            edit = EDITS[number % len(EDITS)]
            edited = edit(rows, Random(f"{seed}:{number}"), keys)
            report = _verify(edited, keys, kept)
            done[edit.__name__] += 1
            if edited == rows:
                problems.append(f"edit {number}, {edit.__name__}, seed {seed}, changed nothing")
            elif report.ok:
                missed.append(f"edit {number}, {edit.__name__}, seed {seed}")
        if opened.cache_info().hits == 0:
            problems.append("verify_log did not open entries through its module's open_entry: the memory proves nothing")
    for number in list(numbers)[:: max(1, len(numbers) // COMPARED)]:
        edited = EDITS[number % len(EDITS)](rows, Random(f"{seed}:{number}"), keys)
        plain = _verify(edited, keys, kept)
        with _remembering():
            remembered = _verify(edited, keys, kept)
        done["edits verified both ways"] += 1
        if plain.problems != remembered.problems or plain.ok:
            problems.append(f"edit {number}, seed {seed}: verified with and without memory differs")
    return done, missed, problems


def _rows(folder: Path) -> Rows:
    log = SqliteLog(folder / "journal.db")
    try:
        return Rows(list(log.entries()), list(log.checkpoints())[::-CHECKPOINTS_APART][::-1], log.head())
    finally:
        log.close()


def _verify(rows: Rows, keys: KeyRing, kept: str) -> Report:
    return verify_log(rows.entries, rows.notes, keys.trusted(), head=rows.head, kept=[kept], snapshot=True)


@contextmanager
def _remembering() -> Iterator["functools._lru_cache_wrapper[Entry]"]:
    """Within, `verify_log` opens an entry once: the same bytes under the same keys are not opened again.

    10,000 passes over 2,000 signatures would take an hour and prove no more: the edited entries are opened for real.
    """

    @functools.lru_cache(maxsize=2 * SIZE)
    def remembered(entry: bytes, keyids: tuple[str, ...]) -> Entry:
        return open_entry(entry, known)

    known: Mapping[str, Ed25519PublicKey] = {}

    def opened(entry: bytes, keys: Mapping[str, Ed25519PublicKey]) -> Entry:
        nonlocal known
        known = keys
        return remembered(entry, tuple(keys))

    verify_module.open_entry = opened  # type: ignore[attr-defined]  # imported there, and looked up at each call
    try:
        yield remembered
    finally:
        verify_module.open_entry = open_entry  # type: ignore[attr-defined]


def _flipped(data: bytes, dice: Random) -> bytes:
    changed = bytearray(data)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _retold(entry: bytes, index: int, signer: FileSigner) -> bytes:
    """What the entry says, with something added, signed by `signer`."""
    predicate = orjson.loads(b64decode(orjson.loads(entry)["payload"]))["predicate"]
    body = {name: value for name, value in predicate.items() if name not in ("dev", "id", "index", "kind", "recorded_at")}
    record = Record(Kind(predicate["kind"]), predicate["id"], predicate["recorded_at"], {**body, "retold": True})
    return seal_entry(record, index, signer, dev=predicate["dev"]).data
