"""Entries of any content at all, signed with the stolen entry key: they are judged, and nothing crashes over them."""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from gateway.adapters.keys import FileSigner
from gateway.core.dsse import NotVerified
from gateway.core.entry import Kind, Record, open_entry, seal_entry
from gateway.core.standing import told
from gateway.core.trust import KeyPeriod, TrustedKeys, keyed
from gateway.core.verify import StoredEntry, verify_log

STOLEN = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\3" * 32))
LOG = FileSigner(Ed25519PrivateKey.from_private_bytes(b"\4" * 32))
KEYS = TrustedKeys(keyed(KeyPeriod(STOLEN.public())), keyed(KeyPeriod(LOG.public())), "test.example/log")

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "started", "completed", "failed", "allow"]),
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
        *("quorum", "approve_for", "run_id", "answers", "compensates"),
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


ASKED = {name: ANY for name in WORDS["approval"] if name != "approval_id"}
LIFE = st.builds(
    Record,
    st.sampled_from([Kind.APPROVAL, Kind.APPROVAL, Kind.INTENT]),
    st.sampled_from(["0", "1", "2"]),
    st.just("2026-11-22T10:00:00.000Z"),
    st.fixed_dictionaries(
        {"event": EVENT, "approval": st.fixed_dictionaries({"approval_id": st.just("a")}, optional=ASKED)},
        optional={"policy": PARTS["policy"], "approve_for": ANY, "approver": ANY, "keyid": ANY},
    ),
)
"""Entries about one request."""


@given(st.lists(RECORDS, min_size=1, max_size=6) | st.lists(LIFE, min_size=3, max_size=8))
def test_a_log_of_any_entries_is_judged(records: list[Record]) -> None:
    entries = [stored(record, index) for index, record in enumerate(records)]
    report = verify_log(entries, [], KEYS)
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
