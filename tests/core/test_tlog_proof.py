"""A proof file has the form of C2SP tlog-proof, one spelling, and holds for nothing else than what it was made for."""

from base64 import b64encode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.merkle import leaf_hash, node_hash
from gateway.core.proof import inclusion_proof, tree_root
from gateway.core.tlog_proof import LogProof, parse_proof

ORIGIN = "example.org/log"
SIGNER = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
KEY = Ed25519PublicKey.from_public_bytes(SIGNER.public_key)
ENTRIES = [f"entry {number}".encode() for number in range(11)]


def node(level: int, index: int) -> bytes:
    if level == 0:
        return leaf_hash(ENTRIES[index])
    return node_hash(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def made(index: int, size: int = len(ENTRIES)) -> LogProof:
    note = sign_checkpoint(Checkpoint(ORIGIN, size, tree_root(size, node)), SIGNER)
    return LogProof(ENTRIES[index], index, tuple(inclusion_proof(index, size, node)), note)


def open_note(note: str) -> Checkpoint:
    return open_checkpoint(note, ORIGIN, [KEY])


def test_the_file_has_the_form_of_the_specification() -> None:
    proof = made(4)
    lines = proof.text().split("\n")
    assert lines[:3] == ["c2sp.org/tlog-proof@v1", f"extra {b64encode(ENTRIES[4]).decode()}", "index 4"]
    assert lines[3:7] == [b64encode(one).decode() for one in inclusion_proof(4, 11, node)]
    assert lines[7:10] == ["", ORIGIN, "11"]
    assert proof.text().endswith(proof.note)


@given(st.integers(1, len(ENTRIES)), st.data())
def test_every_proof_is_read_back_and_holds(size: int, data: st.DataObject) -> None:
    proof = made(data.draw(st.integers(0, size - 1)), size)
    assert parse_proof(proof.text()) == proof
    assert parse_proof(proof.text()).check(open_note).size == size


def test_every_changed_bit_is_refused() -> None:
    data = made(6).text().encode()
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            with pytest.raises(NotVerified):
                parse_proof(changed.decode(errors="replace")).check(open_note)


@given(st.data())
def test_every_part_left_out_or_repeated_is_refused(data: st.DataObject) -> None:
    lines = made(6).text().splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines) - 1))
    for changed in (lines[:place] + lines[place + 1 :], lines[:place] + lines[place : place + 1] * 2 + lines[place + 1 :]):
        if "".join(changed) == "".join(lines) + lines[-1]:
            continue  # a signature that stands there twice is still the signature
        with pytest.raises(NotVerified):
            parse_proof("".join(changed)).check(open_note)


def test_a_proof_holds_for_its_own_entry_place_and_checkpoint_only() -> None:
    one, other = made(3), made(5)
    for mixed in (
        LogProof(other.entry, one.index, one.hashes, one.note),
        LogProof(one.entry, other.index, one.hashes, one.note),
        LogProof(one.entry, one.index, other.hashes, one.note),
        LogProof(one.entry, one.index, one.hashes, made(3, 7).note),
        LogProof(one.entry, 11, one.hashes, one.note),
    ):
        with pytest.raises(NotVerified, match="entry"):
            mixed.check(open_note)


def test_a_proof_by_another_log_is_refused() -> None:
    stranger = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
    note = sign_checkpoint(Checkpoint(ORIGIN, 11, tree_root(11, node)), stranger)
    with pytest.raises(NotVerified, match="no signature"):
        LogProof(ENTRIES[0], 0, made(0).hashes, note).check(open_note)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "c2sp.org/tlog-proof@v1",
        "c2sp.org/tlog-proof@v2\nextra YQ==\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YQ==\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YQ\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YR==\nindex 0\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YQ==\nindex 00\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YQ==\nindex -1\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YQ==\nindex " + "9" * 5000 + "\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YQ==\nindex 0\nYQ==\n\nnote",
        "c2sp.org/tlog-proof@v1\nextra YQ==\nindex 0\n" + ("A" * 43 + "=\n") * 65 + "\nnote",
        "c2sp.org/tlog-proof@v1\r\nextra YQ==\r\nindex 0\r\n\r\nnote",
    ],
)
def test_anything_else_is_no_proof(text: str) -> None:
    with pytest.raises(NotVerified):
        parse_proof(text)


@given(st.text(), st.text())
def test_any_text_is_a_proof_or_refused_as_none(before: str, after: str) -> None:
    for text in (
        before,
        f"c2sp.org/tlog-proof@v1\nextra {before}\nindex {after}\n\n{before}",
        f"{before}{made(3).text()}{after}",
    ):
        try:
            proof = parse_proof(text)
        except NotVerified:
            continue
        assert proof.text() == text
