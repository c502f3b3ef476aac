"""Entries of any content at all, signed with the stolen entry key: they are judged, and nothing crashes over them."""

from base64 import b64decode
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.keys import FileSigner
from gateway.core.answer import PAYLOAD_TYPE, Approver
from gateway.core.dsse import NotVerified, envelop
from gateway.core.entry import PAYLOAD_TYPE as ENTRY_TYPE
from gateway.core.entry import Kind, Record, open_entry, seal_entry
from gateway.core.merkle import leaf_hash
from gateway.core.signed_answers import SignedAnswers
from gateway.core.standing import told
from gateway.core.trust import KeyPeriod, TrustedKeys, keyed
from gateway.core.verify import StoredEntry, verify_log

STOLEN = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\3" * 32))
LOG = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\4" * 32))
APPROVER = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\5" * 32))
KEYS = TrustedKeys(keyed(KeyPeriod(STOLEN.public())), keyed(KeyPeriod(LOG.public())), "test.example/log")

ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(
        [2**53 - 1, 1e300, "", "a", "b", "started", "completed", "failed", "allow", "cli", "elicitation", "run"]
    )
    | st.sampled_from(["9999-12-31T23:30:00.000Z", "0001-01-01T00:00:00.000Z", "user:alice", "destructive", "\ud7ff"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "event", "of"]), inner, max_size=3),
    max_leaves=6,
)
WORDS = {
    "run": ["tenant_id", "principal_chain"],
    "capability": ["capability_id"],
    "call": ["call_digest"],
    "idempotency": ["key", "scope", "derived", "reservation"],
    "policy": ["effect", "bundle_revision", "reasons"],
    "approval": [
        *("approval_id", "envelope_id", "call_digest", "mode", "expires_at", "reasons"),
        *("quorum", "approve_for", "run_id", "answers", "compensates", "modified_from", "routes", "required_approver"),
        *(
            "principal_chain",
            "capability_id",
            "definition_digest",
            "tenant_id",
            "policy_revision",
            "requested_at",
            "advisory",
        ),
    ],
    "result": ["status", "is_error", "commitment", "reason"],
    "resolution": ["envelope_id", "verdict"],
    "compensation": ["of", "by", "event"],
    "erasure": ["subject"],
    "key": ["event", "role", "old_keyid", "new_public_key", "since", "keyid"],
}
PARTS = {name: ANY | st.fixed_dictionaries({}, optional=dict.fromkeys(words, ANY)) for name, words in WORDS.items()}
EVENT = ANY | st.sampled_from(["requested", "answered", "approved", "rejected", "modified", "expired", "void"])
LOOSE = ("approve_for", "approval_mode_effective", "reasons", "flow", "intent", "evidence_refs")
BODIES = st.fixed_dictionaries({}, optional={**PARTS, "event": EVENT, **dict.fromkeys(LOOSE, ANY)})
RECORDS = st.builds(
    Record,
    st.sampled_from(list(Kind)),
    st.sampled_from(["0", "1", "2"]),
    st.just("2026-11-22T10:00:00.000Z"),
    BODIES,
)


def stored(record: Record, index: int) -> StoredEntry:
    sealed = seal_entry(record, index, STOLEN, dev=False)
    return StoredEntry(index, sealed.data, sealed.leaf)


REQUEST: dict[str, Any] = {
    "envelope_id": "0",
    "call_digest": "d",
    "mode": "network",
    "expires_at": "2099",
    "reasons": [],
    "advisory": False,
    "tenant_id": "t",
    "principal_chain": ["user:alice", "agent:a"],
    "capability_id": "c",
    "definition_digest": "d",
    "policy_revision": "p",
    "required_approver": None,
    "requested_at": "2026",
}
ASKED = {name: ANY for name in WORDS["approval"] if name != "approval_id"}
ONE_OF = st.fixed_dictionaries({"approval_id": st.sampled_from(["a", "b"])}, optional=ASKED) | st.builds(
    lambda approval_id, other: {**REQUEST, "approval_id": approval_id, **other},
    st.sampled_from(["a", "b"]),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("modified_from", "mode", "quorum", "routes", "expires_at"), ANY)),
)
NAMED = ANY | st.fixed_dictionaries({}, optional=dict.fromkeys(("approval_id", "call_digest", "request_digest"), ANY))
SAID = ANY | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("answer", "approver", "approval_id", "call_digest", "request_digest", "route", "approve_for"), ANY),
        "modified_into": NAMED,
    },
)


def signed(said: Any) -> dict[str, Any]:
    """An answer that the approver signed, whatever it says."""
    document: dict[str, Any] = orjson.loads(envelop(PAYLOAD_TYPE, orjson.dumps(said), APPROVER)[0])
    return document


ANSWER = {"approver": ANY, "keyid": ANY, "route": ANY, "signed_answer": ANY | SAID.map(signed), "modified_into": NAMED}
LIFE = st.builds(
    Record,
    st.sampled_from([Kind.APPROVAL, Kind.APPROVAL, Kind.INTENT]),
    st.sampled_from(["0", "1", "2"]),
    st.sampled_from(["2026-11-22T10:00:00.000Z", "9999-12-31T23:59:59.999Z", "", "2026"]),
    st.fixed_dictionaries(
        {"event": EVENT, "approval": ONE_OF},
        optional={"policy": PARTS["policy"], "approve_for": ANY, **ANSWER},
    ),
)
"""Entries about two requests."""


@given(st.lists(RECORDS, min_size=1, max_size=6) | st.lists(LIFE, min_size=3, max_size=8))
def test_a_log_of_any_entries_is_judged(records: list[Record]) -> None:
    entries = [stored(record, index) for index, record in enumerate(records)]
    report = verify_log(
        entries, [], KEYS, answers=SignedAnswers([Approver("user:alice", APPROVER.keyid, APPROVER.public())])
    )
    assert report.size == len(entries)
    for entry in entries:
        for one in told(open_entry(entry.entry, KEYS.by_id())):
            assert isinstance(hash(one), int), "made of texts, so that it can be stored and compared"


@given(ANY)
def test_an_id_that_is_no_text_is_no_entry(value: Any) -> None:
    sealed = seal_entry(Record(Kind.BOOT, value, "2026-11-22T10:00:00.000Z", {}), 0, STOLEN, dev=False)
    try:
        opened = open_entry(sealed.data, KEYS.by_id())
    except NotVerified:
        assert not isinstance(value, str)
    else:
        assert isinstance(opened.id, str)


@pytest.mark.parametrize(
    "other",
    [
        {"modified_from": {}},
        {"modified_from": ["a"]},
        {"modified_from": "b", "expires_at": "9999-12-31T23:30:00.000Z"},
        {"principal_chain": [{}]},
        {"quorum": {"count": {}, "of": {}}},
    ],
)
def test_a_request_of_any_form_is_judged(other: dict[str, Any]) -> None:
    asked = {**REQUEST, "approval_id": "a", **other}
    at = "2026-11-22T10:00:00.000Z"
    said = [{"event": "requested", "approval": asked}, {"event": "approved", "approval": asked, "approver": {}, "route": []}]
    records = [Record(Kind.APPROVAL, str(place), at, body) for place, body in enumerate(said)]
    assert verify_log([stored(record, place) for place, record in enumerate(records)], [], KEYS).problems


def test_a_number_that_has_no_canonical_form_makes_no_entry() -> None:
    sealed = seal_entry(
        Record(Kind.APPROVAL, "0", "2026", {"event": "requested", "approval": REQUEST}), 0, STOLEN, dev=False
    )
    statement = orjson.loads(b64decode(orjson.loads(sealed.data)["payload"]))
    statement["predicate"]["approval"]["quorum"] = {"count": 2**60}
    data, _ = envelop(ENTRY_TYPE, orjson.dumps(statement), STOLEN)
    (problem,) = verify_log([StoredEntry(0, data, leaf_hash(data))], [], KEYS).problems
    assert problem.startswith("entry 0: the payload is not a Sealgate statement: NotCanonical")
