"""`sealgate log verify` on a changed log: exit 6, and the place."""

import re
from pathlib import Path

import pytest

from tests.running import Said, run_cli
from tests.store.full_log import Copy
from tests.store.tampering import Tamper, delete_one, move_a_checkpoint, replace_by_another_key, swap, truncate
from tests.store.world import SqliteWorld


def log_verify(path: Path, public: Path, *more: str) -> Said:
    return run_cli("log", "verify", "--file", str(path), "--keys", str(public), *more)


def test_the_command_says_ok_to_an_untouched_log(copy: Copy, tmp_path: Path) -> None:
    copy.db.close()
    (tmp_path / "kept").write_text(copy.original.kept[-1])
    done = log_verify(copy.path, copy.original.public, "--checkpoint", str(tmp_path / "kept"))
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"OK: {copy.original.size} entries (")


@pytest.mark.parametrize(
    "tamper", [delete_one, swap, replace_by_another_key, move_a_checkpoint], ids=lambda one: one.__name__
)
def test_the_command_exits_6_and_prints_the_place(copy: Copy, tamper: Tamper) -> None:
    where = tamper(copy)
    copy.db.close()
    done = log_verify(copy.path, copy.original.public)
    assert done.code == 6
    assert any(re.match(where, line) for line in done.stdout.splitlines()), done.stdout
    assert "error[log.verification_failed]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entries SET entry = CAST(x'ff' AS TEXT) WHERE idx = 7",
        "UPDATE checkpoints SET note = CAST(x'ff' AS TEXT)",
        "UPDATE head SET root = CAST(x'ff' AS TEXT)",
    ],
)
def test_the_command_exits_6_also_for_what_is_no_text(copy: Copy, change: str) -> None:
    copy.db.execute(change)
    copy.db.close()
    done = log_verify(copy.path, copy.original.public)
    assert (done.code, "Traceback" in done.stderr) == (6, False)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE {0} RENAME TO was; CREATE TABLE {0} AS SELECT * FROM was; UPDATE {0} SET {1} = NULL",
        "ALTER TABLE {0} RENAME TO was; CREATE VIEW {0} AS"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i AS {1} FROM n WHERE i < 0",
    ],
    ids=["values that are none", "a view that never ends"],
)
@pytest.mark.parametrize("table", ["entries", "head", "checkpoints"])
def test_the_command_exits_6_where_a_table_was_replaced(copy: Copy, table: str, change: str) -> None:
    column = {"entries": "entry", "head": "size", "checkpoints": "note"}[table]
    copy.db.execute(change.format(table, column))
    copy.db.close()
    done = log_verify(copy.path, copy.original.public)
    assert (done.code, "Traceback" in done.stderr) == (6, False), done.stdout + done.stderr


def test_the_command_finds_a_truncated_log_with_a_kept_checkpoint(copy: Copy, tmp_path: Path) -> None:
    truncate(copy)
    copy.db.close()
    (tmp_path / "kept").write_text(copy.original.kept[-1])
    assert log_verify(copy.path, copy.original.public).code == 0
    done = log_verify(copy.path, copy.original.public, "--checkpoint", str(tmp_path / "kept"))
    assert done.code == 6
    assert "truncated: the kept checkpoint" in done.stdout


def test_the_command_refuses_keys_of_another_deployment(copy: Copy, tmp_path: Path) -> None:
    copy.db.close()
    (tmp_path / "other").mkdir()
    other = SqliteWorld(tmp_path / "other")
    other.close()
    done = log_verify(copy.path, other.keys_folder / "public.json")
    assert done.code == 6
    assert "entry 0: signed by the unknown key" in done.stdout


def test_the_command_exits_6_on_a_file_that_was_damaged_below_the_tables(copy: Copy) -> None:
    copy.db.close()
    data = bytearray(copy.path.read_bytes())
    for place in range(8192, len(data), 4096):
        data[place : place + 100] = bytes(100)
    copy.path.write_bytes(data)
    done = log_verify(copy.path, copy.original.public)
    assert done.code == 6
    assert "Traceback" not in done.stderr
    assert "error[log.verification_failed]: the log's file is damaged" in done.stderr


def test_a_changed_checkpoint_is_printed_so_that_it_acts_on_no_terminal(copy: Copy) -> None:
    copy.db.execute("UPDATE checkpoints SET note = replace(note, char(10) || char(10), char(27) || '[2J' || char(10))")
    copy.db.close()
    state = copy.path.parent
    copy.path.rename(state / "journal.db")
    done = run_cli("log", "checkpoint", state=state)
    assert (done.code, "\x1b" in done.stdout, "\\u{1b}[2J" in done.stdout) == (0, False, True)
