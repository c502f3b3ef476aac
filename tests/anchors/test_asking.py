"""What a gateway makes of its witnesses' answers, of the policy file and of the kept file, one by one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.adapters.anchors.asking import MAX_ANSWER_BYTES, anchor_session
from gateway.adapters.anchors.kept import read_kept, write_kept
from gateway.adapters.anchors.policy import check_anchors, load_log_policy
from gateway.adapters.anchors.witnesses import Asked, Shown, Standing, show
from gateway.adapters.keys import FileSigner
from gateway.core.anchor import check_kept
from gateway.core.cosignature import cosign
from gateway.core.errors import ConfigError, VerificationFailed
from gateway.core.trust import KeyPeriod, TrustedKeys, keyed
from gateway.core.verifier_key import SignatureType, VerifierKey
from gateway.core.witness import SIZE_TYPE
from tests.anchors.authority import Reply, answering
from tests.anchors.world import Log

pytestmark = pytest.mark.anyio

SIGNER = FileSigner(Ed25519PrivateKey.generate())
WITNESS = VerifierKey("witness.example/w1", SignatureType.COSIGNATURE, SIGNER.public_key)
LOG = Log().grow(9)
ENTRY_KEY = Ed25519PrivateKey.generate().public_key()
TRUSTED = TrustedKeys(keyed(KeyPeriod(ENTRY_KEY)), keyed(KeyPeriod(LOG.key.public())), LOG.origin)


def line(log: Log, signer: FileSigner = SIGNER) -> bytes:
    return cosign(log.checkpoint(), WITNESS, signer, 1_700_000_000).encode()


def conflict(size: str) -> Reply:
    return Reply(f"{size}\n".encode(), 409, {"content-type": SIZE_TYPE})


def plain(body: bytes, status: int = 200) -> Reply:
    return Reply(body, status, {"content-type": "text/plain; charset=utf-8"})


async def shown(reply: Callable[[bytes], Reply], since: int = 0) -> Shown:
    with answering(reply) as url:
        async with anchor_session() as session:
            return await show(session, Asked("w", WITNESS, url), LOG.note(), since, LOG.proof)


async def test_a_cosignature_is_taken_and_others_in_the_answer_are_passed_over() -> None:
    stranger = VerifierKey("other.example/w", SignatureType.COSIGNATURE, LOG.signer.public_key)
    other = cosign(LOG.checkpoint(), stranger, LOG.signer, 1_700_000_000).encode()
    found = await shown(lambda body: plain(other + line(LOG)))
    assert (found.standing, found.size) == (Standing.COSIGNED, 9)
    assert found.cosignature is not None
    assert found.cosignature.line.encode() == line(LOG)


async def test_a_409_is_followed_to_the_size_the_witness_knows() -> None:
    asked: list[bytes] = []

    def reply(body: bytes) -> Reply:
        asked.append(body)
        return conflict("4") if len(asked) == 1 else plain(line(LOG))

    assert (await shown(reply)).standing is Standing.COSIGNED
    assert asked == [LOG.request(0), LOG.request(4)]


async def test_a_witness_that_knows_a_longer_log_is_ahead() -> None:
    found = await shown(lambda body: conflict("10"))
    assert (found.standing, found.size) == (Standing.AHEAD, 10)


@pytest.mark.parametrize("reply", [conflict("9"), plain(b"another root\n", 409)])
async def test_a_409_that_repeats_the_size_we_showed_is_a_contradiction(reply: Reply) -> None:
    """C2SP tlog-witness: the old size is right and the same as the checkpoint's, so what differs is the root."""
    found = await shown(lambda body: reply, since=9)
    assert (found.standing, found.size) == (Standing.CONTRADICTS, 9)


async def test_a_422_is_a_contradiction() -> None:
    assert (await shown(lambda body: plain(b"no\n", 422), since=4)).standing is Standing.CONTRADICTS


@pytest.mark.parametrize(
    "reply",
    [
        plain(b""),
        plain(b"nonsense"),
        plain(b"\xff" * 10),
        plain(b"x" * (MAX_ANSWER_BYTES + 1)),
        plain(line(Log().grow(8))),
        plain(line(LOG, LOG.signer)),
        plain(b"", 500),
        plain(b"", 403),
        plain(b"", 404),
        plain(b"99999\n", 409),
        conflict("007"),
        conflict("-1"),
        conflict("3"),  # again and again
        Reply(b"", 302, {"location": "http://127.0.0.1:1/add-checkpoint"}),
    ],
)
async def test_anything_else_is_as_good_as_silence(reply: Reply) -> None:
    found = await shown(lambda body: reply)
    assert found.standing is Standing.UNAVAILABLE
    assert found.reason


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        ("quorum none\n", "nobody witnesses the log"),
        ("witness w {witness}\nquorum w\n", "can never be the quorum 'w'"),
        ("witness w {witness} ftp://x\nquorum w\n", "is no http:// or https:// address"),
        ("witness w {witness} http://x:y\nquorum w\n", "is no http:// or https:// address"),
        ("log {other}\nwitness w {witness} http://127.0.0.1:1\nquorum w\n", "no log line has this log's key"),
        ("witness w\nquorum w\n", "witnesses.policy: line 1: not a line of a policy"),
        ("# " + "x" * 1_100_000, "too large"),
        (None, "cannot read the log policy"),
    ],
)
def test_a_policy_that_can_anchor_nothing_is_told(tmp_path: Path, policy: str | None, told: str) -> None:
    path = tmp_path / "witnesses.policy"
    if policy is not None:
        path.write_text(policy.format(witness=WITNESS.text, other=Log("log.example/other").key.text))
    with pytest.raises(ConfigError) as raised:
        check_anchors(load_log_policy(path), path, LOG.key)
    assert told in raised.value.message


def test_a_kept_checkpoint_speaks_for_the_log_it_is_of_and_all_that_continue_it(tmp_path: Path) -> None:
    path = tmp_path / "anchored"
    assert read_kept(path) is None
    write_kept(path, LOG.note())
    note = read_kept(path)
    assert note == LOG.note()
    longer = Log(LOG.origin, list(LOG.entries), LOG.signer).grow(300)
    for size in (9, 10, 309):
        assert check_kept(note, "here", TRUSTED, size, lambda at: longer.checkpoint(at).root).size == 9


def test_a_shorter_or_another_log_is_not_the_one_that_is_kept() -> None:
    with pytest.raises(VerificationFailed, match="it has 8 entries, and here keeps an anchored checkpoint of 9"):
        check_kept(LOG.note(), "here", TRUSTED, 8, lambda at: LOG.checkpoint(at).root)
    fork = LOG.forked(at=8).grow(5)
    with pytest.raises(VerificationFailed, match="its first 9 entries are not those"):
        check_kept(LOG.note(), "here", TRUSTED, 14, lambda at: fork.checkpoint(at).root)


@pytest.mark.parametrize("content", [b"", b"nothing\n", b"log\n5\nAAAA\n\n", b"\xff", b"x" * 1_100_000])
def test_a_kept_file_that_holds_no_checkpoint_of_the_log_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "anchored").write_bytes(content)
    with pytest.raises(VerificationFailed) as raised:
        check_kept(read_kept(tmp_path / "anchored") or "", "here", TRUSTED, 9, lambda at: LOG.checkpoint(at).root)
    assert raised.value.code == "log.anchor_unreadable"
