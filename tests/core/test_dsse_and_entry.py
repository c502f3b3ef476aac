"""Entries are DSSE envelopes over in-toto statements: others' tools accept them, and a changed one is refused."""

import json
from base64 import b64decode, b64encode
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from gateway.adapters.keys import FileSigner
from gateway.core.canonical import canonical
from gateway.core.dsse import NotVerified, envelop, key_id, open_envelope, pae
from gateway.core.entry import (
    MAX_PAYLOAD_BYTES,
    PAYLOAD_TYPE,
    PREDICATE_TYPE,
    EntryTooLarge,
    Kind,
    Record,
    open_entry,
    seal_entry,
)
from gateway.core.envelope import call_envelope
from gateway.core.merkle import leaf_hash
from tests.core.calls import ALLOW, NOW, Call, envelope_id, seal

SIGNER = FileSigner(Ed25519PrivateKey.from_private_bytes(bytes(32)))
OTHER = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\1" * 32))
KEYS = {SIGNER.keyid: Ed25519PublicKey.from_public_bytes(SIGNER.public_key)}
RECORD = Record(Kind.INTENT, envelope_id(1), NOW, call_envelope(seal(Call()), ALLOW))
ENTRY = seal_entry(RECORD, 7, SIGNER, dev=True)


def sslib_key(signer: FileSigner) -> SSlibKey:
    """The public key as securesystemslib knows it, with the key id that it derives itself."""
    return SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(signer.public_key))


def rebuilt(**changed: Any) -> bytes:
    """The entry's envelope with these members changed."""
    return json.dumps({**json.loads(ENTRY.data), **changed}).encode()


def statement() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(b64decode(json.loads(ENTRY.data)["payload"]))
    return document


def resigned(document: Any) -> bytes:
    """An entry by the right key with another payload."""
    return envelop(PAYLOAD_TYPE, json.dumps(document).encode(), SIGNER)[0]


def test_pae_is_that_of_the_dsse_specification() -> None:
    # secure-systems-lab/dsse protocol.md, test vectors.
    assert pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.binary(min_size=32, max_size=32))
def test_key_ids_are_those_that_securesystemslib_derives(seed: bytes) -> None:
    signer = FileSigner(Ed25519PrivateKey.from_private_bytes(seed))
    assert key_id(signer.public_key) == sslib_key(signer).keyid == signer.keyid


def test_securesystemslib_verifies_an_entry_with_the_key_it_derived_itself() -> None:
    envelope = Envelope.from_dict(json.loads(ENTRY.data))
    assert set(envelope.verify([sslib_key(SIGNER)], 1)) == {SIGNER.keyid}
    with pytest.raises(VerificationError):
        envelope.verify([sslib_key(OTHER)], 1)


def test_in_toto_accepts_the_statement() -> None:
    read = Statement.copy_from_pb(ParseDict(statement(), statement_pb2.Statement()))
    read.validate()
    assert read.pb.predicate_type == PREDICATE_TYPE
    assert read.pb.subject[0].name == f"urn:uuid:{envelope_id(1)}"


def test_an_entry_reads_back_as_what_was_recorded() -> None:
    entry = open_entry(ENTRY.data, KEYS)
    assert (entry.index, entry.kind, entry.id, entry.keyid) == (7, Kind.INTENT, envelope_id(1), SIGNER.keyid)
    assert {"dev": True, "recorded_at": NOW}.items() <= entry.predicate.items()
    assert entry.predicate["call"]["call_digest"] == seal(Call()).call_digest
    assert ENTRY.leaf == leaf_hash(ENTRY.data)


def test_the_payload_is_canonical() -> None:
    payload = b64decode(json.loads(ENTRY.data)["payload"])
    assert payload == canonical(json.loads(payload))


@given(st.integers(0, len(ENTRY.data) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_gives_another_entry(place: int, flip: int) -> None:
    changed = bytearray(ENTRY.data)
    changed[place] ^= flip
    try:
        entry = open_entry(bytes(changed), KEYS)
    except NotVerified:
        return
    assert entry == open_entry(ENTRY.data, KEYS)  # the leaf hash tells the two spellings apart
    assert leaf_hash(bytes(changed)) != ENTRY.leaf


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        rebuilt(signatures=[]),
        rebuilt(signatures=json.loads(ENTRY.data)["signatures"] * 2),
        rebuilt(signatures=["x"]),
        rebuilt(signatures=[{"keyid": SIGNER.keyid}]),
        rebuilt(signatures=[{"keyid": [], "sig": "AA=="}]),
        rebuilt(signatures=[{"keyid": SIGNER.keyid, "sig": ""}]),
        rebuilt(signatures=[{"keyid": SIGNER.keyid, "sig": "AA=="}]),
        rebuilt(signatures=[{"keyid": OTHER.keyid, "sig": json.loads(ENTRY.data)["signatures"][0]["sig"]}]),
        rebuilt(payload=5),
        rebuilt(payload="?"),
        rebuilt(payload=b64encode(b"{}").decode()),
        rebuilt(payloadType="text/plain"),
        rebuilt(payloadType=None),
    ],
)
def test_an_envelope_that_is_not_what_was_signed_is_refused(data: bytes) -> None:
    with pytest.raises(NotVerified):
        open_entry(data, KEYS)


def test_an_entry_by_an_unknown_key_is_refused() -> None:
    with pytest.raises(NotVerified, match="unknown key"):
        open_entry(seal_entry(RECORD, 7, OTHER, dev=True).data, KEYS)
    forged = json.loads(seal_entry(RECORD, 7, OTHER, dev=True).data)
    forged["signatures"][0]["keyid"] = SIGNER.keyid
    with pytest.raises(NotVerified, match="does not match"):
        open_entry(orjson.dumps(forged), KEYS)


def test_nothing_unsigned_may_stand_in_an_entry() -> None:
    entry = orjson.loads(seal_entry(RECORD, 7, SIGNER, dev=True).data)
    for changed in (orjson.dumps({**entry, "note": "approved by the board"}), json.dumps(entry).encode()):
        with pytest.raises(NotVerified, match="spelled otherwise"):
            open_entry(changed, KEYS)


@pytest.mark.parametrize(
    "document",
    [
        5,
        [],
        {},
        {**statement(), "_type": "https://in-toto.io/Statement/v0.1"},
        {name: value for name, value in statement().items() if name != "_type"},
        {**statement(), "predicateType": "https://example.org/other"},
        {**statement(), "predicate": {**statement()["predicate"], "index": 8}},
        {**statement(), "predicate": {**statement()["predicate"], "kind": "other"}},
        {**statement(), "predicate": []},
        {**statement(), "subject": []},
        {**statement(), "subject": [{"name": "urn:uuid:0", "digest": {}}]},
    ],
)
def test_a_signed_payload_that_contradicts_itself_is_refused(document: Any) -> None:
    with pytest.raises(NotVerified):
        open_entry(resigned(document), KEYS)


def test_the_same_bytes_under_another_payload_type_are_not_signed() -> None:
    data, _ = envelop("text/plain", b"{}", SIGNER)
    assert open_envelope(data, "text/plain", KEYS).payload == b"{}"
    with pytest.raises(NotVerified, match="payload type"):
        open_envelope(data, PAYLOAD_TYPE, KEYS)
    claimed = {**json.loads(data), "payloadType": PAYLOAD_TYPE}
    with pytest.raises(NotVerified, match="does not match"):
        open_envelope(claimed, PAYLOAD_TYPE, KEYS)


def test_a_record_that_does_not_fit_an_entry_is_refused() -> None:
    room = MAX_PAYLOAD_BYTES - len(b64decode(json.loads(ENTRY.data)["payload"])) - len(',"more":""')
    fits = Record(RECORD.kind, RECORD.id, RECORD.recorded_at, {**RECORD.body, "more": "x" * room})
    assert len(seal_entry(fits, 7, SIGNER, dev=True).data) <= 65_535
    with pytest.raises(EntryTooLarge):
        seal_entry(
            Record(fits.kind, fits.id, fits.recorded_at, {**fits.body, "more": "x" * (room + 1)}), 7, SIGNER, dev=True
        )
