"""Checkpoints are C2SP signed notes: openssl verifies them, and a note with any change is refused."""

import subprocess
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import Checkpoint, note_key_hash, open_checkpoint, sign_checkpoint
from gateway.core.dsse import NotVerified

ORIGIN = "example.org/log"
SIGNER = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
KEY = Ed25519PublicKey.from_public_bytes(SIGNER.public_key)
CHECKPOINT = Checkpoint(ORIGIN, 1234, bytes(range(32)))
NOTE = sign_checkpoint(CHECKPOINT, SIGNER)


def refused(note: str, origin: str = ORIGIN, key: Ed25519PublicKey = KEY) -> str:
    with pytest.raises(NotVerified) as caught:
        open_checkpoint(note, origin, [key])
    return str(caught.value)


@given(st.integers(0, 2**62), st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_opens_to_what_it_states(size: int, root: bytes) -> None:
    stated = Checkpoint(ORIGIN, size, root)
    assert open_checkpoint(sign_checkpoint(stated, SIGNER), ORIGIN, [KEY]) == stated


def test_the_note_has_the_form_of_c2sp() -> None:
    lines = NOTE.split("\n")
    assert lines[:4] == [ORIGIN, "1234", b64encode(bytes(range(32))).decode(), ""]
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert lines[5:] == [""]
    assert b64decode(lines[4].split(" ")[2])[:4] == note_key_hash(ORIGIN, SIGNER.public_key)


def test_the_key_hash_is_that_of_the_example_in_gos_signed_note() -> None:
    # golang.org/x/mod/sumdb/note, example verifier key.
    raw = b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert raw[0] == 1
    assert note_key_hash("PeterNeumann", raw[1:]).hex() == "c74f20a3"


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, flip: int) -> None:
    changed = bytearray(NOTE.encode())
    changed[place] ^= flip
    refused(changed.decode(errors="replace"))


def test_every_changed_bit_is_refused() -> None:
    data = NOTE.encode()
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            refused(changed.decode(errors="replace"))


def test_another_log_another_key_and_another_signer_are_refused() -> None:
    assert "of the log" in refused(NOTE, origin="example.org/other")
    assert "no signature" in refused(NOTE, key=Ed25519PublicKey.from_public_bytes(OTHER.public_key))
    assert "no signature" in refused(sign_checkpoint(CHECKPOINT, OTHER))
    forged = note_key_hash(ORIGIN, SIGNER.public_key) + OTHER.sign(CHECKPOINT.body())
    assert "does not match" in refused(f"{CHECKPOINT.body().decode()}\n— {ORIGIN} {b64encode(forged).decode()}\n")


def signed(body: str) -> str:
    """A note over any text, signed by the right key."""
    signature = note_key_hash(ORIGIN, SIGNER.public_key) + SIGNER.sign(body.encode())
    return f"{body}\n— {ORIGIN} {b64encode(signature).decode()}\n"


ROOT = b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "body",
    [
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n+5\n{ROOT}\n",
        f"{ORIGIN}\n05\n{ROOT}\n",
        f"{ORIGIN}\n5.0\n{ROOT}\n",
        f"{ORIGIN}\n5_0\n{ROOT}\n",
        f"{ORIGIN}\n٥\n{ROOT}\n",
        f"{ORIGIN}\n 5\n{ROOT}\n",
        f"{ORIGIN}\n5\n{ROOT}\nextension\n",
        f"{ORIGIN}\n5\n",
        f"{ORIGIN}\n5\n{b64encode(bytes(31)).decode()}\n",
        f"{ORIGIN}\n5\n{ROOT[:-2]}B=\n",
        f"{ORIGIN}\n5\n{ROOT} \n",
        "",
        "\n",
    ],
)
def test_a_body_of_another_form_is_refused_even_when_signed(body: str) -> None:
    refused(signed(body))


def test_signatures_by_others_are_passed_over() -> None:
    witness = f"— witness.example {b64encode(bytes(76)).decode()}\n"
    cosigned = sign_checkpoint(CHECKPOINT, OTHER).split("\n\n")[1]
    body, own = NOTE.split("\n\n")
    assert open_checkpoint(f"{body}\n\n{witness}{cosigned}{own}{witness}", ORIGIN, [KEY]) == CHECKPOINT
    assert "no signature" in refused(f"{body}\n\n{witness}{cosigned}")


def test_the_signed_text_cannot_be_taken_from_another_note() -> None:
    other = sign_checkpoint(Checkpoint(ORIGIN, 1235, bytes(range(32))), SIGNER)
    assert "does not match" in refused(NOTE.split("\n\n")[0] + "\n\n" + other.split("\n\n")[1])


@pytest.mark.openssl
def test_openssl_verifies_a_checkpoint(openssl: str, tmp_path: Path) -> None:
    body, signature = NOTE.split("\n\n")
    (tmp_path / "key.pem").write_bytes(KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "sig").write_bytes(b64decode(signature.split(" ")[2])[4:])

    def verify(text: str) -> int:
        (tmp_path / "text").write_text(text)
        arguments = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem", "-sigfile", "sig", "-in", "text"]
        return subprocess.run([openssl, *arguments], cwd=tmp_path, capture_output=True, timeout=20, check=False).returncode

    assert verify(body + "\n") == 0
    assert verify(body.replace("1234", "1235") + "\n") != 0
