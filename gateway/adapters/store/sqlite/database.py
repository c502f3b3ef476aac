"""The file, its tables and how it may be opened.

WAL with `synchronous=FULL`: a committed transaction survives a power cut. SQLite before 3.51.3 can corrupt a WAL
database that several connections write or checkpoint, so an older library is refused.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from gateway.core.errors import StoreFault

SCHEMA_VERSION = 3
_OLDEST_SQLITE = 3_051_003

SCHEMA = """
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
    principal_chain TEXT NOT NULL, fence INTEGER NOT NULL, updated_at TEXT NOT NULL, compensated_by TEXT,
    reason TEXT) WITHOUT ROWID;
CREATE INDEX calls_started ON calls (state) WHERE state = 'started';
CREATE INDEX calls_in_doubt ON calls (state) WHERE state = 'in_doubt';
CREATE INDEX calls_envelope ON calls (envelope_id);
CREATE INDEX calls_compensated ON calls (compensated_by) WHERE compensated_by IS NOT NULL;
CREATE TABLE approvals (
    approval_id TEXT PRIMARY KEY, reservation TEXT NOT NULL, state TEXT NOT NULL, expires_at TEXT NOT NULL,
    request TEXT NOT NULL, answer TEXT) WITHOUT ROWID;
CREATE INDEX approvals_pending ON approvals (expires_at) WHERE state = 'pending';
CREATE TABLE evidence (
    envelope_id TEXT PRIMARY KEY, subject TEXT NOT NULL, arguments BLOB NOT NULL, result BLOB) WITHOUT ROWID;
CREATE TABLE flows (
    scope TEXT PRIMARY KEY, subject TEXT NOT NULL, tainted_at TEXT, effects INTEGER NOT NULL, intent TEXT,
    updated_at TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE decisions (
    envelope_id TEXT PRIMARY KEY, subject TEXT NOT NULL, input BLOB NOT NULL) WITHOUT ROWID;
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
                db.execute(SCHEMA)
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


def open_journal_reader(path: Path) -> apsw.Connection:
    """`open_for_reading` for the journal, whose callers know no SQLite: what it cannot read later is a `StoreFault` too."""
    db = open_for_reading(path)
    db.cursor_factory = _JournalCursor
    return db


class _JournalCursor(apsw.Cursor):
    def execute(self, *arguments: Any, **named: Any) -> apsw.Cursor:
        with _read_faults():
            return super().execute(*arguments, **named)

    def __next__(self) -> Any:
        with _read_faults():
            return super().__next__()

    def fetchone(self) -> Any:
        with _read_faults():
            return super().fetchone()

    @property
    def get(self) -> Any:
        with _read_faults():
            return super().get


@contextmanager
def _read_faults() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise StoreFault(f"the journal cannot be read: {error}") from error


def check_library() -> None:
    """Refuse a SQLite with the WAL-reset bug. Raises `StoreFault`."""
    if apsw.SQLITE_VERSION_NUMBER < _OLDEST_SQLITE:
        raise StoreFault(f"SQLite {apsw.sqlite_lib_version()} may corrupt the journal; 3.51.3 or later is needed")


def schema_problems(db: apsw.Connection) -> list[str]:
    """Each table, index, view and trigger that is not as this program makes it. A trigger could undo what is written."""
    with closing(apsw.Connection(":memory:")) as fresh:
        fresh.execute(SCHEMA)
        wanted, found = _objects(fresh), _objects(db)
    problems = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    problems += [f"{name} is none of ours" for name in found.keys() - wanted.keys()]
    problems += [f"{name} was made otherwise" for name in wanted.keys() & found.keys() if wanted[name] != found[name]]
    return sorted(problems)


def _objects(db: apsw.Connection) -> dict[str, str]:
    """What makes each object, by kind and name. Without the indices that SQLite makes by itself."""
    rows = db.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
    return {f"the {kind} {name}": " ".join(str(sql).split()) for kind, name, sql in rows}


def _check_version(db: apsw.Connection, path: Path) -> None:
    version = db.pragma("user_version")
    if version < SCHEMA_VERSION:
        raise StoreFault(
            f"{path} has schema version {version}, and this program works on {SCHEMA_VERSION}",
            hint="sealgate state migrate",
            code="store.schema_old",
        )
    if version > SCHEMA_VERSION:
        raise StoreFault(
            f"{path} has schema version {version}, a newer Sealgate's; this program knows {SCHEMA_VERSION}",
            hint="Use that version of Sealgate, or a newer one.",
            code="store.schema_new",
        )
