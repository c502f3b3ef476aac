"""What others published about the formats we use holds for our code: JCS, Ed25519, DSSE, SD-JWT, signed notes.

Where the data is from, and under which licence: tests/vectors/README.md. RFC 6962 has its own tests beside the tree and the
proofs.
"""

import hashlib
import json
import struct
from base64 import b64decode, urlsafe_b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.adapters.keys import FileSigner
from gateway.core.canonical import canonical
from gateway.core.checkpoint import note_key_hash, open_checkpoint, read_checkpoint
from gateway.core.commitment import disclose
from gateway.core.dsse import NotVerified, pae

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


# --- RFC 8785, json-canonicalization ---


@pytest.mark.parametrize("name", sorted(path.name for path in (VECTORS / "jcs" / "input").iterdir()))
def test_a_document_has_the_canonical_form_that_was_published(name: str) -> None:
    document = json.loads((VECTORS / "jcs" / "input" / name).read_bytes())
    assert canonical(document) == (VECTORS / "jcs" / "output" / name).read_bytes()


PUBLISHED = {
    1_000: "be18b62b6f69cdab33a7e0dae0d9cfa869fda80ddc712221570f9f40a5878687",
    10_000: "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892",
}


def numbers() -> Iterator[float]:
    """The published sequence: a list, then the 2,000 smallest normal doubles, then SHA-256 of itself over and over."""
    for line in (VECTORS / "jcs" / "numbers.txt").read_text().split():
        yield struct.unpack(">d", bytes.fromhex(line))[0]
    for place in range(2_000):
        yield struct.unpack(">d", (0x0010_0000_0000_0000 + place).to_bytes(8, "big"))[0]
    block = bytes(32)
    while True:
        block = hashlib.sha256(block).digest()
        for number in struct.unpack("<4d", block):
            if number != 0.0 and abs(number) < float("inf"):  # neither zero nor infinite nor not a number
                yield number


def test_ten_thousand_numbers_are_written_as_published() -> None:
    told = hashlib.sha256()
    for lines, number in enumerate(numbers(), start=1):
        bits = struct.unpack(">Q", struct.pack(">d", number))[0]
        told.update(f"{bits:x},{canonical(number).decode()}\n".encode())
        if lines in PUBLISHED:
            assert told.hexdigest() == PUBLISHED[lines], lines
        if lines == max(PUBLISHED):
            return


# --- Ed25519 ---

RFC_8032 = [  # section 7.1, tests 1 to 3: secret key, public key, message, signature
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC_8032)
def test_our_signer_makes_the_signatures_of_rfc8032(secret: str, public: str, message: str, signature: str) -> None:
    signer = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret)))
    assert signer.public_key.hex() == public
    assert signer.sign(bytes.fromhex(message)).hex() == signature


def test_the_library_accepts_and_refuses_what_wycheproof_says() -> None:
    """All of them, malleable and badly encoded signatures too: an entry has one signature that verifies, not several."""
    document = json.loads((VECTORS / "wycheproof" / "ed25519_test.json").read_bytes())
    judged = {"valid": 0, "invalid": 0}
    for group in document["testGroups"]:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(group["publicKey"]["pk"]))
        for vector in group["tests"]:
            try:
                key.verify(bytes.fromhex(vector["sig"]), bytes.fromhex(vector["msg"]))
                found = "valid"
            except InvalidSignature:
                found = "invalid"
            assert found == vector["result"], vector
            judged[found] += 1
    assert sum(judged.values()) == document["numberOfTests"]
    assert min(judged.values()) > 50


# --- DSSE ---


def test_the_signature_of_the_dsse_protocols_example_is_over_our_pae() -> None:
    """secure-systems-lab/dsse, protocol.md, as in go-securesystemslib v0.11.1 `dsse/sign_test.go`: ECDSA over P-256."""
    raw = b64decode("A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==")
    key = EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        SECP256R1(),
    ).public_key()
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    signed = pae("http://example.com/HelloWorld", b"hello world")
    key.verify(signature, signed, ECDSA(SHA256()))
    with pytest.raises(InvalidSignature):
        key.verify(signature, signed[:-1], ECDSA(SHA256()))


# --- RFC 9901 ---


def test_a_disclosure_is_the_one_of_rfc9901_without_white_space() -> None:
    # Section 4.2.1, salt and claim of its first example, and the encoding it gives for "no white space".
    disclosed = disclose("family_name", '"Möbius"'.encode(), urlsafe_b64decode("_26bc4LT-ac6q2KI6cBW5es="))
    assert disclosed.encoded == "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsImZhbWlseV9uYW1lIiwiTcO2Yml1cyJd"


# --- C2SP signed notes ---

SUM_GOLANG_ORG = """go.sum database tree
6476701
mb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=

— sum.golang.org Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvimWEPWL+o3GeoWwOoAw=
"""
"""A checkpoint of the Go checksum database, as in transparency-dev/formats v0.1.1 `log/note_test.go` (Apache 2.0)."""
SUM_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"


def test_a_checkpoint_of_the_go_checksum_database_reads_and_its_signature_is_over_our_body() -> None:
    name, key_hash, encoded = SUM_KEY.split("+", 2)
    public = b64decode(encoded)[1:]
    assert note_key_hash(name, public).hex() == key_hash
    note = read_checkpoint(SUM_GOLANG_ORG)
    assert (note.checkpoint.origin, note.checkpoint.size) == ("go.sum database tree", 6476701)
    (signature,) = note.signatures
    assert (signature.name, signature.key_hash.hex()) == (name, key_hash)
    key = Ed25519PublicKey.from_public_bytes(public)
    key.verify(signature.raw, note.checkpoint.body())
    # It is signed under another name than its origin, which a log of ours never is.
    with pytest.raises(NotVerified, match="no signature"):
        open_checkpoint(SUM_GOLANG_ORG, "go.sum database tree", [key])
