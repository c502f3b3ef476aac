"""`state backup` beside a gateway under load, and `state restore`: what comes back is whole, and says that it came back."""

import json
import os
import stat
import threading
from pathlib import Path

import apsw
import pytest

from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.entry import Kind
from tests.running import ModernClient, RunningGateway, outcome, text, until
from tests.state.states import CONFIG, predicates, refit, sealgate, state_of
from tests.store.full_log import Original

pytestmark = pytest.mark.long

RESTORE = ("--reason", "the disk died", "--yes")


@pytest.fixture
def state(original: Original, tmp_path: Path) -> Path:
    return state_of(original, tmp_path / "state")


class Callers:
    """Four callers that make calls with keys of their own until they are told to stop; `done` are the acknowledged keys."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.done: list[str] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(gateway, number)) for number in range(4)]
        for thread in self._threads:
            thread.start()

    def _call(self, gateway: RunningGateway, number: int) -> None:
        with ModernClient(gateway) as client:
            for count in range(2000):
                if self._stop.is_set():
                    return
                key = f"{number}-{count}"
                if outcome(client.call("count__effect", {"key": key}, key=key))["outcome"] == "completed":
                    self.done.append(key)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()


def test_a_backup_taken_under_load_restores_verifies_and_replays(effects: tuple[str, Path], tmp_path: Path) -> None:
    url, effect_file = effects
    gateway = RunningGateway(tmp_path)
    gateway.configure(CONFIG.format(url=url))
    copy = tmp_path / "copy"
    with gateway:
        gateway.approve_tools()
        callers = Callers(gateway)
        until(lambda: len(callers.done) > 40, what="some calls", seconds=60)
        before = list(callers.done)
        gateway.run("state", "backup", str(copy), "--with-keys", "--config", str(tmp_path / "gateway.yaml"))
        until(lambda: len(callers.done) > len(before) + 10, what="calls after the backup", seconds=60)
        callers.stop()
        with ModernClient(gateway) as client:
            told = {key: text(client.call("count__effect", {"key": key}, key=key)) for key in before[:10]}
    size = json.loads((copy / "manifest.json").read_text())["log_size"]
    assert (copy / "gateway.lock").exists()
    gateway.state.rename(tmp_path / "lost")
    gateway.run("state", "restore", str(copy), *RESTORE)
    gateway.run("log", "verify")
    gateway.run("state", "check")
    ran = effect_file.read_text().split()
    with gateway, ModernClient(gateway) as client:
        for key in before:
            again = client.call("count__effect", {"key": key}, key=key)
            assert outcome(again)["outcome"] == "replayed", key
            assert key not in told or text(again) == told[key]
        gateway.run("log", "verify")
        gateway.run("state", "check")
    assert effect_file.read_text().split() == ran, "what the backup knows is not run again"
    boots = [said["boot"] for said in predicates(gateway.state / "journal.db") if said["kind"] == Kind.BOOT]
    restored = [boot["restored_from"] for boot in boots if "restored_from" in boot]
    assert [(each["size"], each["reason"]) for each in restored] == [(size, "the disk died")]


def test_only_the_first_start_after_a_restore_says_so(effects: tuple[str, Path], tmp_path: Path) -> None:
    url, _ = effects
    gateway = RunningGateway(tmp_path)
    gateway.configure(CONFIG.format(url=url))
    with gateway:
        pass
    gateway.run("state", "backup", str(tmp_path / "copy"), "--with-keys")
    gateway.state.rename(tmp_path / "lost")
    gateway.run("state", "restore", str(tmp_path / "copy"), *RESTORE)
    for _ in range(2):
        with gateway:
            pass
    boots = [said["boot"] for said in predicates(gateway.state / "journal.db") if said["kind"] == Kind.BOOT]
    assert ["restored_from" in boot for boot in boots] == [False, True, False]


# --- what is in a backup ---


def test_a_backup_has_no_private_keys_unless_asked_and_is_for_its_owner_only(state: Path, tmp_path: Path) -> None:
    for name, options in (("plain", []), ("keys", ["--with-keys"])):
        assert sealgate(state, "state", "backup", str(tmp_path / name), *options).code == 0
    assert {path.name for path in (tmp_path / "plain").rglob("*") if path.is_file()} == {
        *("journal.db", "vault.db", "public.json", "manifest.json")
    }
    private = {"entry.pem", "log.pem", "commitment.key", "vault.key"}
    assert private <= {path.name for path in (tmp_path / "keys" / "keys").iterdir()}
    for path in [tmp_path / "keys", *(tmp_path / "keys").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_backup_without_the_vault_holds_no_value_and_no_key_to_one(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert sealgate(state, "state", "backup", str(copy), "--without-vault").code == 0
    journal, vault = apsw.Connection(str(copy / "journal.db")), apsw.Connection(str(copy / "vault.db"))
    assert journal.execute("SELECT count(*) FROM evidence").get == 0
    assert vault.execute("SELECT count(wrapped), count(*) > 0 FROM subject_keys").get == (0, 1)
    wrapped = apsw.Connection(str(state / "vault.db")).execute("SELECT wrapped FROM subject_keys").get
    assert isinstance(wrapped, bytes)
    assert wrapped not in (copy / "vault.db").read_bytes()
    sealed = apsw.Connection(str(state / "journal.db")).execute("SELECT arguments FROM evidence LIMIT 1").get
    assert isinstance(sealed, bytes)
    assert sealed not in (copy / "journal.db").read_bytes()
    assert sealgate(state, "state", "check", "--file", str(copy)).code == 0


def test_a_folder_that_is_there_is_never_written_into(state: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    done = sealgate(state, "state", "backup", str(tmp_path / "there"))
    assert (done.code, "is there already" in done.stderr) == (1, True)
    (tmp_path / "copy.partial").mkdir()
    done = sealgate(state, "state", "backup", str(tmp_path / "copy"))
    assert (done.code, "cut off" in done.stderr) == (1, True)
    assert not (tmp_path / "copy").exists()


def test_a_state_that_does_not_hold_is_not_backed_up(state: Path, tmp_path: Path) -> None:
    db = apsw.Connection(str(state / "journal.db"))
    db.execute("DELETE FROM entries WHERE idx = 9")
    db.close()
    done = sealgate(state, "state", "backup", str(tmp_path / "copy"))
    assert done.code == 6
    assert list(tmp_path.iterdir()) == [state]


# --- what is not restored ---


@pytest.fixture
def backup(state: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "copy"
    assert sealgate(state, "state", "backup", str(copy), "--with-keys").code == 0
    state.rename(tmp_path / "lost")
    return copy


def test_a_used_state_folder_is_never_restored_over(state: Path, backup: Path) -> None:
    state.mkdir()
    (state / "journal.db").write_text("mine")
    done = sealgate(state, "state", "restore", str(backup), *RESTORE)
    assert (done.code, "is in use" in done.stderr) == (1, True)
    assert (state / "journal.db").read_text() == "mine"


def test_an_empty_state_folder_may_be_there(state: Path, backup: Path) -> None:
    state.mkdir()
    done = sealgate(state, "state", "restore", str(backup), *RESTORE)
    assert done.code == 0, done.stderr
    assert sealgate(state, "state", "check").code == 0


@pytest.mark.parametrize("name", ["journal.db", "vault.db", "keys/public.json", "keys/entry.pem"])
def test_a_backup_with_a_flipped_bit_is_not_restored(state: Path, backup: Path, name: str) -> None:
    data = bytearray((backup / name).read_bytes())
    data[len(data) // 2] ^= 1
    (backup / name).write_bytes(data)
    done = sealgate(state, "state", "restore", str(backup), *RESTORE)
    assert (done.code, f"{name} was changed" in done.stderr) == (6, True)
    assert not state.exists()


@pytest.mark.parametrize(("change", "what"), [("remove", "vault.db is missing"), ("add", "extra is not of this backup")])
def test_a_backup_with_other_files_than_it_names_is_not_restored(state: Path, backup: Path, change: str, what: str) -> None:
    if change == "remove":
        (backup / "vault.db").unlink()
    else:
        (backup / "extra").write_text("x")
    done = sealgate(state, "state", "restore", str(backup), *RESTORE)
    assert (done.code, what in done.stderr) == (6, True)
    assert not state.exists()


@pytest.mark.parametrize("made_at", [{"no": "text"}, "\x1b[2J" + "x" * 100_000, 5])
def test_a_manifest_whose_time_is_none_is_refused_before_the_log_could_state_it(
    state: Path, backup: Path, made_at: object
) -> None:
    path = backup / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "made_at": made_at}))
    done = sealgate(state, "state", "restore", str(backup), *RESTORE)
    assert (done.code, "is no backup" in done.stderr, "\x1b" in done.stderr) == (1, True, False)
    assert not state.exists()


def test_keys_that_are_newer_than_the_log_are_not_backed_up_with_it(state: Path, tmp_path: Path) -> None:
    """As when a key is rotated between the copy of the log and that of the keys: nothing could go on from the two."""
    before = (state / "journal.db").read_bytes()
    assert sealgate(state, "keys", "rotate", "entry").code == 0
    after = sealgate(state, "state", "backup", str(tmp_path / "fine"), "--with-keys")
    assert after.code == 0, after.stderr
    (state / "journal.db").write_bytes(before)
    done = sealgate(state, "state", "backup", str(tmp_path / "mixed"), "--with-keys")
    assert (done.code, "not of one time" in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "mixed").exists()


def test_a_manifest_made_to_fit_a_changed_log_does_not_help(state: Path, backup: Path) -> None:
    db = apsw.Connection(str(backup / "journal.db"))
    db.execute("UPDATE calls SET state = 'failed' WHERE state = 'completed'")
    db.close()
    refit(backup)
    done = sealgate(state, "state", "restore", str(backup), *RESTORE)
    assert (done.code, "stands as failed" in done.stdout) == (6, True)
    assert not state.exists()


@pytest.mark.parametrize("kept", ["--checkpoint", "log.anchors.keep"])
def test_a_backup_behind_an_anchored_checkpoint_is_not_restored(
    original: Original, state: Path, backup: Path, tmp_path: Path, kept: str
) -> None:
    """The auditor, or the second place for the anchored checkpoint, knows a log that is longer than the backup's."""
    longer = Checkpoint(original.keys.origin, original.size + 10, os.urandom(32))
    (tmp_path / "kept").write_text(sign_checkpoint(longer, original.keys.log))
    options = ["--checkpoint", str(tmp_path / "kept")]
    if kept == "log.anchors.keep":
        (tmp_path / "gateway.yaml").write_text("log: {anchors: {policy: policy, keep: kept}}\n")
        options = ["--config", str(tmp_path / "gateway.yaml")]
    done = sealgate(state, "state", "restore", str(backup), *options, *RESTORE)
    assert (done.code, "truncated: the kept checkpoint" in done.stdout) == (6, True), done.stdout + done.stderr
    assert "start a new log" in done.stderr
    assert not state.exists()


def test_without_a_yes_nothing_is_restored(state: Path, backup: Path) -> None:
    done = sealgate(state, "state", "restore", str(backup), "--reason", "try", stdin="n\n")
    assert done.code == 1
    assert "its effect happens again" in done.stderr
    assert not state.exists()


def test_a_restore_without_private_keys_names_those_that_are_missing(state: Path, tmp_path: Path) -> None:
    assert sealgate(state, "state", "backup", str(tmp_path / "copy")).code == 0
    state.rename(tmp_path / "lost")
    done = sealgate(state, "state", "restore", str(tmp_path / "copy"), *RESTORE)
    assert done.code == 0
    assert "entry.pem, log.pem, commitment.key, vault.key" in done.stderr
    for name in ("entry.pem", "log.pem", "commitment.key", "vault.key"):
        os.link(tmp_path / "lost" / "keys" / name, state / "keys" / name)
    assert "the values of" in sealgate(state, "state", "check").stdout
