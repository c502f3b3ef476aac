"""Journals of an older schema, brought to this program's. Only `sealgate state migrate` does this, never a start.

Everything happens in one transaction: the log is verified, the tables are made anew, and what came of it is checked whole
before it is committed. So a crash leaves the old schema or the new one, and a journal that does not hold stays as it was.
"""

import re
from contextlib import closing
from pathlib import Path

import apsw

from gateway.adapters.store.sqlite.backup import copy_database
from gateway.adapters.store.sqlite.check import StateReport, Watch, check_migrated, read_entry, unwatched
from gateway.adapters.store.sqlite.database import SCHEMA, SCHEMA_VERSION, check_library, open_for_reading
from gateway.adapters.store.sqlite.reader import LogTables
from gateway.adapters.store.sqlite.tiles import put_tile
from gateway.adapters.store.sqlite.told import keep_told
from gateway.adapters.store.sqlite.told_flows import make_flows
from gateway.core.errors import StoreFault
from gateway.core.tiles import TileEdge
from gateway.core.trust import TrustedKeys
from gateway.core.verify import verify_log

_OBJECT = re.compile(r"CREATE (?:TABLE|INDEX) (\w+)")

_ASIDE = """
DROP INDEX calls_started;
ALTER TABLE calls RENAME TO calls_1;
ALTER TABLE evidence RENAME TO evidence_1;
"""
# A released row did not say which request had ended: the last one under its key.
# The key's number in front of what it sealed (adapters/vault.py). Concatenation makes text of the same bytes: cast back.
_BACK = """
INSERT INTO calls (reservation, state, envelope_id, fingerprint, call_digest, capability_id, subject, approval_id,
    principal_chain, fence, updated_at, reason)
SELECT c.reservation, c.state, c.envelope_id, c.fingerprint, c.call_digest, c.capability_id, c.subject,
    CASE c.state WHEN 'released' THEN (SELECT max(r.approval_id) FROM approvals AS r WHERE r.reservation = c.reservation)
    ELSE c.approval_id END,
    coalesce(t.principal_chain, json_extract(p.request, '$.principal_chain'), '[]'), c.fence, c.updated_at,
    CASE c.state WHEN 'in_doubt' THEN t.reason END
FROM calls_1 AS c LEFT JOIN told_calls AS t ON t.envelope_id = c.envelope_id
    LEFT JOIN approvals AS p ON p.approval_id = c.approval_id;
INSERT INTO evidence (envelope_id, subject, arguments, result)
SELECT envelope_id, subject, CAST(x'00000000' || arguments AS BLOB), CAST(x'00000000' || result AS BLOB) FROM evidence_1;
DROP TABLE calls_1;
DROP TABLE evidence_1;
"""


def old_version(path: Path) -> int | None:
    """The schema of the journal at `path` where it can be migrated; None: it is this program's already.

    Raises `StoreFault` where there is no journal, or a newer one.
    """
    check_library()
    if not path.exists():
        raise StoreFault(f"there is no journal at {path}", hint="sealgate up makes one.")
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            version = int(db.pragma("user_version"))
            if 1 <= version < SCHEMA_VERSION:
                return version
    except apsw.Error as error:
        raise StoreFault(f"cannot read the journal {path}: {error}") from error
    open_for_reading(path).close()  # its schema is this program's, or it says what is wrong
    return None


def kept_copy(path: Path, version: int) -> Path:
    """Where migrating the journal at `path` leaves the old one."""
    return path.with_name(f"{path.name}.v{version}.bak")


def migrate_journal(
    path: Path, version: int, keys: TrustedKeys, *, accept_revoked: frozenset[str] = frozenset(), watch: Watch = unwatched
) -> StateReport:
    """Bring the journal at `path`, of that older schema, which no other process may use, to this program's schema.

    A copy of it stays at `kept_copy`.

    Args:
        accept_revoked: ids of revoked keys; what their revocations disown is accepted, as by `verify_log`

    Returns: what was checked. The journal is as it was where this is not ok.

    Raises:
        StoreFault: it cannot be read or written. It is as it was.
    """
    copy_database(path, kept_copy(path, version))
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as db:
            db.pragma("synchronous", "full")
            db.execute("BEGIN IMMEDIATE")
            try:
                report = _migrate(db, version, keys, accept_revoked, watch)
                if report.ok:
                    db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")
    except apsw.Error as error:
        raise StoreFault(f"cannot migrate the journal {path}: {error}") from error
    return report


def _migrate(
    db: apsw.Connection, version: int, keys: TrustedKeys, accept_revoked: frozenset[str], watch: Watch
) -> StateReport:
    log = LogTables(db)
    head = log.head()
    entries = watch(log.entries(), head[0], "verifying the log")
    found = verify_log(entries, log.checkpoints(), keys, head=head, snapshot=True, accept_revoked=accept_revoked)
    if not found.ok:
        return StateReport(problems=found.problems, log=found)
    with keep_told(db, (read_entry(stored.entry) for stored in watch(log.entries(), head[0], "reading the calls"))):
        if version == 1:
            _from_schema_1(db)
        else:
            _make_missing(db)
        make_flows(db)
    if version == 1:
        _make_tiles(db, log, head[0], watch)
    db.pragma("user_version", SCHEMA_VERSION)
    return check_migrated(db, keys, accept_revoked, watch)


def _from_schema_1(db: apsw.Connection) -> None:
    """Calls and values in tables of another form."""
    db.execute(_ASIDE)
    _make_missing(db)
    db.execute(_BACK)


def _make_tiles(db: apsw.Connection, log: LogTables, size: int, watch: Watch) -> None:
    """Schema 1 kept none."""
    edge = TileEdge()
    for stored in watch(log.entries(), size, "making the tiles"):
        for tile in edge.append(stored.leaf):
            put_tile(db, tile)


def _make_missing(db: apsw.Connection) -> None:
    """Make what this program's schema has and the file has not. Schema 2 knew neither flows nor decisions."""
    kept = {str(row[0]) for row in db.execute("SELECT name FROM sqlite_schema")}
    for statement in SCHEMA.split(";"):
        made = _OBJECT.search(statement)
        if made is not None and made[1] not in kept:
            db.execute(statement)
