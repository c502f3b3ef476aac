"""The trust bundle as a document: what goes in comes out, an old one is read, a changed one is refused."""

import json
from base64 import b64encode
from typing import Any

import pytest

from gateway.core.trust import KeyPeriod, Revocation, TrustedKeys, keyed
from gateway.core.trust_bundle import bundle_document, read_bundle
from gateway.core.verifier_key import SignatureType, parse_verifier_key
from tests.core.key_story import ORIGIN, signer, told


def told_with_a_revocation() -> TrustedKeys:
    bundle = told().bundles[-1]
    return bundle.revoked(signer("E0").keyid, Revocation(2, 20, "stolen: \u00fc"))


def test_a_bundle_is_read_back_as_it_was_written() -> None:
    for bundle in (*told().bundles, told_with_a_revocation()):
        document = json.loads(json.dumps(bundle_document(bundle)))
        assert bundle_document(read_bundle(document)) == document
        read = read_bundle(document)
        assert (read.entry_keys, read.log_keys, read.origin, read.dev) == (
            bundle.entry_keys,
            bundle.log_keys,
            bundle.origin,
            bundle.dev,
        )


def test_keys_stand_in_the_order_in_which_they_began() -> None:
    document = bundle_document(told_with_a_revocation())
    for role in ("entry_keys", "log_keys"):
        places = [(one["since"], one["until"]) for one in document[role]]
        assert places == sorted(places, key=lambda pair: pair[0])
        assert [until for _, until in places[:-1]] == [since for since, _ in places[1:]]
        assert places[-1][1] is None
    assert document["entry_keys"][0]["revoked"] == {"since": 2, "entry": 20, "reason": "stolen: \u00fc"}


def test_of_two_revocations_the_one_from_earlier_on_stands_in_it_with_the_place_of_the_first() -> None:
    bundle = told_with_a_revocation().revoked(signer("E0").keyid, Revocation(1, 22, "stolen before"))
    document = json.loads(json.dumps(bundle_document(bundle)))
    told = {"since": 1, "entry": 22, "reason": "stolen before", "first_entry": 20}
    assert document["entry_keys"][0]["revoked"] == told
    assert read_bundle(document).entry_keys == bundle.entry_keys
    later = bundle.revoked(signer("E0").keyid, Revocation(2, 24, "again"))
    assert later == bundle, "one that reaches back less far says nothing new"


def test_a_log_key_has_its_verifier_key_beside_it() -> None:
    for one in bundle_document(told().bundles[-1])["log_keys"]:
        key = parse_verifier_key(one["vkey"])
        assert (key.name, key.kind) == (ORIGIN, SignatureType.ED25519)
        assert b64encode(key.public_key).decode() == one["public_key"]


def test_a_bundle_of_version_1_is_read() -> None:
    entry, log = signer("E0"), signer("L0")
    document = {
        "origin": ORIGIN,
        "dev": True,
        "entry_keys": {entry.keyid: b64encode(entry.public_key).decode()},
        "log_key": b64encode(log.public_key).decode(),
    }
    assert read_bundle(document) == TrustedKeys(
        keyed(KeyPeriod(entry.public())), keyed(KeyPeriod(log.public())), ORIGIN, dev=True
    )
    with pytest.raises(ValueError, match="is not that of its key"):
        read_bundle({**document, "entry_keys": {signer("X").keyid: b64encode(entry.public_key).decode()}})


CHANGES: list[tuple[list[str | int], Any]] = [
    (["version"], 3),
    (["version"], "2"),
    (["origin"], "other.example/log"),
    (["origin"], None),
    (["dev"], 0),
    (["entry_keys"], {}),
    (["entry_keys"], []),
    (["entry_keys"], None),
    (["log_keys"], []),
    (["log_keys", 0], {}),
    (["log_keys", 0], None),
    (["entry_keys", 0, "keyid"], signer("E1").keyid),
    (["entry_keys", 0, "public_key"], b64encode(signer("X").public_key).decode()),
    (["entry_keys", 0, "public_key"], "AAAA"),
    (["entry_keys", 0, "public_key"], 7),
    (["entry_keys", 0, "since"], 1),
    (["entry_keys", 0, "since"], 0.0),
    (["entry_keys", 0, "since"], False),
    (["entry_keys", 0, "since"], "0"),
    (["entry_keys", 1, "since"], 3),
    (["entry_keys", 0, "until"], None),
    (["entry_keys", 0, "until"], 4.0),
    (["entry_keys", 0, "revoked"], {"since": 2, "entry": 20}),
    (["entry_keys", 0, "revoked"], {"since": 21, "entry": 20, "reason": ""}),
    (["entry_keys", 0, "revoked"], {"since": 2, "entry": 20, "reason": "", "more": 1}),
    (["entry_keys", 0, "revoked"], {"since": 2, "entry": 20, "reason": "", "first_entry": None}),
    (["entry_keys", 0, "revoked"], {"since": 2, "entry": 20, "reason": "", "first_entry": "8"}),
    (["entry_keys", 0, "revoked"], {"since": 2, "entry": 20, "reason": "", "first_entry": 1}),
    (["entry_keys", 0, "revoked"], {"since": 2, "entry": 20, "reason": "", "first_entry": 20}),
    (["entry_keys", 0, "revoked"], True),
    (["entry_keys", 0, "more"], 1),
    (["log_keys", 0, "vkey"], "test.example/log+00000000+AAAA"),
    (["more"], 1),
]


@pytest.mark.parametrize(("where", "value"), CHANGES)
def test_a_changed_bundle_is_refused(where: list[str | int], value: Any) -> None:
    document = json.loads(json.dumps(bundle_document(told_with_a_revocation())))
    part = document
    for step in where[:-1]:
        part = part[step]
    part[where[-1]] = value
    with pytest.raises(ValueError, match=r".+"):
        read_bundle(document)


@pytest.mark.parametrize("left_out", ["origin", "dev", "entry_keys", "log_keys"])
def test_a_bundle_with_something_left_out_is_refused(left_out: str) -> None:
    document = bundle_document(told().bundles[-1])
    del document[left_out]
    with pytest.raises(ValueError, match="not a trust bundle"):
        read_bundle(document)


@pytest.mark.parametrize("document", [None, 1, "x", [], {}, {"version": 1}, {"version": 2}, {"version": None}])
def test_what_is_no_bundle_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_bundle(document)


def test_a_key_that_stands_in_it_twice_is_refused() -> None:
    document = bundle_document(told().bundles[0])
    document["entry_keys"] *= 2
    with pytest.raises(ValueError, match="stands in it twice"):
        read_bundle(document)
