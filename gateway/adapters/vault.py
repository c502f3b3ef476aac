"""Values that may have to be forgotten: AES-256-GCM under keys of their subject.

The keys live in their own file, `<state>/vault.db`, wrapped under the deployment's vault key, so that destroying a
subject's key makes its values unreadable everywhere, backups of the journal included. A subject's keys are numbered: what
is sealed after an erasure is sealed under the next one.

What SQLite keeps of an old page is overwritten as well: the bytes it frees (`secure_delete`), and its rollback journal,
which therefore stays beside the vault instead of being removed. What a disk keeps of overwritten blocks is the disk's.

A sealed value is the key's number (4 bytes, big-endian), a nonce (12 bytes) and the ciphertext. Bound to its context, it
cannot be moved to another place.
"""

import os
from pathlib import Path

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.core.errors import Erased, KeyFault, StoreFault

SCHEMA_VERSION = 2
_NUMBER_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = _NUMBER_BYTES + _NONCE_BYTES
_BUSY_MS = 1000  # a backup reads the file for a moment

# `wrapped` is NULL once the key is destroyed: the row stays, so that its number is never used again.
_SCHEMA = """
CREATE TABLE subject_keys (
    subject TEXT NOT NULL, number INTEGER NOT NULL, wrapped BLOB, PRIMARY KEY (subject, number)) WITHOUT ROWID;
"""
# Schema 1 had one key for each subject, without a number: it becomes number 0.
_ASIDE = "ALTER TABLE subject_keys RENAME TO subject_keys_1;"
_BACK = "INSERT INTO subject_keys SELECT subject, 0, wrapped FROM subject_keys_1; DROP TABLE subject_keys_1;"

_CHANGED = (InvalidTag, ValueError, TypeError)
"""What decrypting raises for bytes that it did not make: also for too few, and for what is no bytes."""


class FileVault:
    """One per process; owned by the event loop's thread. A subject's key is durable before anything is sealed with it."""

    def __init__(self, path: Path, vault_key: bytes) -> None:
        self._path = path
        self._wrap = AESGCM(vault_key)
        self._opened: dict[tuple[str, int], AESGCM] = {}
        self._newest: dict[str, int] = {}
        try:
            self._db = _connected(path)
            with self._db:
                if not self._db.execute("SELECT count(*) FROM sqlite_schema").get:
                    self._db.execute(_SCHEMA)
                    self._db.pragma("user_version", SCHEMA_VERSION)
            version = self._db.pragma("user_version")
        except (apsw.Error, OSError) as error:
            raise StoreFault(f"cannot open the vault {path}: {error}") from error
        if version != SCHEMA_VERSION:
            self._db.close()
            older = version < SCHEMA_VERSION
            raise StoreFault(
                f"{path} has schema version {version or 1}; this program knows {SCHEMA_VERSION}",
                hint="sealgate state migrate" if older else "Use the version of Sealgate that made it, or a newer one.",
                code="store.schema_old" if older else "store.schema_new",
            )

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def seal(self, subject: str, data: bytes, context: bytes) -> bytes:
        number = self._newest_number(subject)
        key, nonce = self._key(subject, number), os.urandom(_NONCE_BYTES)
        return number.to_bytes(_NUMBER_BYTES) + nonce + key.encrypt(nonce, data, context)

    def open(self, subject: str, sealed: bytes, context: bytes) -> bytes:
        try:
            number, nonce = int.from_bytes(sealed[:_NUMBER_BYTES]), sealed[_NUMBER_BYTES:_HEAD_BYTES]
            return self._key(subject, number).decrypt(nonce, sealed[_HEAD_BYTES:], context)
        except _CHANGED as error:
            raise KeyFault(f"a stored value of {subject} was changed or moved") from error

    def numbers(self, subject: str) -> list[int]:
        """The numbers of the subject's keys that were not destroyed, in order. Raises `StoreFault`."""
        return self._numbers("SELECT number FROM subject_keys WHERE subject = ? AND wrapped IS NOT NULL ORDER BY 1", subject)

    def knows(self, subject: str) -> bool:
        """Whether anything was ever sealed for the subject. Raises `StoreFault`."""
        return bool(self._numbers("SELECT number FROM subject_keys WHERE subject = ? LIMIT 1", subject))

    def destroy(self, subject: str, numbers: list[int]) -> None:
        """Overwrite these keys of the subject, durably. What is destroyed already stays so. Raises `StoreFault`."""
        query = "UPDATE subject_keys SET wrapped = NULL WHERE subject = ? AND number = ?"
        try:
            with self._db:
                self._db.executemany(query, [(subject, number) for number in numbers])
            _overwrite_journal(self._path)
        except (apsw.Error, OSError) as error:
            raise StoreFault(f"cannot destroy keys of {subject}: {error}") from error
        self._newest.pop(subject, None)
        for number in numbers:
            self._opened.pop((subject, number), None)

    def _numbers(self, query: str, subject: str) -> list[int]:
        try:
            rows = self._db.execute(query, (subject,)).fetchall()
        except apsw.Error as error:
            raise StoreFault(f"cannot read the vault: {error}") from error
        return [number for (number,) in rows if isinstance(number, int)]

    def _newest_number(self, subject: str) -> int:
        """The key that new values are sealed under, made where there is none."""
        number = self._newest.get(subject)
        if number is None:
            alive = self.numbers(subject)
            number = self._newest[subject] = alive[-1] if alive else self._new_key(subject)
        return number

    def _key(self, subject: str, number: int) -> AESGCM:
        opened = self._opened.get((subject, number))
        if opened is None:
            opened = self._opened[subject, number] = AESGCM(self._unwrapped(subject, number))
        return opened

    def _unwrapped(self, subject: str, number: int) -> bytes:
        query = "SELECT CAST(wrapped AS BLOB) FROM subject_keys WHERE subject = ? AND number = ?"
        try:
            row = self._db.execute(query, (subject, number)).fetchone()
        except apsw.Error as error:
            raise StoreFault(f"cannot read the vault: {error}") from error
        if row is None:
            raise KeyFault(f"the vault has no key {number} of {subject}")
        wrapped: bytes | None = row[0]
        if wrapped is None:
            raise Erased(f"key {number} of {subject} was destroyed: what it sealed is erased")
        try:
            return self._wrap.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], subject.encode())
        except _CHANGED as error:
            raise KeyFault(f"the vault key does not open key {number} of {subject}") from error

    def _new_key(self, subject: str) -> int:
        raw, nonce = AESGCM.generate_key(256), os.urandom(_NONCE_BYTES)
        wrapped = nonce + self._wrap.encrypt(nonce, raw, subject.encode())
        try:
            used = self._numbers("SELECT number FROM subject_keys WHERE subject = ? ORDER BY 1", subject)
            number = used[-1] + 1 if used else 0
            self._db.execute("INSERT INTO subject_keys VALUES (?, ?, ?)", (subject, number, wrapped))
        except apsw.Error as error:
            raise StoreFault(f"cannot keep a new key in the vault: {error}") from error
        self._opened[subject, number] = AESGCM(raw)
        return number


def migrate_vault(path: Path) -> bool:
    """Bring a vault of schema 1 up to date in one transaction; False where there is none of that schema.

    What such a vault sealed gets four zero bytes in front, the number of its key: that is for who keeps the values to do.

    Raises:
        StoreFault: it cannot be written; it stays as it was.
    """
    if not path.exists():
        return False
    try:
        db = _connected(path)
        try:
            with db:
                is_old = bool(db.execute("SELECT count(*) FROM sqlite_schema").get) and not db.pragma("user_version")
                if is_old:
                    db.execute(_ASIDE + _SCHEMA + _BACK)
                    db.pragma("user_version", SCHEMA_VERSION)
            _overwrite_journal(path)
        finally:
            db.close()
    except (apsw.Error, OSError) as error:
        raise StoreFault(f"cannot bring the vault {path} up to date: {error}") from error
    return is_old


def _connected(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path))
    path.chmod(0o600)
    db.set_busy_timeout(5000)  # a backup reads it beside the daemon
    db.pragma("journal_mode", "persist")
    db.pragma("synchronous", "extra")
    db.pragma("secure_delete", True)
    db.set_busy_timeout(_BUSY_MS)
    return db


def _overwrite_journal(path: Path) -> None:
    """Between transactions only. A rollback journal of zeros is none (SQLite file format, section 3)."""
    journal = Path(f"{path}-journal")
    if not journal.exists():
        return
    with journal.open("r+b") as file:
        file.write(bytes(journal.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
