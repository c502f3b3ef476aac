"""RFC 3161 stamps over checkpoints, by a real authority (`openssl ts`): taken, checked with openssl alone, and refused."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.adapters.anchors.asking import MAX_ANSWER_BYTES, anchor_session
from gateway.adapters.anchors.stamp import Stamp, check_stamp, load_authority
from gateway.adapters.anchors.timestamp import request_stamp
from gateway.core.checkpoint import Checkpoint
from gateway.core.errors import ConfigError, Unreachable, VerificationFailed
from tests.anchors.authority import Authority, Reply, answering
from tests.anchors.world import Log

pytestmark = [pytest.mark.anyio, pytest.mark.openssl]

CHECKPOINT = Log().grow(9).checkpoint()


@pytest.fixture(scope="module")
def authority(openssl: str, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), openssl).make()


@pytest.fixture(scope="module")
def other(openssl: str, tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), openssl).make()


async def stamped(reply: Callable[[bytes], Reply], authority: Authority, checkpoint: Checkpoint = CHECKPOINT) -> Stamp:
    with answering(reply) as url:
        async with anchor_session() as session:
            return await request_stamp(session, url, checkpoint, load_authority(authority.ca))


async def test_a_stamp_is_taken_and_openssl_alone_verifies_it(authority: Authority) -> None:
    stamp = await stamped(lambda query: Reply(authority.stamp(query)), authority)
    assert check_stamp(stamp.proof, CHECKPOINT, load_authority(authority.ca)) == stamp
    assert authority.verified_by_openssl(stamp.proof, CHECKPOINT.body())
    assert not authority.verified_by_openssl(stamp.proof, CHECKPOINT.body() + b"\n")


async def test_a_stamp_that_openssl_asked_for_is_verified_by_us(authority: Authority) -> None:
    proof = authority.stamp(authority.query(CHECKPOINT.body()))
    assert check_stamp(proof, CHECKPOINT, load_authority(authority.ca)).proof == proof


async def test_a_stamp_for_another_request_is_refused(authority: Authority) -> None:
    """The same text, another nonce: an old stamp served again would carry an old time."""
    replayed = authority.stamp(authority.query(CHECKPOINT.body()))
    with pytest.raises(VerificationFailed, match="Nonce mismatch"):
        await stamped(lambda query: Reply(replayed), authority)


async def test_a_stamp_over_another_checkpoint_is_refused(authority: Authority) -> None:
    stamp = await stamped(lambda query: Reply(authority.stamp(query)), authority)
    with pytest.raises(VerificationFailed, match="Mismatch between messages"):
        check_stamp(stamp.proof, Log().grow(10).checkpoint(), load_authority(authority.ca))


async def test_a_stamp_by_another_authority_is_refused(authority: Authority, other: Authority) -> None:
    with pytest.raises(VerificationFailed, match="does not hold"):
        await stamped(lambda query: Reply(other.stamp(query)), authority)


async def test_a_refusal_by_the_authority_is_no_stamp(authority: Authority, openssl: str) -> None:
    picky = Authority(authority.folder, openssl, digests="sha256")
    with pytest.raises(VerificationFailed, match="does not hold"):
        await stamped(lambda query: Reply(picky.stamp(query)), authority)


async def test_a_stored_stamp_with_a_changed_byte_does_not_pass_for_another(authority: Authority) -> None:
    """A byte outside of what is signed may change without effect; then the stamp still says what it said."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    roots = load_authority(authority.ca)
    stamp = await stamped(lambda query: Reply(authority.stamp(query)), authority)
    refused = 0
    for _ in range(300):
        place = chance.randrange(len(stamp.proof))
        changed = bytearray(stamp.proof)
        changed[place] ^= 1 << chance.randrange(8)
        try:
            assert check_stamp(bytes(changed), CHECKPOINT, roots).at == stamp.at
        except VerificationFailed:
            refused += 1
    assert refused > 250


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"", 500),
        Reply(b"", 302, {"location": "http://127.0.0.1:1/", "content-type": "application/timestamp-reply"}),
        Reply(b"<html>", headers={"content-type": "text/html"}),
        Reply(b"x" * (MAX_ANSWER_BYTES + 1)),
    ],
)
async def test_what_is_no_stamp_at_all_is_told_as_unreachable(authority: Authority, reply: Reply) -> None:
    with pytest.raises(Unreachable):
        await stamped(lambda query: reply, authority)


@pytest.mark.parametrize("body", [b"", b"\x30\x03\x02\x01\x00", b"\x30\x80", bytes(100)])
async def test_malformed_stamps_are_refused(authority: Authority, body: bytes) -> None:
    with pytest.raises(VerificationFailed):
        await stamped(lambda query: Reply(body), authority)


async def test_nobody_there_is_unreachable(authority: Authority) -> None:
    with answering(lambda query: Reply(b"")) as url:
        pass
    async with anchor_session() as session:
        with pytest.raises(Unreachable):
            await request_stamp(session, url, CHECKPOINT, load_authority(authority.ca))


async def test_a_file_without_certificates_is_told(tmp_path: Path) -> None:
    for content in (b"", b"not a certificate"):
        (tmp_path / "ca.pem").write_bytes(content)
        with pytest.raises(ConfigError, match="holds no certificates"):
            load_authority(tmp_path / "ca.pem")
    with pytest.raises(ConfigError, match="holds no certificates"):
        load_authority(tmp_path / "missing.pem")
