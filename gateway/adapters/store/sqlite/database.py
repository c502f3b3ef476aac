"""The file, its tables and how it may be opened.

WAL with `synchronous=FULL`: a committed transaction survives a power cut. SQLite before 3.51.3 can corrupt a WAL
database that several connections write or checkpoint, so an older library is refused.
"""

from pathlib import Path

import apsw

from gateway.core.errors import StoreFault

SCHEMA_VERSION = 2
_OLDEST_SQLITE = 3_051_003

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE entries (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, leaf BLOB NOT NULL);
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, frontier BLOB NOT NULL, root BLOB NOT NULL);
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
CREATE TABLE tiles (
    level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)) WITHOUT ROWID;
CREATE TABLE anchors (
    size INTEGER NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, at TEXT NOT NULL, proof BLOB NOT NULL,
    PRIMARY KEY (size, kind, who)) WITHOUT ROWID;
CREATE TABLE calls (
    reservation TEXT PRIMARY KEY, state TEXT NOT NULL, envelope_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
    call_digest TEXT NOT NULL, capability_id TEXT NOT NULL, subject TEXT NOT NULL, approval_id TEXT,
    owner TEXT NOT NULL, fence INTEGER NOT NULL, updated_at TEXT NOT NULL, compensated_by TEXT) WITHOUT ROWID;
CREATE INDEX calls_started ON calls (state) WHERE state = 'started';
CREATE INDEX calls_in_doubt ON calls (state) WHERE state = 'in_doubt';
CREATE INDEX calls_envelope ON calls (envelope_id);
CREATE TABLE approvals (
    approval_id TEXT PRIMARY KEY, reservation TEXT NOT NULL, state TEXT NOT NULL, expires_at TEXT NOT NULL,
    request TEXT NOT NULL, answer TEXT) WITHOUT ROWID;
CREATE INDEX approvals_pending ON approvals (expires_at) WHERE state = 'pending';
CREATE TABLE evidence (
    envelope_id TEXT PRIMARY KEY, subject TEXT NOT NULL, arguments BLOB NOT NULL, result BLOB) WITHOUT ROWID;
"""


def open_for_writing(path: Path, origin: str) -> apsw.Connection:
    """The one writing connection; makes the file on first use. Raises `StoreFault`."""
    check_library()
    try:
        db = apsw.Connection(str(path))
        path.chmod(0o600)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")
        db.set_busy_timeout(5000)
        with db:
            if not db.pragma("user_version"):
                db.execute(_SCHEMA)
                db.execute("INSERT INTO meta VALUES ('origin', ?)", (origin,))
                db.pragma("user_version", SCHEMA_VERSION)
        _check_version(db, path)
        known = db.execute("SELECT value FROM meta WHERE key = 'origin'").get
    except (apsw.Error, OSError) as error:
        raise StoreFault(f"cannot open the journal {path}: {error}") from error
    if known != origin:
        raise StoreFault(f"{path} is the log {known!r}, not {origin!r}", hint="Set log.origin back, or use another state.")
    return db


def open_for_reading(path: Path) -> apsw.Connection:
    """A connection that cannot write. Raises `StoreFault`."""
    check_library()
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        db.set_busy_timeout(5000)
        _check_version(db, path)
    except (apsw.Error, OSError) as error:
        raise StoreFault(f"cannot read the journal {path}: {error}") from error
    return db


def check_library() -> None:
    """Refuse a SQLite with the WAL-reset bug. Raises `StoreFault`."""
    if apsw.SQLITE_VERSION_NUMBER < _OLDEST_SQLITE:
        raise StoreFault(f"SQLite {apsw.sqlite_lib_version()} may corrupt the journal; 3.51.3 or later is needed")


def _check_version(db: apsw.Connection, path: Path) -> None:
    version = db.pragma("user_version")
    if version != SCHEMA_VERSION:
        raise StoreFault(f"{path} has schema version {version}; this program knows {SCHEMA_VERSION}")
