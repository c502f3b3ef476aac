"""What a back-dated revocation disowns: told apart from problems, and accepted only by who names the key."""

import json
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.clock import SystemClock
from gateway.adapters.keys import FileSigner, load_keys
from gateway.adapters.state import StateFolder
from gateway.core.checkpoint import read_checkpoint
from gateway.core.cosignature import cosign
from gateway.core.entry import Kind, Record, seal_entry
from gateway.core.merkle import Frontier
from gateway.core.verifier_key import SignatureType, VerifierKey
from tests.core.calls import NOW
from tests.edge.box import Said, run_cli
from tests.store.keyed_log import deployment, write

SINCE, PLACES = 5, {"entry": "2 entries, 5 to 6", "log": "checkpoint 6"}
"""Of six entries the last is in doubt, and with it the rotation that comes first; or the checkpoint of all six."""


@dataclass(frozen=True)
class Revoked:
    """A deployment whose key was revoked from some time ago on. `before`: the keys from then, an export, a proof."""

    state: Path
    keyid: str
    role: str
    before: Path

    @property
    def public(self) -> str:
        return str(self.state / "keys" / "public.json")

    @property
    def accept(self) -> tuple[str, str]:
        return "--accept-revoked", self.keyid[:16]

    def run(self, *arguments: str) -> Said:
        said = run_cli(*arguments, state=self.state)
        assert "Traceback" not in said.stderr
        return said

    def disowned(self, said: Said, *, word: str = "revoked", places: str | None = None) -> bool:
        """Whether a line tells what is disowned, and why."""
        told = f"{word}: {places or PLACES[self.role]}, signed by the {self.role} key {self.keyid[:16]}…"
        return any(line.startswith(told) and line.endswith("on: the laptop was stolen") for line in said.stdout.splitlines())


def keyid_in_force(state: Path, role: str) -> str:
    keys = json.loads(run_cli("keys", "list", "--json", state=state).stdout)["keys"]
    (found,) = (one["keyid"] for one in keys if one["role"] == role and one["state"] == "in force")
    return str(found)


@pytest.fixture(params=["entry", "log"])
def revoked(request: pytest.FixtureRequest, tmp_path: Path) -> Revoked:
    state, before = deployment(tmp_path / "state", entries=6).path, tmp_path / "before"
    before.mkdir()
    shutil.copy(state / "keys" / "public.json", before)
    shutil.copytree(state / "keys", before / "keys")
    for command in (("log", "export", str(before / "log")), ("log", "prove", "5", "--out", str(before / "proof"))):
        assert run_cli(*command, state=state).code == 0
    keyid = keyid_in_force(state, request.param)
    reason = ("--reason", "the laptop was stolen")
    assert run_cli("keys", "revoke", keyid, "--since", str(SINCE), *reason, state=state).code == 0
    return Revoked(state, keyid, request.param, before)


def refused(said: Said, revoked: Revoked) -> bool:
    """With the exit code of a failed verification, and the option that would accept it."""
    hint = " ".join(revoked.accept) in said.stderr
    return said.code == 6 and "error[log.revoked]" in said.stderr and hint and "OK" not in said.stdout


def beyond_accepting(said: Said, *, covered: int) -> bool:
    """With the reason, and without an option that would accept it."""
    why = f"it cannot be accepted: checkpoints that count cover the first {covered} entries only"
    return said.code == 6 and why in said.stdout and "error[log.revoked]" in said.stderr and "--accept" not in said.stderr


@pytest.mark.parametrize("command", [("log", "verify"), ("state", "check")])
def test_it_fails_by_default_and_holds_for_who_names_the_key(revoked: Revoked, command: tuple[str, str]) -> None:
    said = revoked.run(*command)
    assert (refused(said, revoked), revoked.disowned(said)) == (True, True), said
    said = revoked.run(*command, *revoked.accept)
    assert (said.code, revoked.disowned(said, word="accepted")) == (0, True), said


@pytest.mark.parametrize("command", [("log", "verify"), ("state", "check")])
def test_programs_are_told_apart_problems_and_what_is_revoked(revoked: Revoked, command: tuple[str, str]) -> None:
    said = revoked.run(*command, "--json")
    document = json.loads(said.stdout)
    assert (said.code, document["ok"], document["problems"]) == (6, False, [])
    (told,) = document["revoked"]
    places = (2, 5, 6) if revoked.role == "entry" else (1, 6, 6)
    assert (told["keyid"], told["role"], told["accepted"]) == (revoked.keyid, revoked.role, False)
    assert (told["count"], told["first"], told["last"]) == places
    assert (told["since"], told["entry"], told["reason"]) == (SINCE, 7, "the laptop was stolen")
    document = json.loads(revoked.run(*command, *revoked.accept, "--json").stdout)
    assert (document["ok"], [one["accepted"] for one in document["revoked"]]) == (True, [True])


@pytest.mark.parametrize("command", [("log", "verify"), ("state", "check"), ("state", "backup", "NEW")])
@pytest.mark.parametrize("named", ["in force", "stranger", "short"])
def test_only_a_key_that_is_revoked_can_be_named(
    revoked: Revoked, tmp_path: Path, command: tuple[str, ...], named: str
) -> None:
    names = {"in force": keyid_in_force(revoked.state, revoked.role), "stranger": "0" * 64, "short": revoked.keyid[:4]}
    arguments = (str(tmp_path / "new") if word == "NEW" else word for word in command)
    said = revoked.run(*arguments, "--accept-revoked", names[named])
    assert (said.code, "error[keys.unusable]" in said.stderr, said.stdout) == (1, True, ""), said
    assert not (tmp_path / "new").exists()


def test_a_bundle_from_before_accepts_nothing(revoked: Revoked) -> None:
    bundle = ("--keys", str(revoked.before / "public.json"))
    said = revoked.run("log", "verify", *bundle)
    assert (said.code, said.stdout.split(":")[0]) == (6, "entry 7")
    said = revoked.run("log", "verify", *bundle, *revoked.accept)
    assert (said.code, "is not revoked in the trust bundle" in said.stderr, "newest" in said.stderr) == (1, True, True)


def test_a_backup_is_made_and_restored_by_who_accepts_it_and_by_nobody_else(revoked: Revoked, tmp_path: Path) -> None:
    copy, lost = tmp_path / "copy", tmp_path / "lost"
    said = revoked.run("state", "backup", str(copy), "--with-keys")
    assert (refused(said, revoked), revoked.disowned(said)) == (True, True), said
    assert not copy.exists()
    said = revoked.run("state", "backup", str(copy), "--with-keys", *revoked.accept)
    assert (said.code, revoked.disowned(said, word="accepted")) == (0, True), said
    revoked.state.rename(lost)
    restore = ("state", "restore", str(copy), "--reason", "the disk died", "--yes")
    said = revoked.run(*restore)
    assert (refused(said, revoked), revoked.state.exists()) == (True, False), said
    said = revoked.run(*restore, *revoked.accept)
    assert (said.code, revoked.disowned(said, word="accepted")) == (0, True), said
    write(StateFolder(revoked.state), 1)
    assert revoked.run("state", "check", *revoked.accept).code == 0


@pytest.mark.parametrize("table", ["entries", "checkpoints"])
def test_what_is_changed_stays_a_problem_where_the_rest_is_accepted(revoked: Revoked, tmp_path: Path, table: str) -> None:
    """Also in the very entry and the very checkpoint that the revocation disowns."""
    changes = {
        "entries": "UPDATE entries SET entry = CAST(CAST(entry AS TEXT) || ' ' AS BLOB) WHERE idx = 5",
        "checkpoints": "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 7) WHERE size = 6",
    }
    with closing(apsw.Connection(str(revoked.state / "journal.db"))) as db:
        db.execute(changes[table])
        assert db.changes() == 1
    for command in (("log", "verify"), ("state", "check"), ("state", "backup", str(tmp_path / "new"))):
        said = revoked.run(*command, *revoked.accept)
        assert (said.code, "problem(s)" in said.stderr) == (6, True), said
    assert not (tmp_path / "new").exists()


def forge(revoked: Revoked) -> None:
    """Write the entry 5 anew with the copied entry key, and make the rest fit: all later entries are genuine."""
    keys = load_keys(revoked.before / "keys")
    record = Record(Kind.BOOT, SystemClock().new_id(), NOW, {"boot": {"by": "the thief"}})
    sealed = seal_entry(record, 5, keys.entry, dev=keys.dev)
    frontier = Frontier()
    with closing(apsw.Connection(str(revoked.state / "journal.db"))) as db:
        db.execute("UPDATE entries SET entry = ?, leaf = ? WHERE idx = 5", (sealed.data, sealed.leaf))
        for (leaf,) in db.execute("SELECT leaf FROM entries ORDER BY idx"):
            assert isinstance(leaf, bytes)
            frontier.append(leaf)
        db.execute("UPDATE head SET frontier = ?, root = ?", (frontier.to_bytes(), frontier.root()))


@pytest.mark.parametrize("command", [("log", "verify"), ("state", "check"), ("state", "backup", "NEW")])
def test_what_is_under_no_checkpoint_that_counts_is_accepted_by_nobody(
    revoked: Revoked, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """It may have been forged with the copied key, after the revocation: here an entry was."""
    if revoked.role == "entry":
        forge(revoked)
    with closing(apsw.Connection(str(revoked.state / "journal.db"))) as db:
        db.execute("DELETE FROM checkpoints WHERE size > ?", (SINCE if revoked.role == "entry" else SINCE + 1,))
        assert db.changes() > 0
        left = db.execute("SELECT coalesce(max(size), 0) FROM checkpoints WHERE size <= ?", (SINCE,)).get
        assert isinstance(left, int)
    arguments = [str(tmp_path / "new") if word == "NEW" else word for word in command]
    for options in ((), revoked.accept):
        said = revoked.run(*arguments, *options)
        assert beyond_accepting(said, covered=left), said
    assert not (tmp_path / "new").exists()


def test_programs_are_told_what_no_checkpoint_that_counts_covers(revoked: Revoked) -> None:
    told = json.loads(revoked.run("log", "verify", "--json").stdout)["revoked"]
    assert [one["covered"] for one in told] == [True]
    with closing(apsw.Connection(str(revoked.state / "journal.db"))) as db:
        db.execute("DELETE FROM checkpoints WHERE size > 6")
        db.execute("DELETE FROM checkpoints WHERE size = 6 AND ?", (revoked.role == "entry",))
    document = json.loads(revoked.run("log", "verify", *revoked.accept, "--json").stdout)
    assert (document["ok"], document["problems"]) == (False, [])
    assert [(one["covered"], one["accepted"]) for one in document["revoked"]] == [(False, False)]


def test_a_key_that_is_revoked_once_more_is_accepted_up_to_its_first_revocation(revoked: Revoked) -> None:
    assert revoked.run("keys", "revoke", revoked.keyid, "--since", "3", "--reason", "earlier than thought").code == 0
    listed = json.loads(revoked.run("keys", "list", "--json").stdout)["keys"]
    (told,) = (one["revoked"] for one in listed if one["keyid"] == revoked.keyid)
    assert told == {"since": 3, "entry": 8, "reason": "earlier than thought", "first_entry": 7}
    for options, code in (((), 6), (revoked.accept, 0)):
        said = revoked.run("log", "verify", *options)
        assert (said.code, "which entry 8 revokes from 3 on: earlier than thought" in said.stdout) == (code, True), said
    said = revoked.run("keys", "revoke", revoked.keyid, "--since", "4", "--reason", "again")
    assert (said.code, "is revoked from 3 on already" in said.stderr) == (1, True), said


# --- offline ---


def test_an_export_is_checked_by_the_same_rule(revoked: Revoked, tmp_path: Path) -> None:
    folder = str(tmp_path / "export")
    assert revoked.run("log", "export", folder).code == 0
    said = revoked.run("log", "verify", "--dir", folder, "--keys", revoked.public)
    if revoked.role == "log":  # an export has the newest checkpoint only, by the new key
        assert said.code == 0
        return
    assert (refused(said, revoked), revoked.disowned(said)) == (True, True), said
    said = revoked.run("log", "verify", "--dir", folder, "--keys", revoked.public, *revoked.accept)
    assert (said.code, revoked.disowned(said, word="accepted")) == (0, True), said


def test_an_export_from_before_is_accepted_with_the_newest_keys_only_where_its_checkpoint_still_counts(
    revoked: Revoked,
) -> None:
    """Where the log key is the revoked one, all of it could be the thief's: nothing in it says otherwise."""
    checked = ("log", "verify", "--dir", str(revoked.before / "log"), "--keys", revoked.public)
    if revoked.role == "log":
        for options in ((), revoked.accept):
            assert beyond_accepting(revoked.run(*checked, *options), covered=0)
    else:
        assert refused(revoked.run(*checked), revoked)
        said = revoked.run(*checked, *revoked.accept)
        assert (said.code, revoked.disowned(said, word="accepted", places="entry 5")) == (0, True), said
    assert revoked.run("log", "verify", "--dir", *checked[3:4], "--keys", str(revoked.before / "public.json")).code == 0


def test_an_export_whose_checkpoint_counts_no_longer_is_not_added_to(revoked: Revoked) -> None:
    said = revoked.run("log", "export", str(revoked.before / "log"))
    if revoked.role == "entry":
        assert said.code == 0
    else:
        assert (said.code, "is revoked from 5 on" in said.stderr, "new folder" in said.stderr) == (6, True, True), said


def test_one_entry_alone_proves_nothing_once_its_key_is_revoked_and_cannot_be_accepted(revoked: Revoked) -> None:
    proof = ("log", "verify", "--proof", str(revoked.before / "proof"), "--key", revoked.public)
    said = revoked.run(*proof)
    assert (said.code, "revoked from 5 on: the laptop was stolen" in said.stderr) == (6, True), said
    said = revoked.run(*proof, *revoked.accept)
    assert (said.code, "is for a whole log" in said.stderr) == (2, True), said


def test_a_new_proof_stands_under_a_checkpoint_that_counts(revoked: Revoked, tmp_path: Path) -> None:
    """Though a witness cosigned only one that the revoked log key signed."""
    signer = FileSigner(Ed25519PrivateKey.generate())
    witness = VerifierKey("witness.example/w", SignatureType.COSIGNATURE, signer.public_key)
    with closing(apsw.Connection(str(revoked.state / "journal.db"))) as db:
        note = str(db.execute("SELECT note FROM checkpoints WHERE size = 6").get)
        line = cosign(read_checkpoint(note).checkpoint, witness, signer, 1_800_000_000)
        db.execute("INSERT INTO anchors VALUES (6, 'cosignature', ?, ?, ?)", (witness.id, NOW, line.encode()))
    proof = tmp_path / "new.tlog-proof"
    assert revoked.run("log", "prove", "2", "--out", str(proof)).code == 0
    assert revoked.run("log", "verify", "--proof", str(proof), "--key", revoked.public).code == 0
    size = read_checkpoint(proof.read_text().partition("\n\n")[2]).checkpoint.size
    assert size == (6 if revoked.role == "entry" else 8)
