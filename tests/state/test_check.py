"""`state check`: the tables decide whether an effect may run, so each of their rows is held against the signed log."""

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from gateway.adapters.keys import load_keys
from gateway.adapters.store.sqlite.check import StateReport, check_file
from gateway.adapters.store.sqlite.told import check_rows, keep_told
from gateway.adapters.vault import FileVault
from gateway.core.call import Sealer
from gateway.core.capability import ApprovalMode, IdempotencyRule
from gateway.core.commitment import CommitmentKey
from gateway.core.entry import open_entry
from gateway.core.envelope import Replay, Unknown
from gateway.core.evidence import EvidenceRef
from gateway.core.idempotency import State
from gateway.core.outcome import Reason, Receipt
from gateway.core.resolution import Method, Resolution
from tests.core.calls import ALLOW, KEY, Call, capability, envelope_id, seal
from tests.state.row_tampering import TAMPERS, Tamper
from tests.state.states import sealgate, state_of
from tests.store.full_log import Copy, Original
from tests.store.world import SqliteWorld, run, text


@pytest.fixture
def vault(original: Original) -> Iterator[FileVault]:
    vault = FileVault(original.path.with_name("vault.db"), original.keys.vault_key)
    yield vault
    vault.close()


def checked(copy: Copy, vault: FileVault | None = None) -> StateReport:
    copy.db.close()
    return check_file(copy.path, copy.original.keys.trusted(), vault=vault)


def test_an_untouched_state_stands_as_the_log_says(copy: Copy, vault: FileVault) -> None:
    report = checked(copy, vault)
    assert report.ok, report.problems
    assert len(report.checked) == 4


@pytest.mark.parametrize("tamper", TAMPERS, ids=lambda one: one.__name__)
def test_what_was_done_to_a_row_is_named(copy: Copy, tamper: Tamper) -> None:
    begins = tamper(copy)
    report = checked(copy)
    assert any(re.match(begins, problem) for problem in report.problems), report.problems


def test_a_request_stands_where_its_last_step_led_and_a_wrong_step_is_named(copy: Copy) -> None:
    keys = copy.original.keys.trusted().by_id()
    opened = [open_entry(data, keys) for data in copy.entries()]
    again = next(entry for entry in opened if entry.predicate.get("event") == "approved")
    with keep_told(copy.db, [*opened, again]):
        problems = list(check_rows(copy.db))
    asked = again.predicate["approval"]["approval_id"]
    assert problems == [f"approval {asked}: the log says approved after consumed"]


@pytest.mark.parametrize(
    "change", ["UPDATE flows SET effects = effects + 1", "UPDATE flows SET intent = 'hmac-sha256:00'", "SELECT 1"]
)
def test_a_run_that_stands_stricter_than_the_log_says_is_no_problem(copy: Copy, change: str) -> None:
    copy.db.execute(change)
    assert checked(copy).ok


RUN = Call(run_id="job", mode=ApprovalMode.READ_ONLY, rule=IdempotencyRule.NONE, key=None)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE flows SET intent = NULL", "stands with another intent than the log says"),
        ("UPDATE flows SET intent = 'hmac-sha256:00'", "stands with another intent than the log says"),
        ("UPDATE flows SET tainted_at = NULL", "stands as clean, and the log says that it has an untrusted result"),
        ("UPDATE flows SET tainted_at = '2000-01-01T00:00:00.000Z'", None),  # of a declared run, a taint never ends
        ("DELETE FROM flows", "the log tells what it read, did or is for, and its row is gone: it would look clean"),
        ("SELECT 1", None),
    ],
)
def test_what_a_declared_run_forgot_is_named(tmp_path: Path, change: str, problem: str | None) -> None:
    async def read() -> str:
        world = SqliteWorld(tmp_path)
        call = replace(seal(RUN, random=os.urandom), intent="hmac-sha256:11")
        assert await world.journal.register_intent(call) is None
        assert isinstance(await run(world, call), Receipt)
        world.close()
        return call.scope

    scope = asyncio.run(read())
    with apsw.Connection(str(tmp_path / "journal.db")) as db:
        db.execute(change)
    report = check_file(tmp_path / "journal.db", load_keys(tmp_path / "keys").trusted())
    assert report.problems == ([] if problem is None else [f"run {scope}: {problem}"])


def test_a_stored_result_that_is_read_again_taints_its_reader_in_the_log_too(tmp_path: Path) -> None:
    async def replayed() -> None:
        world = SqliteWorld(tmp_path)
        call = seal(RUN, random=os.urandom)
        await world.journal.replay(Replay(call, ALLOW, envelope_id(9), EvidenceRef.of_result(call.capability, "9", None)))
        world.close()

    asyncio.run(replayed())
    path, keys = tmp_path / "journal.db", load_keys(tmp_path / "keys").trusted()
    assert check_file(path, keys).ok
    with apsw.Connection(str(path)) as db:
        db.execute("UPDATE flows SET tainted_at = NULL")
    assert ["stands as clean" in problem for problem in check_file(path, keys).problems] == [True]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            "CREATE TRIGGER forget AFTER UPDATE ON calls WHEN NEW.state = 'completed'"
            " BEGIN DELETE FROM calls WHERE reservation = NEW.reservation; END",
            "journal.db: the trigger forget is none of ours",
        ),
        ("CREATE VIEW more AS SELECT 1", "journal.db: the view more is none of ours"),
        ("DROP INDEX calls_started", "journal.db: the index calls_started is missing"),
        ("DROP TABLE meta", "journal.db: the table meta is missing"),
        ("ALTER TABLE calls ADD COLUMN more TEXT", "journal.db: the table calls was made otherwise"),
    ],
)
def test_what_was_done_to_the_tables_themselves_is_named(copy: Copy, change: str, problem: str) -> None:
    """A trigger could take back what a call leaves, after every check, so that its effect happens twice."""
    copy.db.execute(change)
    assert checked(copy).problems == [problem]


@pytest.mark.parametrize(
    ("change", "begins"),
    [
        ("UPDATE evidence SET result = zeroblob(80) WHERE result IS NOT NULL", "values of .*: .*changed or moved"),
        (
            "UPDATE evidence SET result = (SELECT result FROM evidence WHERE result IS NOT NULL ORDER BY 1 LIMIT 1)",
            "values of .*: .*changed or moved",
        ),
        ("UPDATE evidence SET arguments = x''", "values of .*: erased, and the log has no erasure"),
        (
            "DELETE FROM evidence WHERE envelope_id = (SELECT max(envelope_id) FROM calls WHERE state = 'completed')",
            "values of .*: they are gone, and older ones are kept",
        ),
    ],
)
def test_values_that_were_changed_moved_or_taken_out_are_named(
    copy: Copy, vault: FileVault, change: str, begins: str
) -> None:
    copy.db.execute(change)
    report = checked(copy, vault)
    assert any(re.match(begins, problem) for problem in report.problems), report.problems


def test_values_that_retention_took_are_no_problem(copy: Copy, vault: FileVault) -> None:
    copy.db.execute(
        "DELETE FROM evidence WHERE envelope_id < (SELECT envelope_id FROM evidence ORDER BY 1 LIMIT 1 OFFSET 20)"
    )
    report = checked(copy, vault)
    assert report.ok, report.problems


def test_a_result_that_came_with_a_late_verdict_is_no_problem(tmp_path: Path) -> None:
    async def late() -> StateReport:
        world = SqliteWorld(tmp_path)
        doubt, done = Call(key="doubt", envelope=1), Call(key="done", envelope=2)
        await run(world, doubt, lambda _: Unknown(Reason("upstream.timeout", "Late.")))
        await run(world, done)
        await world.journal.drop_before(envelope_id(3))
        sealer = Sealer(CommitmentKey(KEY), os.urandom)
        told = sealer.disclose_told_result(capability(doubt).definition.document, text("it was done"))
        verdict = Resolution(envelope_id(1), State.COMPLETED, Method.OPERATOR, "carol", "looked", told)
        assert isinstance(await world.journal.doubts.resolve(verdict), Receipt)
        report = check_file(world.path, world.keys.trusted(), vault=world.vault)
        world.close()
        return report

    report = asyncio.run(late())
    assert report.ok, report.problems


def test_the_command_says_what_it_checked_and_exits_6_where_something_is_wrong(original: Original, tmp_path: Path) -> None:
    state = state_of(original, tmp_path / "state")
    fine = sealgate(state, "state", "check")
    assert (fine.code, fine.stderr) == (0, "")
    assert f"ok: the log verifies: {original.size} entries" in fine.stdout
    assert "stand as the log says" in fine.stdout
    db = apsw.Connection(str(state / "journal.db"))
    db.execute("UPDATE calls SET state = 'failed' WHERE state = 'completed'")
    db.close()
    assert sealgate(state, "log", "verify").code == 0, "the log is what was written"
    wrong = sealgate(state, "state", "check")
    assert wrong.code == 6
    assert "stands as failed, and the log says completed" in wrong.stdout
    assert "error[log.verification_failed]" in wrong.stderr


def test_an_entry_that_was_changed_can_still_be_shown(original: Original, tmp_path: Path) -> None:
    state = state_of(original, tmp_path / "state")
    for entry in ("[1,", "{}", "5", ""):
        db = apsw.Connection(str(state / "journal.db"))
        db.execute("UPDATE entries SET entry = ? WHERE idx = 5", (entry,))
        db.close()
        done = sealgate(state, "log", "show", "5")
        assert (done.code, "Traceback" in done.stderr) == (0, False), done.stderr
        assert '"index": 5' in done.stdout


def test_a_file_damaged_below_its_tables_is_exit_6(original: Original, tmp_path: Path) -> None:
    state = state_of(original, tmp_path / "state")
    for name in ("journal.db", "vault.db"):
        whole = (state / name).read_bytes()
        data = bytearray(whole)
        for place in range(4096, len(data), 4096):
            data[place : place + 200] = bytes(200)
        (state / name).write_bytes(data)
        done = sealgate(state, "state", "check")
        assert (done.code, "Traceback" in done.stderr) == (6, False), done.stderr
        (state / name).write_bytes(whole)
