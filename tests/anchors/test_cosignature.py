"""Our cosignatures are what https://c2sp.org/tlog-cosignature says, checked by programs that are not ours."""

import struct
import subprocess
from base64 import b64decode
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.adapters.keys import FileSigner
from gateway.core.checkpoint import read_checkpoint
from gateway.core.cosignature import cosign, cosignatures
from gateway.core.dsse import NotVerified
from gateway.core.verifier_key import SignatureType, VerifierKey
from tests.anchors.world import Log

PRIVATE = Ed25519PrivateKey.generate()
SIGNER = FileSigner(PRIVATE)
KEY = VerifierKey("witness.example/w1", SignatureType.COSIGNATURE, SIGNER.public_key)
LOG = Log().grow(21)


@pytest.mark.openssl
def test_openssl_verifies_a_cosignature_over_the_message_of_the_specification(openssl: str, tmp_path: Path) -> None:
    line = cosign(LOG.checkpoint(), KEY, SIGNER, 1_679_315_147)
    dash, name, encoded = line.rstrip("\n").split(" ")
    raw = b64decode(encoded)
    assert (dash, name, raw[:4]) == ("\u2014", KEY.name, KEY.key_hash)
    assert struct.unpack(">Q", raw[4:12]) == (1_679_315_147,)
    text = LOG.note().partition("\n\n")[0] + "\n"
    (tmp_path / "signed").write_text(f"cosignature/v1\ntime 1679315147\n{text}")
    (tmp_path / "signature").write_bytes(raw[12:])
    (tmp_path / "key.pem").write_bytes(PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    command = ["pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "signed", "-sigfile", "signature"]
    done = subprocess.run([openssl, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_key_id_is_that_of_the_specification() -> None:
    """Computed as the page words it, by another hand: SHA-256(name, newline, 0x04, key), four bytes."""
    message = KEY.name.encode() + b"\n\x04" + SIGNER.public_key
    done = subprocess.run(["sha256sum"], input=message, capture_output=True, check=True)
    assert KEY.key_hash.hex() == done.stdout.decode()[:8]


@pytest.mark.parametrize("timestamp", [0, 2**63])
def test_a_cosignature_without_a_time_is_refused(timestamp: int) -> None:
    line = cosign(LOG.checkpoint(), KEY, SIGNER, timestamp)
    with pytest.raises(NotVerified, match="has no time"):
        list(cosignatures(read_checkpoint(LOG.note() + line), (KEY,)))


def test_a_plain_signature_by_the_same_key_is_no_cosignature() -> None:
    """The type is part of the key id, so that one kind of signature never passes for the other."""
    plain = VerifierKey(KEY.name, SignatureType.ED25519, KEY.public_key)
    line = cosign(LOG.checkpoint(), KEY, SIGNER, 1_679_315_147)
    assert list(cosignatures(read_checkpoint(LOG.note() + line), (plain,))) == []


@pytest.mark.go
def test_gos_note_package_opens_a_cosigned_checkpoint_and_no_changed_one(go: str, tmp_path: Path) -> None:
    program = tmp_path / "cosigned"
    subprocess.run([go, "build", "-o", str(program), "."], cwd=Path(__file__).parent / "cosigned", check=True)

    def opened(note: str) -> str:
        command = [str(program), LOG.key.text, KEY.text]
        return subprocess.run(command, input=note.encode(), capture_output=True, check=False).stdout.decode()

    line = cosign(LOG.checkpoint(), KEY, SIGNER, 1_679_315_147)
    stranger = VerifierKey("stranger.example", SignatureType.COSIGNATURE, LOG.signer.public_key)
    other = cosign(LOG.checkpoint(), stranger, LOG.signer, 1_679_315_147)
    assert opened(LOG.note() + line) == f"{LOG.origin}\n{KEY.name}\n"
    assert opened(LOG.note() + other + line) == f"{LOG.origin}\n{KEY.name}\n"
    assert opened(LOG.note()) == ""
    assert opened(LOG.note() + other) == ""
    assert opened(LOG.note(20) + line) == ""
    assert opened(LOG.note() + cosign(LOG.checkpoint(20), KEY, SIGNER, 1_679_315_147)) == ""
