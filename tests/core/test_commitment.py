"""Commitments: SD-JWT digests that anyone can recompute, keyed digests that nobody can without the key."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.canonical import canonical
from gateway.core.commitment import CommitmentKey, disclose
from tests.core.documents import acceptable, any_text, plain

salts = st.binary(min_size=16, max_size=16)
keys = st.binary(min_size=32, max_size=32)


def unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@given(any_text, plain, salts)
def test_a_disclosure_opens_its_commitment_as_rfc9901_says(name: str, value: Any, salt: bytes) -> None:
    disclosure = disclose(name, canonical(value), salt)
    padded = disclosure.encoded + "=" * (-len(disclosure.encoded) % 4)
    assert json.loads(base64.urlsafe_b64decode(padded)) == [unpadded(salt), name, value]
    assert disclosure.digest == unpadded(hashlib.sha256(disclosure.encoded.encode("ascii")).digest())


def test_the_digest_is_that_of_the_example_in_rfc9901() -> None:
    # RFC 9901 section 4.2.3: the digest is over the characters of the encoded disclosure.
    encoded = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0"
    assert unpadded(hashlib.sha256(encoded.encode()).digest()) == "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"


@given(acceptable, salts, salts)
def test_another_salt_gives_another_digest(value: Any, one: bytes, other: bytes) -> None:
    digests = {disclose("a", canonical(value), salt).digest for salt in (one, other)}
    assert len(digests) == len({one, other})


@given(keys, st.text("abc", max_size=5), st.binary(max_size=40))
def test_a_keyed_digest_is_hmac_sha256_over_label_and_data(key: bytes, label: str, data: bytes) -> None:
    expected = hmac.new(key, label.encode() + b"\0" + data, hashlib.sha256).hexdigest()
    assert CommitmentKey(key).digest(label, data) == f"hmac-sha256:{expected}"


@given(keys, st.binary(max_size=20))
def test_labels_and_tenants_keep_digests_apart(key: bytes, data: bytes) -> None:
    own = CommitmentKey(key)
    digests = [own.digest(label, data) for label in ("call", "fingerprint", "reservation", "idempotency-key", "")]
    digests += [own.for_tenant(tenant).digest("call", data) for tenant in ("a", "b", "")]
    assert len(set(digests)) == len(digests)


@given(st.text("ab", max_size=3), st.binary(max_size=3), st.text("ab", max_size=3), st.binary(max_size=3))
def test_no_label_and_data_are_those_of_another_pair(label: str, data: bytes, other: str, others: bytes) -> None:
    key = CommitmentKey(bytes(32))
    same = (label, data) == (other, others)
    assert (key.digest(label, data) == key.digest(other, others)) is same


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_commitment_key_has_32_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="32"):
        CommitmentKey(bytes(length))
