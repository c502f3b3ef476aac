"""A state folder as release 0.1 left it: its tables, its entries without `reservation`, its vault, its public.json."""

from base64 import b64encode
from pathlib import Path

import apsw
import orjson

from gateway.adapters.keys import KeyRing, load_keys
from gateway.core.checkpoint import Checkpoint, sign_checkpoint
from gateway.core.entry import Record, open_entry, seal_entry
from gateway.core.merkle import Frontier

# gateway/adapters/store/sqlite/database.py of release 0.1.
JOURNAL = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE entries (idx INTEGER PRIMARY KEY, entry BLOB NOT NULL, leaf BLOB NOT NULL);
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, frontier BLOB NOT NULL, root BLOB NOT NULL);
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL);
CREATE TABLE calls (
    reservation TEXT PRIMARY KEY, state TEXT NOT NULL, envelope_id TEXT NOT NULL, fingerprint TEXT NOT NULL,
    call_digest TEXT NOT NULL, capability_id TEXT NOT NULL, subject TEXT NOT NULL, approval_id TEXT,
    owner TEXT NOT NULL, fence INTEGER NOT NULL, updated_at TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX calls_started ON calls (state) WHERE state = 'started';
CREATE TABLE approvals (
    approval_id TEXT PRIMARY KEY, reservation TEXT NOT NULL, state TEXT NOT NULL, expires_at TEXT NOT NULL,
    request TEXT NOT NULL, answer TEXT) WITHOUT ROWID;
CREATE INDEX approvals_pending ON approvals (expires_at) WHERE state = 'pending';
CREATE TABLE evidence (
    envelope_id TEXT PRIMARY KEY, subject TEXT NOT NULL, arguments BLOB NOT NULL, result BLOB) WITHOUT ROWID;
"""
VAULT = "CREATE TABLE subject_keys (subject TEXT PRIMARY KEY, wrapped BLOB NOT NULL);"

_OWN = {"dev", "id", "index", "kind", "recorded_at"}


def make_schema_1(state: Path, *, as_signed: bool = False) -> None:
    """Turn a closed state folder of today into one of release 0.1, its log signed anew where entries change.

    Args:
        as_signed: only the tables are of release 0.1; log and `public.json` stay as they are
    """
    keys = load_keys(state / "keys")
    _journal(state / "journal.db", None if as_signed else keys)
    _vault(state / "vault.db")
    if as_signed:
        return
    public = {
        "origin": keys.origin,
        "dev": keys.dev,
        "entry_keys": {keys.entry.keyid: b64encode(keys.entry.public_key).decode()},
        "log_key": b64encode(keys.log.public_key).decode(),
    }
    (state / "keys" / "public.json").write_bytes(orjson.dumps(public))


def _journal(path: Path, keys: KeyRing | None) -> None:
    today = path.with_name("today.db")
    path.rename(today)
    for name in ("journal.db-wal", "journal.db-shm"):
        path.with_name(name).unlink(missing_ok=True)
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.execute(JOURNAL)
    db.execute("ATTACH ? AS today", (str(today),))
    with db:
        db.execute("INSERT INTO meta SELECT * FROM today.meta")
        if keys is None:
            for table in ("entries", "head", "checkpoints"):
                db.execute(f"INSERT INTO {table} SELECT * FROM today.{table}")  # noqa: S608
        else:
            _log(db, keys)
        db.execute(
            "INSERT INTO calls SELECT reservation, state, envelope_id, fingerprint, call_digest, capability_id, subject,"
            " approval_id, 'boot-1', fence, updated_at FROM today.calls"
        )
        db.execute("INSERT INTO approvals SELECT * FROM today.approvals")
        db.execute(
            "INSERT INTO evidence SELECT envelope_id, subject, substr(arguments, 5), substr(result, 5) FROM today.evidence"
        )
        db.pragma("user_version", 1)
    db.execute("DETACH today")
    db.close()
    today.unlink()


def _log(db: apsw.Connection, keys: KeyRing) -> None:
    sizes = {size for (size,) in db.execute("SELECT size FROM today.checkpoints")}
    frontier = Frontier()
    for row in db.execute("SELECT entry FROM today.entries ORDER BY idx").fetchall():
        assert isinstance(row[0], bytes)
        said = open_entry(row[0], keys.trusted().by_id())
        body = {name: value for name, value in said.predicate.items() if name not in _OWN}
        if body.get("idempotency"):
            body["idempotency"] = {key: value for key, value in body["idempotency"].items() if key != "reservation"}
        record = Record(said.kind, said.id, said.predicate["recorded_at"], body)
        sealed = seal_entry(record, said.index, keys.entry, dev=keys.dev)
        db.execute("INSERT INTO entries VALUES (?, ?, ?)", (sealed.index, sealed.data, sealed.leaf))
        frontier.append(sealed.leaf)
        if frontier.size in sizes:
            note = sign_checkpoint(Checkpoint(keys.origin, frontier.size, frontier.root()), keys.log)
            db.execute("INSERT INTO checkpoints VALUES (?, ?)", (frontier.size, note))
    db.execute("INSERT INTO head VALUES (1, ?, ?, ?)", (frontier.size, frontier.to_bytes(), frontier.root()))


def _vault(path: Path) -> None:
    db = apsw.Connection(str(path))
    keys = db.execute("SELECT subject, number, wrapped FROM subject_keys").fetchall()
    assert all(number == 0 for _, number, _ in keys)
    db.close()
    for name in ("vault.db", "vault.db-journal"):
        path.with_name(name).unlink(missing_ok=True)
    db = apsw.Connection(str(path))
    db.execute(VAULT)
    db.executemany("INSERT INTO subject_keys VALUES (?, ?)", [(subject, wrapped) for subject, _, wrapped in keys])
    db.close()
