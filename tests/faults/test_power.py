"""The simulated disk does what it says: what was synced stays, what was not may be gone or torn."""

import contextlib
import errno
from pathlib import Path
from random import Random

import apsw
import pytest

from faults.disk import Action, Disk, DiskError, Operation, SystemCalls
from faults.power import SECTOR_BYTES, PowerSupply

SEED = 20261122
NEVER = 1 << 40


def insert_and_cut(folder: Path, synchronous: str, seed: int) -> None:
    """Twenty commits on a disk whose power goes off after the last."""
    supply = PowerSupply(Random(seed), NEVER)
    with Disk(supply):
        db = apsw.Connection(str(folder / "x.db"))
        db.pragma("synchronous", synchronous)
        insert(db)
        supply.cut()
        with contextlib.suppress(DiskError):
            db.close()
    supply.leave(folder)


def rows(folder: Path) -> int:
    db = apsw.Connection(str(folder / "x.db"))
    try:
        assert db.pragma("integrity_check") == "ok"
        count: int = db.execute("SELECT count(*) FROM t").get
        return count
    finally:
        db.close()


def prepare(folder: Path) -> None:
    db = apsw.Connection(str(folder / "x.db"))
    db.pragma("journal_mode", "wal")
    db.execute("CREATE TABLE t (x)")
    db.close()


def insert(db: apsw.Connection) -> None:
    for number in range(20):
        db.execute("INSERT INTO t VALUES (?)", (number,))


def test_every_commit_with_full_sync_survives_a_cut(tmp_path: Path) -> None:
    prepare(tmp_path)
    for seed in range(10):
        before = rows(tmp_path)
        insert_and_cut(tmp_path, "full", SEED + seed)
        assert rows(tmp_path) == before + 20


def test_commits_without_sync_are_lost_by_some_cuts_and_kept_by_others(tmp_path: Path) -> None:
    lost = set()
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        prepare(folder)
        insert_and_cut(folder, "normal", SEED + seed)
        lost.add(20 - rows(folder))
    print(f"seed {SEED}: lost {sorted(lost)}")
    assert max(lost) > 0
    assert len(lost) > 1


def test_the_same_seed_leaves_the_same_bytes_and_others_leave_others(tmp_path: Path) -> None:
    path = tmp_path / "x"

    def left(seed: int) -> bytes:
        supply = PowerSupply(Random(seed), NEVER)
        supply(Operation(Action.CREATE, str(path)))
        supply(Operation(Action.SYNC, str(path)))
        for number in range(50):
            write(supply, str(path), 100 * number, bytes([number]) * 1000)
        supply.leave(tmp_path)
        return path.read_bytes()

    assert left(SEED) == left(SEED)
    assert len({left(SEED + number) for number in range(10)}) == 10


def test_nothing_works_after_the_power_went_off(tmp_path: Path) -> None:
    prepare(tmp_path)
    supply = PowerSupply(Random(SEED), cut_at=3)
    with Disk(supply):
        db = apsw.Connection(str(tmp_path / "x.db"))
        with pytest.raises(DiskError):
            insert(db)
        with pytest.raises(apsw.Error):
            db.execute("SELECT count(*) FROM t").get  # noqa: B018
        with pytest.raises(apsw.Error):
            apsw.Connection(str(tmp_path / "x.db")).execute("SELECT 1 FROM t")
        with contextlib.suppress(DiskError):
            db.close()


def write(supply: PowerSupply, path: str, offset: int, data: bytes) -> None:
    supply(Operation(Action.WRITE, path, offset=offset, data=data))


def test_a_kept_write_may_be_torn_at_its_sectors_and_nowhere_else(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    torn = 0
    for seed in range(200):
        supply = PowerSupply(Random(SEED + seed), NEVER)
        supply(Operation(Action.CREATE, path))
        supply(Operation(Action.SYNC, path))
        write(supply, path, 0, b"x" * (8 * SECTOR_BYTES))
        supply.leave(tmp_path)
        data = (tmp_path / "x").read_bytes().ljust(8 * SECTOR_BYTES, b"\0")
        sectors = [data[start : start + SECTOR_BYTES] for start in range(0, len(data), SECTOR_BYTES)]
        assert all(sector in (b"x" * SECTOR_BYTES, bytes(SECTOR_BYTES)) for sector in sectors)
        torn += len(set(sectors)) == 2
    assert 10 < torn < 60, f"seed {SEED}: {torn} of 200 writes were torn"


def test_a_file_that_was_never_synced_may_be_missing_and_a_deleted_one_may_be_back(tmp_path: Path) -> None:
    made, back = 0, 0
    for seed in range(100):
        new, old = tmp_path / "new", tmp_path / "old"
        new.unlink(missing_ok=True)
        old.write_bytes(b"old")
        supply = PowerSupply(Random(SEED + seed), NEVER)
        supply(Operation(Action.OPEN, str(old)))
        supply(Operation(Action.CREATE, str(new)))
        supply(Operation(Action.DELETE, str(old), synced=False))
        supply.leave(tmp_path)
        made += new.exists()
        back += old.exists()
    assert 20 < made < 80, f"seed {SEED}"
    assert 20 < back < 80, f"seed {SEED}"


def test_a_deletion_with_a_synced_directory_is_final(tmp_path: Path) -> None:
    for seed in range(30):
        (tmp_path / "old").write_bytes(b"old")
        supply = PowerSupply(Random(SEED + seed), NEVER)
        supply(Operation(Action.OPEN, str(tmp_path / "old")))
        supply(Operation(Action.DELETE, str(tmp_path / "old"), synced=True))
        (tmp_path / "old").unlink()
        supply.leave(tmp_path)
        assert not (tmp_path / "old").exists()


def test_what_a_failed_sync_forgot_no_later_sync_brings_back(tmp_path: Path) -> None:
    kept = set()
    for seed in range(20):
        path = str(tmp_path / "x")
        supply = PowerSupply(Random(SEED + seed), NEVER)
        supply(Operation(Action.CREATE, path))
        supply(Operation(Action.SYNC, path))
        write(supply, path, 0, b"x")
        supply.forget(path)
        supply(Operation(Action.SYNC, path))
        supply.leave(tmp_path)
        kept.add((tmp_path / "x").read_bytes())
    assert kept == {b"", b"x"}


def test_each_call_on_shared_memory_can_be_made_to_fail(tmp_path: Path) -> None:
    prepare(tmp_path)
    names: list[str] = []

    def fail(name: str) -> int:
        names.append(name)
        return errno.ENOSPC

    with SystemCalls("-shm", fail):
        db = apsw.Connection(str(tmp_path / "x.db"))
        with pytest.raises(apsw.Error):
            db.execute("SELECT * FROM t")
        db.close()
    assert names
    assert rows(tmp_path) == 0
