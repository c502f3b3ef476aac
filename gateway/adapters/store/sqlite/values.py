"""The stored values of calls, held against the log while what it says is kept (`told`).

Values may be gone: by retention, which takes the oldest first, or by an erasure, which has its entry. Anything else that is
missing, cannot be opened or is not what was committed to, is a problem.
"""

from collections.abc import Iterator

import apsw

from gateway.adapters.store.sqlite.decisions import read_input
from gateway.adapters.store.sqlite.evidence import read_values
from gateway.core.commitment import Kept, Missing, disclosure_digest
from gateway.core.errors import KeyFault, StoreFault
from gateway.core.ports import VaultFile


def check_values(db: apsw.Connection, vault: VaultFile) -> Iterator[str]:
    """Each row of `evidence` that is not what it should be, and each that should be there and is not."""
    rows = db.execute(
        "SELECT e.envelope_id, e.result IS NULL, p.approval_id IS NOT NULL, x.subject IS NOT NULL, t.commitment"
        " FROM evidence AS e LEFT JOIN approvals AS p ON p.approval_id = e.envelope_id"
        " LEFT JOIN told_erasures AS x ON x.subject = e.subject LEFT JOIN told_calls AS t ON t.envelope_id = e.envelope_id"
    )
    for key, no_result, asked, erased, commitment in rows:
        try:
            stored = read_values(vault, db, key)
            told = stored.pending() if asked else stored.arguments()
            result = Missing.NOT_KEPT if asked or no_result else stored.result()
        except (KeyFault, StoreFault, ValueError, KeyError, TypeError, IndexError) as error:
            yield f"values of {key}: {error}"
            continue
        if Missing.ERASED in (told, result) and not erased:
            yield f"values of {key}: erased, and the log has no erasure of their subject"
        encoded = result.encoded if isinstance(result, Kept) else None  # None: redacted, so not the committed value
        if None not in (encoded, commitment) and disclosure_digest(str(encoded)) != commitment:
            yield f"values of {key}: the result is not the one that the log commits to"
    yield from _holes(db)
    yield from _inputs(db, vault)


def _inputs(db: apsw.Connection, vault: VaultFile) -> Iterator[str]:
    """Each kept policy input that cannot be opened, or was erased without an erasure in the log."""
    rows = db.execute(
        "SELECT d.envelope_id, x.subject IS NOT NULL FROM decisions AS d"
        " LEFT JOIN told_erasures AS x ON x.subject = d.subject"
    )
    for key, erased in rows:
        try:
            found = read_input(vault, db, key)
        except (KeyFault, StoreFault, ValueError, TypeError) as error:
            yield f"policy input of {key}: {error}"
            continue
        if found is Missing.ERASED and not erased:
            yield f"policy input of {key}: erased, and the log has no erasure of its subject"


def _holes(db: apsw.Connection) -> Iterator[str]:
    """Calls that ended and whose values are gone, while older values are kept. Ids sort by time.

    A request is about arguments of its own, and a verdict may bring a result after retention took the rest.
    """
    rows = db.execute(
        "SELECT envelope_id FROM calls WHERE state IN ('completed', 'compensating', 'compensated')"
        " AND envelope_id NOT IN (SELECT envelope_id FROM evidence) AND envelope_id > (SELECT min(envelope_id) FROM evidence"
        " WHERE envelope_id NOT IN (SELECT approval_id FROM approvals)"
        " AND envelope_id NOT IN (SELECT envelope_id FROM calls WHERE reason LIKE 'resolution.%')) ORDER BY 1"
    )
    for (key,) in rows:
        yield f"values of {key}: they are gone, and older ones are kept"
