"""Changing a deployment's keys on disk: what is left when it is cut off anywhere, and that nothing is lost by it."""

import contextlib
import os
import shutil
from pathlib import Path

import apsw
import pytest

from gateway.adapters.keys import load_keys, load_trusted_keys
from gateway.adapters.keys.change import make_next_key
from gateway.adapters.state import StateFolder
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.core.checkpoint import checkpoint_signers, read_checkpoint
from gateway.core.errors import KeyFault, StateLocked, StoreFault, VerificationFailed
from gateway.core.trust import KeyRole, TrustedKeys
from gateway.core.verify import Report, verify_log
from gateway.key_changes import finish_cut_off, revoke, rotate, trusted_keys
from tests.store.cut_off import cut
from tests.store.keyed_log import ORIGIN, deployment, write

ENTRY, LOG = KeyRole.ENTRY, KeyRole.LOG


def verified(state: StateFolder, bundle: TrustedKeys | None = None) -> Report:
    with contextlib.closing(SqliteLog(state.journal)) as log:
        return verify_log(
            log.entries(),
            log.checkpoints(),
            bundle or load_trusted_keys(state.keys / "public.json"),
            head=log.head(),
            snapshot=True,
        )


def holds_and_goes_on(state: StateFolder, *bundles: TrustedKeys) -> None:
    """The log verifies with the newest bundle and with these, and so does what the gateway writes next."""
    with state:
        write(state, 2)
    for bundle in (load_trusted_keys(state.keys / "public.json"), *bundles):
        report = verified(state, bundle)
        assert (report.problems, report.covered) == ([], report.size)


def files(state: StateFolder) -> set[str]:
    return {path.name for path in state.keys.iterdir()}


def signers_at(state: StateFolder, size: int) -> int:
    """How many of the log's keys signed the checkpoint of that size."""
    bundle = load_trusted_keys(state.keys / "public.json")
    with contextlib.closing(SqliteLog(state.journal)) as log:
        (note,) = (note for at, note in log.checkpoints() if at == size)
    return len(checkpoint_signers(note, ORIGIN, [period.key for period in bundle.log_keys.values()])[1])


SETTLED = {"entry.pem", "log.pem", "commitment.key", "vault.key", "public.json"}


@pytest.mark.parametrize("role", KeyRole)
def test_a_rotation_puts_a_new_key_in_place_and_destroys_the_old_one(tmp_path: Path, role: KeyRole) -> None:
    state = deployment(tmp_path / "state")
    before, first = load_keys(state.keys), load_trusted_keys(state.keys / "public.json")
    old_file = (state.keys / f"{role}.pem").read_bytes()
    os.link(state.keys / f"{role}.pem", tmp_path / "where the old key stood")
    secrets = [(state.keys / name).read_bytes() for name in ("commitment.key", "vault.key")]
    with state:
        done = rotate(state, role)
    after = load_keys(state.keys)
    assert (done.index, done.old, done.new) == (3, before.signer(role).keyid, after.signer(role).keyid)
    assert done.old != done.new
    other = LOG if role is ENTRY else ENTRY
    assert before.signer(other).keyid == after.signer(other).keyid
    assert [(state.keys / name).read_bytes() for name in ("commitment.key", "vault.key")] == secrets
    assert set((tmp_path / "where the old key stood").read_bytes()) == {0}
    assert files(state) == SETTLED
    assert all(old_file not in path.read_bytes() for path in state.path.rglob("*") if path.is_file())
    assert (state.keys / f"{role}.pem").stat().st_mode & 0o777 == 0o600
    assert signers_at(state, 4) == (2 if role is LOG else 1)
    holds_and_goes_on(state, first)


def test_many_rotations_of_both_keys_hold_with_the_bundle_of_every_time(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    bundles = [load_trusted_keys(state.keys / "public.json")]
    for role in (ENTRY, ENTRY, LOG, ENTRY, LOG, LOG):
        with state:
            rotate(state, role)
        bundles.append(load_trusted_keys(state.keys / "public.json"))
        holds_and_goes_on(state, *bundles)
    assert [len(bundles[-1].entry_keys), len(bundles[-1].log_keys)] == [4, 4]


def test_keys_are_rotated_before_anything_was_written(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state", entries=0)
    first = load_trusted_keys(state.keys / "public.json")
    with state:
        assert rotate(state, LOG).index == 0
        assert rotate(state, ENTRY).index == 1
    holds_and_goes_on(state, first)


def test_what_a_killed_gateway_left_unsigned_is_signed_by_the_old_log_key_alone(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    with contextlib.closing(apsw.Connection(str(state.journal))) as db:
        db.execute("DELETE FROM checkpoints")
    with state:
        rotate(state, LOG)
    assert [signers_at(state, size) for size in (3, 4)] == [1, 2]
    with contextlib.closing(SqliteLog(state.journal)) as log:
        notes = dict(log.checkpoints())
    assert [len(read_checkpoint(notes[size]).signatures) for size in (3, 4)] == [1, 2]


def test_a_stolen_copy_of_the_old_key_adds_nothing(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    first = load_trusted_keys(state.keys / "public.json")
    shutil.copytree(state.keys, tmp_path / "stolen")
    with state:
        rotate(state, ENTRY)
    newest = (state.keys / "public.json").read_bytes()
    shutil.rmtree(state.keys)
    shutil.copytree(tmp_path / "stolen", state.keys)
    write(state, 1)
    (state.keys / "public.json").write_bytes(newest)
    for bundle in (first, load_trusted_keys(state.keys / "public.json")):
        (problem,) = verified(state, bundle).problems
        assert problem.startswith("entry 4: signed by the key ")
    with pytest.raises(KeyFault, match="is not in force any more"):
        load_keys(state.keys)


# --- revocations ---


def test_a_retired_key_is_revoked(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    first = load_trusted_keys(state.keys / "public.json")
    with state:
        old = rotate(state, ENTRY).old
        done = revoke(state, old, 2, "its disk was sold")
    assert (done.index, done.since, done.rotation) == (4, 2, None)
    report = verified(state)
    assert (report.problems, report.ok) == ([], False)
    assert [(one.keyid, one.count, one.first, one.last) for one in report.revoked] == [(old, 2, 2, 3)]
    assert [problem.split(":")[0] for problem in verified(state, first).problems] == ["entry 4"]
    with state, pytest.raises(KeyFault, match="is revoked from 2 on already"):
        revoke(state, old, 3, "again")


@pytest.mark.parametrize("role", KeyRole)
def test_a_key_in_force_is_rotated_first_and_from_here_on_nothing_is_in_doubt(tmp_path: Path, role: KeyRole) -> None:
    state = deployment(tmp_path / "state")
    first, stolen = load_trusted_keys(state.keys / "public.json"), load_keys(state.keys).signer(role).keyid
    with state:
        done = revoke(state, stolen, None, "stolen")
    assert done.rotation is not None
    assert (done.rotation.index, done.index, done.since) == (3, 4, 4)
    assert load_keys(state.keys).signer(role).keyid == done.rotation.new
    assert files(state) == SETTLED
    holds_and_goes_on(state, first)


def test_a_log_key_that_is_revoked_from_before_takes_its_checkpoints_with_it(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    first, stolen = load_trusted_keys(state.keys / "public.json"), load_keys(state.keys).log.keyid
    with state:
        revoke(state, stolen, 2, "stolen")
    report = verified(state)
    assert (report.problems, report.ok) == ([], False)
    assert [(one.keyid, one.count, one.first, one.last) for one in report.revoked] == [(stolen, 1, 3, 3)]
    assert [problem.split(":")[0] for problem in verified(state, first).problems] == ["entry 4"]


@pytest.mark.parametrize(
    ("since", "reason", "problem"),
    [
        (4, "stolen", "the log has 3 entries"),
        (-1, "stolen", "the log has 3 entries"),
        (1, "", "needs a reason"),
        (1, "two\nlines", "needs a reason"),
        (1, "x" * 501, "needs a reason"),
    ],
)
def test_a_revocation_that_makes_no_sense_changes_nothing(tmp_path: Path, since: int, reason: str, problem: str) -> None:
    state = deployment(tmp_path / "state")
    before = {path.name: path.read_bytes() for path in state.keys.iterdir()}
    keyid = load_keys(state.keys).entry.keyid
    with state, pytest.raises(KeyFault, match=problem):
        revoke(state, keyid, since, reason)
    with state, pytest.raises(KeyFault, match="has no key"):
        revoke(state, "0" * 64, None, "stolen")
    assert {path.name: path.read_bytes() for path in state.keys.iterdir()} == before
    assert verified(state).size == 3


# --- cut off ---


def check_left(left: StateFolder, prepared: StateFolder, first: TrustedKeys, role: KeyRole) -> bool:
    """What was cut off is finished or undone by the next command. Whether it was finished."""
    old_file, old = (prepared.keys / f"{role}.pem").read_bytes(), load_keys(prepared.keys).signer(role).keyid
    trusted_keys(left)
    new = load_keys(left.keys).signer(role).keyid
    assert files(left) == SETTLED
    if new == old:
        assert (left.keys / f"{role}.pem").read_bytes() == old_file
    else:
        assert all(old_file not in path.read_bytes() for path in left.keys.iterdir())
        if role is LOG:
            assert signers_at(left, load_trusted_keys(left.keys / "public.json").log_keys[new].since) == 2
    holds_and_goes_on(left, first)
    with left:
        rotate(left, role)
    holds_and_goes_on(left, first)
    return new != old


@pytest.mark.parametrize("role", KeyRole)
def test_a_rotation_that_is_cut_off_anywhere_has_happened_or_not(tmp_path: Path, role: KeyRole) -> None:
    prepared = deployment(tmp_path / "state")
    first = load_trusted_keys(prepared.keys / "public.json")
    done = [check_left(left, prepared, first, role) for left in cut(prepared, tmp_path / "left", "rotate", role)]
    assert len(done) >= 6
    assert done == sorted(done)  # first it has not happened, and from one step on it has
    assert (done[0], done[-1]) == (False, True)


@pytest.mark.parametrize("role", KeyRole)
def test_a_revocation_that_is_cut_off_anywhere_can_be_made_again(tmp_path: Path, role: KeyRole) -> None:
    prepared = deployment(tmp_path / "state")
    first, stolen = load_trusted_keys(prepared.keys / "public.json"), load_keys(prepared.keys).signer(role).keyid
    ends = []
    for left in cut(prepared, tmp_path / "left", "revoke", stolen):
        bundle = trusted_keys(left)
        assert files(left) == SETTLED
        period = bundle.of(role)[stolen]
        ends.append((period.until is not None, period.revoked is not None))
        holds_and_goes_on(left, first)
        if period.revoked is None:
            with left:
                revoke(left, stolen, None, "stolen")
            holds_and_goes_on(left, first)
    assert ends == sorted(ends)
    assert set(ends) == {(False, False), (True, False), (True, True)}


def committed(prepared: StateFolder, out: Path, role: KeyRole) -> StateFolder:
    """A rotation that was cut off just after its entry was committed."""
    for left in cut(prepared, out, "rotate", role):
        if verified(left).kinds.get("key") and (left.keys / f"{role}.next.pem").exists():
            return left
    raise AssertionError("there is no such step")


@pytest.mark.parametrize("role", KeyRole)
def test_finishing_can_itself_be_cut_off_anywhere(tmp_path: Path, role: KeyRole) -> None:
    prepared = deployment(tmp_path / "state")
    first = load_trusted_keys(prepared.keys / "public.json")
    half = committed(prepared, tmp_path / "left", role)
    again = cut(half, tmp_path / "again", "finish")
    assert len(again) >= 4
    assert all(check_left(left, prepared, first, role) for left in again)


def test_a_checkpoint_by_both_log_keys_is_made_up_for(tmp_path: Path) -> None:
    prepared = deployment(tmp_path / "state")
    first = load_trusted_keys(prepared.keys / "public.json")
    half = committed(prepared, tmp_path / "left", LOG)
    with contextlib.closing(apsw.Connection(str(half.journal))) as db:
        db.execute("DELETE FROM checkpoints WHERE size = 4")
    assert check_left(half, prepared, first, LOG)


@pytest.mark.parametrize("left", [b"", b"-----BEGIN PRIVATE KEY-----\nMC4CAQ", None])
def test_a_next_key_that_the_log_does_not_know_is_taken_away(tmp_path: Path, left: bytes | None) -> None:
    state = deployment(tmp_path / "state")
    if left is None:
        make_next_key(state.keys, ENTRY)
    else:  # torn while it was written
        (state.keys / "entry.next.pem").write_bytes(left)
    (state.keys / "public.next.json").write_bytes(b"{")
    before = load_keys(state.keys).entry.keyid
    assert before in trusted_keys(state).entry_keys
    assert files(state) == SETTLED
    assert load_keys(state.keys).entry.keyid == before


def test_a_next_key_that_the_log_introduces_is_never_removed(tmp_path: Path) -> None:
    half = committed(deployment(tmp_path / "state"), tmp_path / "left", ENTRY)
    (half.keys / "entry.next.pem").chmod(0o644)  # it cannot be used so
    with pytest.raises(KeyFault, match=r"entry.pem is not the key that the log says is in force"):
        trusted_keys(half)
    (half.keys / "entry.next.pem").chmod(0o600)
    assert len(trusted_keys(half).entry_keys) == 2


def test_a_lost_bundle_is_made_again_from_the_log_and_the_private_keys(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    with state:
        rotate(state, ENTRY)
        rotate(state, LOG)
        old = rotate(state, ENTRY).old
        revoke(state, old, 6, "stolen")
    before = (state.keys / "public.json").read_bytes()
    (state.keys / "public.json").unlink()
    trusted_keys(state)
    assert (state.keys / "public.json").read_bytes() == before


def test_a_lost_bundle_is_not_made_up_where_the_private_keys_are_not_those_in_force(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    shutil.copy(state.keys / "entry.pem", tmp_path / "old.pem")
    with state:
        rotate(state, ENTRY)
    (tmp_path / "old.pem").replace(state.keys / "entry.pem")
    (state.keys / "public.json").unlink()
    with pytest.raises(KeyFault, match="is not the key that the log says is in force"):
        trusted_keys(state)


def test_keys_whose_making_was_cut_off_are_named_and_left_alone(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state", entries=0)
    (state.keys / "public.json").unlink()
    with pytest.raises(KeyFault, match="no log was written with them") as refused:
        trusted_keys(state)
    assert "sealgate keys new" in refused.value.hint
    assert files(state) == SETTLED - {"public.json"}


# --- what it refuses ---


@pytest.mark.parametrize("role", KeyRole)
@pytest.mark.parametrize("entries", [0, 1])
def test_keys_of_before_a_rotation_do_not_go_on_with_the_log_of_after_it(
    tmp_path: Path, role: KeyRole, entries: int
) -> None:
    state = deployment(tmp_path / "state")
    shutil.copytree(state.keys, tmp_path / "old")
    with state:
        rotate(state, ENTRY)
        rotate(state, role)
    write(state, entries)
    shutil.rmtree(state.keys)
    (tmp_path / "old").rename(state.keys)
    with state, pytest.raises(KeyFault, match="the keys are an older copy"):
        finish_cut_off(state)


def test_a_journal_that_was_cut_off_while_it_was_made_is_no_obstacle(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state", entries=0)
    first = load_trusted_keys(state.keys / "public.json")
    state.journal.touch()
    with state:
        finish_cut_off(state)
    holds_and_goes_on(state, first)


def test_a_log_of_before_a_rotation_does_not_go_on_with_the_keys_of_after_it(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    shutil.copy(state.journal, tmp_path / "old.db")
    with state:
        rotate(state, ENTRY)
    for path in state.path.glob("journal.db*"):
        path.unlink()
    with state, pytest.raises(StoreFault, match="the log has 0 entries, and a key was rotated at 4"):
        finish_cut_off(state)
    shutil.copy(tmp_path / "old.db", state.journal)
    with state, pytest.raises(StoreFault, match="the log has 3 entries, and a key was rotated at 4"):
        rotate(state, LOG)


def test_keys_do_not_change_while_somebody_owns_the_state_folder(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    (state.keys / "entry.next.pem").write_bytes(b"")
    with state, pytest.raises(StateLocked):
        trusted_keys(StateFolder(state.path))


def test_keys_do_not_change_in_a_log_that_is_behind_its_anchored_checkpoint(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    with state:
        rotate(state, LOG)
    shutil.copy(state.journal, tmp_path / "old.db")
    write(state, 2)
    with contextlib.closing(SqliteLog(state.journal)) as log:
        state.anchored.write_text(list(log.checkpoints())[-1][1])
    for path in state.path.glob("journal.db*"):
        path.unlink()
    shutil.copy(tmp_path / "old.db", state.journal)
    with state:
        for role in KeyRole:
            with pytest.raises(VerificationFailed):
                rotate(state, role)
        with pytest.raises(VerificationFailed):
            revoke(state, load_keys(state.keys).entry.keyid, None, "stolen")
    assert files(state) == SETTLED


def test_finishing_with_nothing_left_writes_nothing(tmp_path: Path) -> None:
    state = deployment(tmp_path / "state")
    before = {path.name: path.stat().st_mtime_ns for path in state.keys.iterdir()}
    with state:
        finish_cut_off(state)
    assert {path.name: path.stat().st_mtime_ns for path in state.keys.iterdir()} == before
