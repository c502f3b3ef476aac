"""The witness over HTTP, as https://c2sp.org/tlog-witness words it: every status; its memory only moves forward."""

import hashlib
import random
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from gateway.core.cosignature import cosignatures
from gateway.core.merkle import EMPTY_ROOT
from gateway.core.witness import submission
from tests.anchors.world import Log, RunningWitness, sealgate
from tests.running import free_port

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    """Each test takes one for itself: a witness forgets nothing."""
    return [Log(f"log.example/{number}").grow(12) for number in range(24)]


@pytest.fixture(scope="module")
def witness(logs: list[Log], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWitness]:
    with RunningWitness(tmp_path_factory.mktemp("witness"), [log.key for log in logs]) as running:
        yield running


@pytest.fixture
def log(logs: list[Log]) -> Log:
    return logs.pop()


def test_it_cosigns_a_first_checkpoint_and_what_continues_it(witness: RunningWitness, log: Log) -> None:
    for old, new in ((0, 5), (5, 5), (5, 8), (8, 12)):
        answer = witness.add(log.request(old, new))
        assert answer.status_code == 200, answer.text
        (cosigned,) = cosignatures(read_checkpoint(log.note(new) + answer.text), (witness.key,))
        assert (cosigned.key, cosigned.line) == (witness.key, answer.text)


def test_a_cosigned_checkpoint_is_served_to_monitors_with_both_signatures(witness: RunningWitness, log: Log) -> None:
    url = f"{witness.url}/{hashlib.sha256(log.origin.encode()).hexdigest()}/checkpoint"
    assert httpx2.get(url).status_code == 404
    line = witness.add(log.request(0, 7)).text
    assert httpx2.get(url).text == log.note(7) + line


def test_an_empty_log_is_cosigned_only_with_the_root_of_nothing(witness: RunningWitness, log: Log) -> None:
    wrong = sign_checkpoint(Checkpoint(log.origin, 0, bytes(32)), log.signer)
    assert witness.add(submission(0, [], wrong).body()).status_code == 422
    right = sign_checkpoint(Checkpoint(log.origin, 0, EMPTY_ROOT), log.signer)
    assert witness.add(submission(0, [], right).body()).status_code == 200
    assert witness.add(log.request(0, 3)).status_code == 200


def test_404_for_a_log_it_does_not_know(witness: RunningWitness) -> None:
    assert witness.add(Log("log.example/stranger").grow(3).request(0)).status_code == 404


def test_403_for_a_checkpoint_that_the_log_did_not_sign(witness: RunningWitness, log: Log) -> None:
    thief = Log(log.origin, log.entries, FileSigner(Ed25519PrivateKey.generate()))
    assert witness.add(thief.request(0)).status_code == 403


def test_403_where_a_signature_in_the_logs_name_is_wrong(witness: RunningWitness, log: Log) -> None:
    forged = log.note(3).replace(b64encode(log.checkpoint(3).root).decode(), b64encode(bytes(32)).decode())
    assert witness.add(submission(0, [], forged).body()).status_code == 403
    # A right signature beside a wrong one under the same name and key id: such a note is malformed.
    body, _, line = log.note(3).partition("\n\n")
    other = log.note(4).partition("\n\n")[2]
    for lines in (line + other, other + line):
        assert witness.add(submission(0, [], f"{body}\n\n{lines}").body()).status_code == 403


def test_signatures_by_unknown_keys_are_passed_over(witness: RunningWitness, log: Log) -> None:
    stranger = "— stranger.example/w " + b64encode(bytes(76)).decode() + "\n"
    assert witness.add(submission(0, [], log.note(3) + stranger).body()).status_code == 200


def test_what_strangers_write_under_a_checkpoint_is_not_remembered_not_even_in_the_witnesss_name(
    witness: RunningWitness, log: Log
) -> None:
    """Whoever saw a checkpoint can show it again with lines under it. The witness must be able to go on from it."""
    line = witness.add(log.request(0, 3)).text
    own = "— " + witness.key.name + " " + b64encode(witness.key.key_hash + bytes(72)).decode() + "\n"
    stranger = "— stranger.example/w " + b64encode(bytes(76)).decode() + "\n"
    answer = witness.add(submission(3, [], log.note(3) + own + stranger).body())
    assert answer.status_code == 200
    url = f"{witness.url}/{hashlib.sha256(log.origin.encode()).hexdigest()}/checkpoint"
    assert httpx2.get(url).text in (log.note(3) + line, log.note(3) + answer.text)
    assert witness.add(log.request(3, 9)).status_code == 200


def test_400_for_a_size_beyond_all_bounds(witness: RunningWitness, log: Log) -> None:
    for size, status in ((2**63, 400), (2**63 - 1, 200)):
        note = sign_checkpoint(Checkpoint(log.origin, size, bytes(32)), log.signer)
        assert witness.add(submission(0, [], note).body()).status_code == status


def test_409_with_the_size_it_knows(witness: RunningWitness, log: Log) -> None:
    def told(old: int, new: int) -> tuple[int, str, str]:
        answer = witness.add(log.request(old, new))
        return answer.status_code, answer.headers["content-type"], answer.text

    assert told(2, 5) == (409, "text/x.tlog.size", "0\n")
    assert witness.add(log.request(0, 5)).status_code == 200
    assert told(0, 7) == (409, "text/x.tlog.size", "5\n")
    assert told(3, 4) == (409, "text/x.tlog.size", "5\n")
    assert told(7, 9) == (409, "text/x.tlog.size", "5\n")


def test_422_for_another_log_under_the_same_name(witness: RunningWitness, log: Log) -> None:
    assert witness.add(log.request(0, 6)).status_code == 200
    fork = log.forked(at=2)
    assert witness.add(fork.request(6, 10)).status_code == 422
    assert witness.add(submission(6, log.proof(6, 9), log.note(10)).body()).status_code == 422
    assert witness.add(submission(6, log.proof(6, 10)[:-1], log.note(10)).body()).status_code == 422
    assert witness.add(submission(6, [bytes(32)], log.note(6)).body()).status_code == 422
    assert "contradiction" in witness.output
    assert witness.add(log.request(6, 10)).status_code == 200


def test_409_for_another_root_of_the_size_it_knows(witness: RunningWitness, log: Log) -> None:
    assert witness.add(log.request(0, 6)).status_code == 200
    told = len(witness.output)
    answer = witness.add(log.forked(at=2).request(6, 6))
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (409, "text/x.tlog.size", "6\n")
    assert "contradiction" in witness.output[told:]


def test_422_for_a_proof_where_there_is_nothing_to_prove(witness: RunningWitness, log: Log) -> None:
    assert witness.add(submission(0, [bytes(32)], log.note(4)).body()).status_code == 422


def test_400_for_an_old_size_beyond_the_checkpoint(witness: RunningWitness, log: Log) -> None:
    assert witness.add(submission(5, [], log.note(4)).body()).status_code == 400


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: b"",
        lambda body: body.replace(b"old 0", b"old 00"),
        lambda body: body.replace(b"old 0", b"old -0"),
        lambda body: body.replace(b"old 0", b"old  0"),
        lambda body: body.replace(b"old 0\n", b""),
        lambda body: body.replace(b"old 0", b"old 99999999999999999999"),
        lambda body: body.replace(b"old 0\n", b"old 0\n" + b"AAAA\n"),
        lambda body: body.replace(b"old 0\n", b"old 0\n" + 64 * (b64encode(bytes(32)) + b"\n")),
        lambda body: body.replace(b"\n3\n", b"\n03\n"),
        lambda body: body.replace(b"\n3\n", b"\n3\r\n"),
        lambda body: body.partition(b"\n\n")[0],
        lambda body: body[:-1],
        lambda body: body + b"\xff",
    ],
)
def test_400_for_what_is_no_request(witness: RunningWitness, logs: list[Log], spoil: object) -> None:
    assert callable(spoil)
    assert witness.add(spoil(logs[0].request(0, 3))).status_code == 400


def test_413_for_a_request_beyond_all_bounds(witness: RunningWitness) -> None:
    assert witness.add(b"old 0\n\n" + b"x" * 200_000).status_code == 413


def test_other_methods_and_paths_are_not_there(witness: RunningWitness) -> None:
    assert httpx2.get(f"{witness.url}/add-checkpoint").status_code == 405
    assert httpx2.post(f"{witness.url}/sign-subtree", content=b"").status_code == 404


@pytest.mark.long
def test_what_was_cosigned_survives_kill_nine_right_after_the_answer(tmp_path: Path) -> None:
    log = Log().grow(30)
    witness = RunningWitness(tmp_path, [log.key])
    old = 0
    for new in (3, 11, 30):
        with witness:
            assert witness.add(log.request(0, 1)).status_code == (409 if old else 200)
            old = old or 1
            assert witness.add(log.request(old, new)).status_code == 200
            witness.kill()
        old = new
    with witness:
        assert witness.add(log.request(0, 1)).text == "30\n"


def test_requests_at_the_same_time_never_move_it_back(witness: RunningWitness, log: Log) -> None:
    """Every pair of sizes from many threads: whatever was cosigned forms one chain, and the end is the longest."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    pairs = [(old, new) for new in range(1, 13) for old in range(new + 1)] * 3
    chance.shuffle(pairs)
    granted: list[tuple[int, int]] = []
    statuses: set[int] = set()

    def submit(mine: list[tuple[int, int]]) -> None:
        for old, new in mine:
            status = witness.add(log.request(old, new)).status_code
            statuses.add(status)
            if status == 200:
                granted.append((old, new))

    threads = [threading.Thread(target=submit, args=(pairs[number::8],)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert statuses == {200, 409}
    steps = sorted((old, new) for old, new in granted if old != new)
    assert [new for _, new in steps[:-1]] == [old for old, _ in steps[1:]]  # each starts where another ended, none twice
    longest = witness.add(log.request(0, 1)).text
    assert longest == f"{steps[-1][1]}\n"


def test_two_witnesses_on_one_folder_are_one_memory(tmp_path: Path) -> None:
    log = Log().grow(9)
    with RunningWitness(tmp_path, [log.key]) as one, RunningWitness(tmp_path, [log.key], port=free_port()) as two:
        assert one.add(log.request(0, 4)).status_code == 200
        assert two.add(log.request(0, 9)).text == "4\n"
        assert two.add(log.request(4, 9)).status_code == 200
        assert one.add(log.request(4, 5)).text == "9\n"


def test_a_damaged_memory_ends_the_witness_instead_of_misleading_it(tmp_path: Path) -> None:
    log = Log().grow(9)
    witness = RunningWitness(tmp_path, [log.key])
    with witness:
        assert witness.add(log.request(0, 4)).status_code == 200
    fork, memory = log.forked(at=1), tmp_path / "witness.db"
    right, wrong = (b64encode(which.checkpoint(4).root) for which in (log, fork))
    memory.write_bytes(memory.read_bytes().replace(right, wrong))
    with witness:
        assert witness.add(fork.request(4, 9)).status_code == 503
        assert witness.process is not None
        assert witness.process.wait(timeout=20) == 1
    assert "is damaged" in witness.output


def test_a_witness_that_lost_its_memory_does_not_start_anew_under_the_same_key(tmp_path: Path) -> None:
    log = Log().grow(9)
    witness = RunningWitness(tmp_path, [log.key])
    with witness:
        assert witness.add(log.request(0, 4)).status_code == 200
    for lose in ((tmp_path / "witness.db").unlink, lambda: (tmp_path / "witness.db").write_bytes(b"")):
        lose()
        serve = ("witness", "serve", "--dir", str(tmp_path), "--log", str(tmp_path / "logs"), "--port", str(free_port()))
        done = sealgate(*serve, check=False)
        assert done.returncode == 1
        assert "cannot open the witness's memory" in done.stderr
        assert "Traceback" not in done.stderr


def test_its_key_belongs_to_its_owner_and_is_never_overwritten(tmp_path: Path) -> None:
    sealgate("witness", "new", "--name", "witness.example/w1", "--out", str(tmp_path / "w"))
    key = tmp_path / "w" / "witness.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    again = sealgate("witness", "new", "--name", "witness.example/w2", "--out", str(tmp_path / "w"), check=False)
    assert again.returncode == 1
    assert "never overwritten" in again.stderr


@pytest.mark.parametrize("name", ["two words", "plus+sign", "", "line\nbreak"])
def test_a_name_that_no_note_can_carry_is_refused(tmp_path: Path, name: str) -> None:
    done = sealgate("witness", "new", "--name", name, "--out", str(tmp_path / "w"), check=False)
    assert done.returncode == 2
    assert "is no key name" in done.stderr
    assert not (tmp_path / "w").exists()


def test_it_takes_logs_keys_only(tmp_path: Path) -> None:
    sealgate("witness", "new", "--name", "witness.example/w1", "--out", str(tmp_path))
    for text, told in (("", "holds no verifier key"), ("x+y", "not an Ed25519 verifier key"), (None, "not a log's key")):
        path = tmp_path / "log"
        path.write_text((tmp_path / "witness.vkey").read_text() if text is None else text)
        done = sealgate("witness", "serve", "--dir", str(tmp_path), "--log", str(path), check=False)
        assert done.returncode == 2
        assert told in done.stderr
