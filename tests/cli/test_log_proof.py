"""`log prove` hands out one file, and `log verify --proof` needs nothing but it and a key; any change ends with 6."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import FileSigner, load_keys, load_trusted_keys
from gateway.adapters.store.sqlite.reader import SqliteLog
from gateway.cli.log_keys import log_verifier_keys
from gateway.core.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from gateway.core.cosignature import cosign
from gateway.core.merkle import leaf_hash
from gateway.core.tlog_proof import LogProof
from gateway.core.verifier_key import SignatureType, VerifierKey
from tests.core.calls import NOW, envelope_id
from tests.edge.box import Said, run_cli
from tests.running import ModernClient, RunningGateway
from tests.store.filled import CALL, fill

SIZE = 300
OUTCOME = 1
NOWHERE = Path("/nonexistent")
"""A proof needs no state folder."""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state folder that no gateway owns, with a log of `SIZE` entries."""
    return fill(tmp_path_factory.mktemp("proved"), SIZE)


@pytest.fixture(scope="module")
def bundle(state: Path) -> str:
    return str(state / "keys" / "public.json")


@pytest.fixture(scope="module")
def proof(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The proof of the call's outcome."""
    path = tmp_path_factory.mktemp("proof") / "outcome.tlog-proof"
    assert prove(state, str(OUTCOME), "--out", str(path)).code == 0
    return path


def prove(state: Path, *words: str) -> Said:
    return run_cli("log", "prove", *words, state=state)


def check(proof: Path, *keys: str, json: bool = False) -> Said:
    words = [word for key in keys for word in ("--key", key)]
    return run_cli("log", "verify", "--proof", str(proof), *words, *(["--json"] if json else []), state=NOWHERE)


def test_a_proof_tells_what_the_entry_says_with_nothing_but_the_file_and_the_bundle(proof: Path, bundle: str) -> None:
    said = check(proof, bundle)
    assert said.code == 0, said.stderr
    assert said.stdout.startswith(f"OK: entry {OUTCOME} of test.example/log, under its checkpoint of {SIZE} entries\n")
    for line in (
        "kind    outcome",
        f"id      {envelope_id(CALL)}",
        "tool    mail__send",
        "who     user:alice > agent:assistant",
        "how     completed",
    ):
        assert f"\n  {line}\n" in said.stdout
    keyid = next(iter(load_trusted_keys(Path(bundle)).entry_keys))
    assert f"signed  by the entry key {keyid}" in said.stdout


def test_a_program_is_told_the_same(proof: Path, bundle: str) -> None:
    told = orjson.loads(check(proof, bundle, json=True).stdout)
    assert (told["ok"], told["index"], told["kind"], told["id"]) == (True, OUTCOME, "outcome", envelope_id(CALL))
    assert (told["origin"], told["size"]) == ("test.example/log", SIZE)


def test_a_verifier_key_is_enough_and_then_the_entrys_signature_is_said_to_be_unchecked(
    proof: Path, bundle: str, tmp_path: Path
) -> None:
    (log_key,) = log_verifier_keys(load_trusted_keys(Path(bundle)), SIZE)
    vkey = tmp_path / "log.vkey"
    vkey.write_text(f"# our log\n\n{log_key.text}\n")
    said = check(proof, str(vkey))
    assert said.code == 0, said.stderr
    assert "signed  not checked" in said.stdout


def test_every_key_given_must_accept_the_checkpoint(proof: Path, bundle: str, tmp_path: Path) -> None:
    (log_key,) = log_verifier_keys(load_trusted_keys(Path(bundle)), SIZE)
    witness = VerifierKey("witness.example/w", SignatureType.COSIGNATURE, bytes(32))
    lenient, strict = tmp_path / "lenient", tmp_path / "strict"
    lenient.write_text(f"log {log_key.text}\nquorum none\n")
    strict.write_text(f"log {log_key.text}\nwitness w {witness.text}\nquorum w\n")
    assert check(proof, bundle, str(lenient)).code == 0
    said = check(proof, bundle, str(strict))
    assert said.code == 6
    assert "quorum" in said.stderr


def test_keys_of_another_log_are_refused(proof: Path, tmp_path: Path) -> None:
    other = fill(tmp_path / "other", 3)
    assert check(proof, str(other / "keys" / "public.json")).code == 6
    vkey = tmp_path / "vkey"
    vkey.write_text(VerifierKey("elsewhere.example/log", SignatureType.ED25519, bytes(32)).text)
    said = check(proof, str(vkey))
    assert said.code == 6
    assert "for which no key was given" in said.stderr


@pytest.mark.parametrize("text", ["", "nonsense", "quorum w", "{}", "\x00", "log nonsense\nquorum none\n", "# nothing\n"])
def test_a_file_without_keys_is_told(proof: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    said = check(proof, str(path))
    assert said.code == 1
    assert "error[keys.unusable]" in said.stderr


def test_a_witnesss_key_alone_is_no_key_of_a_log(proof: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(VerifierKey("witness.example/w", SignatureType.COSIGNATURE, bytes(32)).text)
    said = check(proof, str(path))
    assert said.code == 1
    assert "stands in a policy" in said.stderr


def test_a_changed_proof_ends_with_6(proof: Path, bundle: str, tmp_path: Path) -> None:
    data = proof.read_bytes()
    changed = tmp_path / "changed.tlog-proof"
    for place in range(3, len(data), len(data) // 60):
        changed.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert check(changed, bundle).code == 6, place
    for cut in (b"", data[:-1], data[: len(data) // 2], data + b"\n", b"\xff" + data):
        changed.write_bytes(cut)
        assert check(changed, bundle).code == 6


def test_an_entry_signed_by_a_key_that_is_not_in_the_bundle_is_refused(proof: Path, bundle: str, tmp_path: Path) -> None:
    document = orjson.loads(Path(bundle).read_bytes())
    stranger = orjson.loads((fill(tmp_path / "other", 3) / "keys" / "public.json").read_bytes())
    mixed = tmp_path / "mixed.json"
    mixed.write_bytes(orjson.dumps({**document, "entry_keys": stranger["entry_keys"]}))
    said = check(proof, str(mixed))
    assert said.code == 6
    assert "unknown key" in said.stderr


def test_the_last_entry_of_a_call_is_proved_unless_a_kind_is_named(state: Path, tmp_path: Path) -> None:
    told = prove(state, envelope_id(CALL))
    assert told.code == 0
    assert "index 1\n" in told.stdout
    assert "proving entry 1" in told.stderr
    assert "0 intent, 1 outcome" in told.stderr
    assert "index 0\n" in prove(state, envelope_id(CALL), "--kind", "intent").stdout
    assert prove(state, str(OUTCOME)).stdout == told.stdout
    said = prove(state, envelope_id(CALL), "--kind", "denied")
    assert said.code == 1
    assert "no entry of kind denied" in said.stderr


@pytest.mark.parametrize("index", [4, 44, 144])
def test_an_entry_is_found_by_its_id_wherever_that_stands_in_it(state: Path, index: int) -> None:
    assert f"\nindex {index}\n" in prove(state, envelope_id(1000 + index)).stdout


@pytest.mark.parametrize("wanted", [str(SIZE), "9" * 18, "9" * 400, "nothing", envelope_id(5), ""])
def test_what_the_log_has_not_cannot_be_proved(state: Path, wanted: str) -> None:
    said = prove(state, wanted)
    assert said.code == 1
    assert "error[log.unknown]" in said.stderr


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tiles SET hashes = zeroblob(8192) WHERE level = 0",
        "DELETE FROM tiles",
        "UPDATE entries SET entry = x'00' WHERE idx = 1",
        "UPDATE entries SET leaf = zeroblob(32) WHERE idx = 299",
        "UPDATE checkpoints SET note = 'text'",
    ],
)
def test_a_proof_that_would_not_hold_is_not_handed_out(state: Path, tmp_path: Path, change: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(state, copy)
    with closing(apsw.Connection(str(copy / "journal.db"))) as db:
        db.execute(change)
    out = tmp_path / "out"
    said = prove(copy, str(OUTCOME), "--out", str(out))
    assert said.code == 6
    assert not out.exists()


def test_an_entry_under_no_checkpoint_is_not_proved_when_nobody_would_sign_one(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(state, copy)
    with closing(apsw.Connection(str(copy / "journal.db"))) as db:
        db.execute("DELETE FROM checkpoints WHERE size > 1")
    said = prove(copy, str(SIZE - 1))
    assert said.code == 1
    assert "error[log.not_covered]" in said.stderr
    assert "sealgate up" in said.stderr


def test_a_proof_carries_the_cosignatures_that_a_policy_asks_for(state: Path, bundle: str, tmp_path: Path) -> None:
    copy, policy, out = tmp_path / "copy", tmp_path / "policy", tmp_path / "out"
    shutil.copytree(state, copy)
    signer = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\5" * 32))
    witness = VerifierKey("witness.example/w", SignatureType.COSIGNATURE, signer.public_key)
    (log_key,) = log_verifier_keys(load_trusted_keys(Path(bundle)), SIZE)
    policy.write_text(f"log {log_key.text}\nwitness w {witness.text}\nquorum w\n")
    with closing(apsw.Connection(str(copy / "journal.db"))) as db:
        size, note = db.execute("SELECT size, note FROM checkpoints ORDER BY size LIMIT 1").fetchall()[0]
        line = cosign(read_checkpoint(str(note)).checkpoint, witness, signer, 1_800_000_000)
        db.execute("INSERT INTO anchors VALUES (?, 'cosignature', ?, ?, ?)", (size, witness.id, NOW, line.encode()))
    assert prove(copy, "0", "--out", str(out)).code == 0
    assert check(out, str(policy), bundle).code == 0
    assert out.read_text().endswith(line)
    out.write_text(out.read_text().replace(line, ""))
    assert check(out, bundle).code == 0
    assert check(out, str(policy)).code == 6


def test_proofs_hold_across_a_change_of_keys_and_not_after_the_key_was_revoked(state: Path, tmp_path: Path) -> None:
    copy, before, after = tmp_path / "copy", tmp_path / "before", tmp_path / "after"
    shutil.copytree(state, copy)
    public = str(copy / "keys" / "public.json")
    old_key = next(iter(load_trusted_keys(Path(public)).log_keys))
    prove(copy, "5", "--out", str(before))
    for role in ("log", "entry"):
        assert run_cli("keys", "rotate", role, state=copy).code == 0
    prove(copy, str(SIZE + 1), "--out", str(after))
    assert (check(before, public).code, check(after, public).code) == (0, 0)
    assert run_cli("keys", "revoke", old_key, "--since", "100", "--reason", "stolen", state=copy).code == 0
    assert (check(before, public).code, check(after, public).code) == (6, 0)


def test_an_entry_that_a_revoked_key_signed_is_refused_though_it_is_in_the_log(state: Path, tmp_path: Path) -> None:
    copy, good, doubtful = tmp_path / "copy", tmp_path / "good", tmp_path / "doubtful"
    shutil.copytree(state, copy)
    public = str(copy / "keys" / "public.json")
    old_key = next(iter(load_trusted_keys(Path(public)).entry_keys))
    prove(copy, "2", "--out", str(good))
    prove(copy, "3", "--out", str(doubtful))
    assert run_cli("keys", "rotate", "entry", state=copy).code == 0
    assert run_cli("keys", "revoke", old_key, "--since", "3", "--reason", "stolen", state=copy).code == 0
    assert check(good, public).code == 0
    said = check(doubtful, public)
    assert said.code == 6
    assert "not in force there" in said.stderr


def test_an_entry_that_stands_at_another_place_than_it_states_is_refused(state: Path, bundle: str, tmp_path: Path) -> None:
    """The log's own key may sign another tree; the entry still says where it belongs."""
    keys = load_keys(state / "keys")
    with closing(SqliteLog(state / "journal.db")) as log:
        entry = next(iter(log.entries(OUTCOME))).entry
    note = sign_checkpoint(Checkpoint(keys.origin, 1, leaf_hash(entry)), keys.log)
    moved = tmp_path / "moved"
    moved.write_text(LogProof(entry, 0, (), note).text())
    said = check(moved, bundle)
    assert said.code == 6
    assert "states that it is entry 1, not 0" in said.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--proof", "x"],
        ["--key", "x"],
        ["--proof", "x", "--key", "x", "--dir", "x"],
        ["--file", "x", "--dir", "x"],
        ["--proof", "x", "--key", "x", "--keys", "x"],
        ["--proof", "x", "--key", "x", "--checkpoint", "x"],
    ],
)
def test_words_that_do_not_go_together_are_told(words: list[str]) -> None:
    said = run_cli("log", "verify", *words, state=NOWHERE)
    assert said.code == 2
    assert "error[config.invalid]" in said.stderr


def test_a_proof_that_cannot_be_read_is_told(bundle: str, tmp_path: Path) -> None:
    assert "error[log.proof_unreadable]" in check(tmp_path / "missing", bundle).stderr


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    running = RunningGateway(tmp_path)
    running.configure("mcpServers: {}")
    with running:
        yield running


def test_a_call_that_just_ended_is_proved_as_soon_as_a_checkpoint_covers_it(gateway: RunningGateway, tmp_path: Path) -> None:
    out = tmp_path / "denied.tlog-proof"
    with ModernClient(gateway) as client:
        refused = client.call("no__such_tool", {})["error"]["data"]
    envelope = refused["dev.sealgate/receipt"]["envelope_id"]
    gateway.run("log", "prove", envelope, "--out", str(out))
    told = orjson.loads(check(out, str(gateway.state / "keys" / "public.json"), json=True).stdout)
    assert (told["kind"], told["id"], told["dev"]) == ("denied", envelope, True)
