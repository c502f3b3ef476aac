"""A log that was changed by someone with the file: whatever they do, `verify_log` says so and names the place."""

import random
import re
from pathlib import Path

import pytest

from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.errors import GatewayError
from gateway.core.verify import Report
from tests.store.full_log import Copy, Original
from tests.store.tampering import ATTACKER, TAMPERS, UNSEEN_FROM_INSIDE, Tamper
from tests.store.world import verify_file

SEED = 20261122


def named(report: Report, pattern: str) -> None:
    """A problem names this place."""
    assert not report.ok
    assert any(re.match(pattern, problem) for problem in report.problems), report.problems


def test_an_untouched_copy_is_what_was_written(copy: Copy) -> None:
    assert copy.verify(copy.original.kept).ok


# --- flipped bytes ---


def flipped(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("column", ["entry", "leaf"])
def test_a_flipped_byte_in_any_entry_or_leaf_is_named(original: Original, tmp_path: Path, column: str) -> None:
    dice = random.Random(f"{SEED} {column}")
    for index in [0, 1, original.size - 1, *(dice.randrange(original.size) for _ in range(25))]:
        copy = Copy(original, tmp_path)
        data = copy.blob(f"SELECT {column} FROM entries WHERE idx = ?", index)  # noqa: S608
        copy.db.execute(f"UPDATE entries SET {column} = ? WHERE idx = ?", (flipped(data, dice), index))  # noqa: S608
        named(copy.verify(), f"entry {index}: ")


def test_a_flipped_byte_is_found_even_with_the_leaf_made_to_fit(original: Original, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    for index in [0, original.size - 1, *(dice.randrange(original.size) for _ in range(10))]:
        copy = Copy(original, tmp_path)
        copy.put(index, flipped(copy.entry(index), dice))
        report = copy.verify()
        assert not report.ok
        named(report, f"entry {index}: |checkpoint \\d+: its root|the stored head: its root")


def test_every_flipped_bit_of_a_checkpoint_is_named(original: Original, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    sizes = [int(note.split("\n")[1]) for note in original.kept]
    length = len(original.kept[0].encode())
    places = {*range(0, length, 9), *range(length - 8, length)}
    for place in sorted(places):
        copy, size = Copy(original, tmp_path), dice.choice(sizes)
        note = bytearray(copy.blob("SELECT CAST(note AS BLOB) FROM checkpoints WHERE size = ?", size))
        note[min(place, len(note) - 1)] ^= 1 << dice.randrange(8)
        copy.db.execute("UPDATE checkpoints SET note = CAST(? AS TEXT) WHERE size = ?", (bytes(note), size))
        named(copy.verify(), f"checkpoint {size}: ")


@pytest.mark.parametrize("column", ["root", "size"])
def test_a_changed_head_is_named(copy: Copy, column: str) -> None:
    change = {"root": "zeroblob(32)", "size": "size - 1"}[column]
    copy.db.execute(f"UPDATE head SET {column} = {change}")  # noqa: S608
    named(copy.verify(), "the stored head: its root")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ("UPDATE entries SET entry = CAST(entry AS TEXT) || 'x' WHERE idx = 7", "entry 7: "),
        ("UPDATE entries SET entry = 7 WHERE idx = 7", "entry 7: "),
        ("UPDATE entries SET entry = '' WHERE idx = 7", "entry 7: "),
        ("UPDATE entries SET leaf = 9999999999 WHERE idx = 7", "entry 7: "),
        ("UPDATE entries SET leaf = x'' WHERE idx = 7", "entry 7: "),
        ("UPDATE entries SET entry = zeroblob(5000000) WHERE idx = 7", "entry 7: "),
        ("UPDATE checkpoints SET note = x'ff00fe'", "checkpoint \\d+: "),
        ("UPDATE checkpoints SET note = 5", "checkpoint \\d+: "),
        ("UPDATE checkpoints SET note = ''", "checkpoint \\d+: "),
        ("UPDATE checkpoints SET size = size + 1 WHERE size = (SELECT max(size) FROM checkpoints)", "checkpoint \\d+: is"),
        ("UPDATE checkpoints SET size = 2 WHERE size = (SELECT max(size) FROM checkpoints)", "checkpoint 2: is filed"),
        ("UPDATE head SET root = 'text'", "the stored head: "),
        ("UPDATE head SET size = size + 5", "truncated: the stored head"),
        ("DELETE FROM head", "the stored head states 0 entries"),
        ("UPDATE entries SET idx = -1 WHERE idx = 0", "entry 1: stands at place 0"),
    ],
)
def test_a_column_of_another_kind_is_named_too(copy: Copy, change: str, where: str) -> None:
    copy.db.execute(change)
    named(copy.verify(), where)


# --- entries removed, moved, added, replaced ---


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda tamper: tamper.__name__)
def test_what_was_done_to_it_is_named(copy: Copy, tamper: Tamper) -> None:
    where = tamper(copy)
    named(copy.verify(), where)


@pytest.mark.parametrize("tamper", UNSEEN_FROM_INSIDE, ids=lambda tamper: tamper.__name__)
def test_a_kept_checkpoint_finds_what_nothing_in_the_file_shows(copy: Copy, tamper: Tamper) -> None:
    where = tamper(copy)
    assert copy.verify().ok, "everything in the file fits together"
    named(copy.verify([copy.original.kept[-1]]), where)


def test_a_kept_checkpoint_of_another_log_proves_nothing(copy: Copy) -> None:
    other = sign_checkpoint(Checkpoint("other.example/log", 5, bytes(32)), ATTACKER)
    named(copy.verify([other]), "the kept checkpoint 5: a checkpoint of the log 'other.example/log'")


def test_a_flipped_byte_anywhere_in_the_file_is_found_unless_it_touches_nothing_of_the_log(
    original: Original, tmp_path: Path
) -> None:
    dice, found = random.Random(SEED), 0
    data = original.path.read_bytes()
    for _ in range(80):
        changed = bytearray(data)
        changed[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        (tmp_path / "journal.db").write_bytes(changed)
        try:
            report = verify_file(tmp_path / "journal.db", original.keys, original.kept)
        except GatewayError:
            found += 1
            continue
        found += not report.ok
        if report.ok:
            assert rows_of(tmp_path / "journal.db") == rows_of(original.path)
    assert found > 30


def rows_of(path: Path) -> list[object]:
    log = SqliteLog(path)
    try:
        return [*log.entries(), *log.checkpoints()]
    finally:
        log.close()


def test_reading_never_changes_the_file(copy: Copy) -> None:
    copy.db.close()
    before = copy.path.read_bytes()
    log = SqliteLog(copy.path)
    assert sum(1 for _ in log.entries()) == copy.original.size
    log.close()
    assert copy.path.read_bytes() == before
