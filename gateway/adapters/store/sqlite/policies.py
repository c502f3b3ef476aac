"""A mark beside the log: its newest entry that tells which policies decide, so that a start need not read the whole log.

The mark is set in the transaction of that entry. It is no evidence: the entry is, and `state check` holds the mark against
the log.
"""

from collections.abc import Iterable, Iterator, Mapping

import apsw
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.core.dsse import NotVerified
from gateway.core.entry import Entry, open_entry
from gateway.core.errors import StoreFault
from gateway.core.policy_told import PolicyTold, policy_told

_MARK = "policy_told"


def mark_told(db: apsw.Connection, index: int) -> None:
    """The entry at `index` tells which policies decide now."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_MARK, index))


def last_told(db: apsw.Connection, keys: Mapping[str, Ed25519PublicKey]) -> PolicyTold | None:
    """What the log said last, its entry's signature checked; None: nothing yet.

    Raises `StoreFault` where the mark names no such entry.
    """
    row = db.execute(
        "SELECT m.value, CAST(e.entry AS BLOB) FROM meta AS m LEFT JOIN entries AS e ON e.idx = m.value WHERE m.key = ?",
        (_MARK,),
    ).fetchone()
    if row is None:
        return None
    index, data = row
    try:
        entry = open_entry(data or b"", keys)
        told = policy_told(entry.kind, entry.predicate)
        if told is None or entry.index != index:
            raise NotVerified("it is another entry")
    except NotVerified as error:
        raise StoreFault(
            f"the journal says that entry {index} tells which policies decide, and it does not: {error}",
            hint="sealgate state check names what is wrong. Restore the newest copy.",
            code="store.damaged",
        ) from error
    return told


class ToldPolicies:
    """The newest entry that tells of policies, among those that pass by."""

    def __init__(self) -> None:
        self.index: int | None = None

    def watch(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries."""
        for entry in entries:
            if policy_told(entry.kind, entry.predicate) is not None:
                self.index = entry.index
            yield entry

    def problems(self, db: apsw.Connection) -> Iterator[str]:
        """Where the mark names another entry: an older history of policies would pass for the newest."""
        marked = db.execute("SELECT value FROM meta WHERE key = ?", (_MARK,)).get
        if marked != self.index:
            yield f"meta: entry {marked} is marked as what tells the policies last, and the log says {self.index}"
