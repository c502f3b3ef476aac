"""A journal of release 0.1: refused by everything until it is migrated, and then it is as if today's had written it."""

import shutil
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from gateway.adapters.keys import load_keys
from gateway.adapters.store.sqlite.database import SCHEMA, SCHEMA_VERSION
from tests.running import REPOSITORY, ModernClient, RunningGateway, outcome, text
from tests.state.schema_1 import make_schema_1
from tests.state.states import CONFIG, sealgate, state_of
from tests.store.full_log import Original

pytestmark = pytest.mark.long


@pytest.fixture
def old(original: Original, tmp_path: Path) -> Path:
    """A state folder of schema 1 with a log of every kind."""
    state = state_of(original, tmp_path / "state")
    make_schema_1(state)
    return state


def version(path: Path) -> int:
    db = apsw.Connection(str(path))
    try:
        return int(db.pragma("user_version"))
    finally:
        db.close()


def schema(path: Path) -> dict[str, str]:
    db = apsw.Connection(str(path))
    try:
        found = db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        return {str(name): str(sql) for name, sql in found}
    finally:
        db.close()


@pytest.mark.parametrize(
    "command", [["log", "verify"], ["log", "list"], ["state", "check"], ["state", "backup", "/nowhere/at/all"]]
)
def test_an_older_journal_is_refused_with_the_command_that_helps(old: Path, command: list[str]) -> None:
    done = sealgate(old, *command)
    assert done.code == 1
    assert "error[store.schema_old]" in done.stderr
    assert "sealgate state migrate" in done.stderr
    assert version(old / "journal.db") == 1


def test_a_newer_journal_is_refused_by_everything(old: Path) -> None:
    db = apsw.Connection(str(old / "journal.db"))
    db.pragma("user_version", 7)
    db.close()
    for command in (["log", "verify"], ["state", "check"], ["state", "migrate"], ["state", "backup", str(old / "b")]):
        done = sealgate(old, *command)
        assert done.code == 1, command
        assert "error[store.schema_new]" in done.stderr, done.stderr
        assert "newer Sealgate" in done.stderr
    assert version(old / "journal.db") == 7


def test_a_migrated_journal_has_the_schema_of_a_new_one_and_passes_every_check(old: Path, tmp_path: Path) -> None:
    done = sealgate(old, "state", "migrate")
    assert done.code == 0, done.stderr
    fresh = apsw.Connection(str(tmp_path / "fresh.db"))
    fresh.execute(SCHEMA)
    fresh.close()
    assert schema(old / "journal.db") == schema(tmp_path / "fresh.db")
    checked = sealgate(old, "state", "check")
    assert checked.code == 0, checked.stdout
    assert "the values of" in checked.stdout, "the vault opens what was sealed before it had numbers"
    assert sealgate(old, "log", "verify").code == 0


def test_the_old_journal_stays_beside_the_new_one_and_a_second_time_does_nothing(old: Path) -> None:
    assert sealgate(old, "state", "migrate").code == 0
    assert version(old / "journal.db.v1.bak") == 1
    data = (old / "journal.db").read_bytes()
    again = sealgate(old, "state", "migrate")
    assert again.code == 0
    assert "nothing to do" in again.stderr
    assert (old / "journal.db").read_bytes() == data


def test_a_journal_of_schema_2_gets_the_tables_it_lacks_and_keeps_the_rest(original: Original, tmp_path: Path) -> None:
    state = state_of(original, tmp_path / "state")
    wanted = schema(state / "journal.db")
    db = apsw.Connection(str(state / "journal.db"))
    told = "SELECT scope, subject, tainted_at IS NULL, effects, intent FROM flows ORDER BY scope"
    flows = db.execute(told).fetchall()
    db.execute("DROP TABLE flows; DROP TABLE decisions")
    db.pragma("user_version", 2)
    calls = db.execute("SELECT count(*) FROM calls").get
    db.close()
    assert "sealgate state migrate" in sealgate(state, "log", "verify").stderr
    done = sealgate(state, "state", "migrate")
    assert done.code == 0, done.stderr
    assert version(state / "journal.db.v2.bak") == 2
    assert schema(state / "journal.db") == wanted
    db = apsw.Connection(str(state / "journal.db"))
    assert db.execute("SELECT count(*) FROM calls").get == calls > 0
    assert db.execute(told).fetchall() == flows != []
    db.close()
    assert sealgate(state, "state", "check").code == 0


def test_a_log_that_was_changed_is_not_migrated(old: Path) -> None:
    db = apsw.Connection(str(old / "journal.db"))
    db.execute("UPDATE entries SET entry = zeroblob(100) WHERE idx = 7")
    db.close()
    done = sealgate(old, "state", "migrate")
    assert done.code == 6
    assert done.stdout.startswith("entry 7: "), done.stdout
    assert "error[log.verification_failed]: the journal was not migrated" in done.stderr
    assert version(old / "journal.db") == 1


def test_a_row_that_was_changed_before_is_not_carried_over(old: Path) -> None:
    db = apsw.Connection(str(old / "journal.db"))
    db.execute("UPDATE calls SET state = 'failed' WHERE state = 'completed'")
    db.close()
    done = sealgate(old, "state", "migrate")
    assert done.code == 6
    assert "stands as failed, and the log says completed" in done.stdout
    assert version(old / "journal.db") == 1


def test_what_a_revocation_disowns_is_migrated_for_who_accepts_it_and_for_nobody_else(
    original: Original, tmp_path: Path
) -> None:
    state = state_of(original, tmp_path / "state")
    stolen = load_keys(state / "keys").entry.keyid
    assert sealgate(state, "keys", "revoke", stolen, "--since", "5", "--reason", "stolen").code == 0
    make_schema_1(state, as_signed=True)
    done = sealgate(state, "state", "migrate")
    assert (done.code, done.stdout.startswith("revoked: ")) == (6, True), done
    assert "error[log.revoked]: the journal was not migrated" in done.stderr
    assert f"--accept-revoked {stolen[:16]}" in done.stderr
    assert version(state / "journal.db") == 1
    unknown = sealgate(state, "state", "migrate", "--accept-revoked", load_keys(state / "keys").entry.keyid)
    assert (unknown.code, "is not revoked in the trust bundle" in unknown.stderr) == (1, True)
    assert version(state / "journal.db") == 1
    accept = ("--accept-revoked", stolen)
    done = sealgate(state, "state", "migrate", *accept)
    assert (done.code, "accepted: " in done.stdout) == (0, True), done
    assert version(state / "journal.db") == SCHEMA_VERSION
    assert sealgate(state, "state", "check", *accept).code == 0


def test_a_key_that_was_released_for_a_caller_who_went_away_is_carried_over(old: Path) -> None:
    """Release 0.1 wrote the release before the refusal, under the retry's envelope, and without the request's id."""
    db = apsw.Connection(str(old / "journal.db"))
    db.execute(
        "UPDATE calls SET state = 'released', approval_id = NULL, envelope_id = '00000000-0000-7000-8000-00000000beef'"
        " WHERE reservation = (SELECT reservation FROM approvals WHERE state = 'expired' LIMIT 1)"
    )
    assert db.changes() == 1
    db.close()
    assert sealgate(old, "state", "migrate").code == 0
    assert sealgate(old, "state", "check").code == 0


DIE = """
import os, sys
from pathlib import Path
from gateway.adapters.keys import load_trusted_keys
from gateway.adapters.store.sqlite.migrations import migrate_journal
from gateway.adapters.vault import migrate_vault

state, where = Path(sys.argv[1]), sys.argv[2]

def watch(entries, total, doing):
    for number, entry in enumerate(entries):
        if doing == where and number == total // 2:
            os.kill(os.getpid(), 9)
        yield entry

migrate_vault(state / "vault.db")
migrate_journal(state / "journal.db", 1, load_trusted_keys(state / "keys" / "public.json"), watch=watch)
"""


@pytest.mark.parametrize("where", ["verifying the log", "reading the calls", "making the tiles", "comparing the calls"])
def test_a_migration_that_is_killed_leaves_the_old_journal_and_can_be_repeated(old: Path, where: str) -> None:
    done = subprocess.run([sys.executable, "-c", DIE, str(old), where], cwd=REPOSITORY, timeout=60, check=False)
    assert done.returncode == -9
    assert version(old / "journal.db") == 1
    repeated = sealgate(old, "state", "migrate")
    assert repeated.code == 0, repeated.stderr
    assert sealgate(old, "state", "check").code == 0


def test_a_vault_that_was_left_behind_is_migrated_alone(old: Path, tmp_path: Path) -> None:
    shutil.copy(old / "vault.db", tmp_path / "vault.db")
    assert sealgate(old, "state", "migrate").code == 0
    shutil.copy(tmp_path / "vault.db", old / "vault.db")
    done = sealgate(old, "state", "migrate")
    assert (done.code, "migrated the vault" in done.stderr) == (0, True)
    assert sealgate(old, "state", "check").code == 0


def test_a_gateway_refuses_an_old_state_and_replays_from_it_once_migrated(effects: tuple[str, Path], tmp_path: Path) -> None:
    url, done = effects
    gateway = RunningGateway(tmp_path)
    gateway.configure(CONFIG.format(url=url))
    with gateway:
        gateway.approve_tools()
        with ModernClient(gateway) as client:
            first = text(client.call("count__effect", {"key": "one"}, key="one"))
    make_schema_1(gateway.state)
    gateway.launch()
    assert gateway.process is not None
    assert gateway.process.wait(timeout=30) == 1
    assert "sealgate state migrate" in gateway.output
    gateway.run("state", "migrate")
    with gateway, ModernClient(gateway) as client:
        again = client.call("count__effect", {"key": "one"}, key="one")
        assert outcome(again)["outcome"] == "replayed"
        assert text(again) == first
        client.call("count__effect", {"key": "two"}, key="two")
        assert gateway.run("state", "migrate", check=False).returncode == 1, "a running gateway owns its state"
        gateway.run("state", "check")
    assert done.read_text().split() == ["one", "two"]
