"""Values that may have to be forgotten: AES-256-GCM under keys of their subject.

The keys live in their own file, `<state>/vault.db`, wrapped under the deployment's vault key, so that destroying a
subject's key makes its values unreadable everywhere, backups of the journal included. A subject's keys are numbered: what
is sealed after an erasure is sealed under the next one.

What SQLite keeps of an old page is overwritten as well: the bytes it frees (`secure_delete`), and its rollback journal,
which therefore stays beside the vault instead of being removed. What a disk keeps of overwritten blocks is the disk's.

A sealed value is the key's number (4 bytes, big-endian), a nonce (12 bytes) and the ciphertext. Bound to its context, it
cannot be moved to another place.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.core.errors import Erased, KeyFault, Overloaded, StoreFault

SCHEMA_VERSION = 2
_NUMBER_BYTES = 4
_NONCE_BYTES = 12
_HEAD_BYTES = _NUMBER_BYTES + _NONCE_BYTES
_BUSY_MS = 1000  # a backup reads the file for a moment
MAX_WAITING = 4096

T = TypeVar("T")

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


class SubjectKey:
    """The key that a subject's new values are sealed under. There is none that is not durable."""

    def __init__(self, number: int, key: AESGCM) -> None:
        self.number = number
        self._key = key

    def seal(self, data: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return self.number.to_bytes(_NUMBER_BYTES) + nonce + self._key.encrypt(nonce, data, context)


class SubjectKeys:
    """All keys of a subject, in memory. `wrapped`: by number, None once destroyed."""

    def __init__(self, subject: str, wrap: AESGCM, wrapped: Mapping[int, bytes | None]) -> None:
        self._subject = subject
        self._wrap = wrap
        self._wrapped = wrapped
        self._opened: dict[int, AESGCM] = {}

    def open(self, sealed: bytes, context: bytes) -> bytes:
        try:
            number, nonce = int.from_bytes(sealed[:_NUMBER_BYTES]), sealed[_NUMBER_BYTES:_HEAD_BYTES]
            return self._key(number).decrypt(nonce, sealed[_HEAD_BYTES:], context)
        except _CHANGED as error:
            raise KeyFault(f"a stored value of {self._subject} was changed or moved") from error

    def newest(self) -> SubjectKey | None:
        """The key to seal under; None where there is none, or all were destroyed. Raises `KeyFault`."""
        alive = self._alive()
        return SubjectKey(alive[-1], self._key(alive[-1])) if alive else None

    def unwrap(self) -> bool:
        """Unwrap all; False where one is damaged. The others open what they sealed."""
        try:
            for number in self._alive():
                self._key(number)
        except KeyFault:
            return False
        return True

    def _alive(self) -> list[int]:
        return sorted(number for number, wrapped in self._wrapped.items() if wrapped is not None)

    def _key(self, number: int) -> AESGCM:
        opened = self._opened.get(number)
        if opened is None:
            opened = self._opened[number] = AESGCM(self._unwrapped(number))
        return opened

    def _unwrapped(self, number: int) -> bytes:
        if number not in self._wrapped:
            raise KeyFault(f"the vault has no key {number} of {self._subject}")
        wrapped = self._wrapped[number]
        if wrapped is None:
            raise Erased(f"key {number} of {self._subject} was destroyed: what it sealed is erased")
        try:
            return self._wrap.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], self._subject.encode())
        except _CHANGED as error:
            raise KeyFault(f"the vault key does not open key {number} of {self._subject}") from error


class FileVault:
    """The file. Its methods wait for the disk, so no event loop calls them; one thread at a time does.

    What was read once is in memory: `sealing` and `opening` hold what another thread may take from there, and only what is
    durable. Raises `StoreFault` where the file cannot be read or written.
    """

    def __init__(self, path: Path, vault_key: bytes) -> None:
        self._path = path
        self._wrap = AESGCM(vault_key)
        self.sealing: dict[str, SubjectKey] = {}
        self.opening: dict[str, SubjectKeys] = {}
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

    def keys(self, subject: str) -> SubjectKeys:
        """What opens the subject's values. None is made."""
        keys = self.opening.get(subject)
        if keys is None:
            stored = self._stored(subject)
            keys = SubjectKeys(subject, self._wrap, stored)
            if stored and keys.unwrap():
                self.opening[subject] = keys
        return keys

    def sealing_key(self, subject: str) -> SubjectKey:
        """What seals the subject's new values, made where there is none. Raises `KeyFault` where the newest is damaged."""
        key = self.sealing.get(subject)
        if key is None:
            key = self.sealing[subject] = self.keys(subject).newest() or self._new_key(subject)
            self.keys(subject)  # what is sealed is opened soon
        return key

    def numbers(self, subject: str) -> list[int]:
        """The numbers of the subject's keys that were not destroyed, in order."""
        return [number for number, wrapped in self._stored(subject).items() if wrapped is not None]

    def knows(self, subject: str) -> bool:
        """Whether anything was ever sealed for the subject."""
        return bool(self._stored(subject))

    def destroy(self, subject: str, numbers: list[int]) -> None:
        """Overwrite these keys of the subject, durably. What is destroyed already stays so."""
        query = "UPDATE subject_keys SET wrapped = NULL WHERE subject = ? AND number = ?"
        try:
            with self._db:
                self._db.executemany(query, [(subject, number) for number in numbers])
            _overwrite_journal(self._path)
        except (apsw.Error, OSError) as error:
            raise StoreFault(f"cannot destroy keys of {subject}: {error}") from error
        finally:
            self._forget(subject)

    def _forget(self, subject: str) -> None:
        self.sealing.pop(subject, None)
        self.opening.pop(subject, None)

    def _stored(self, subject: str) -> dict[int, bytes | None]:
        query = "SELECT number, CAST(wrapped AS BLOB) FROM subject_keys WHERE subject = ? ORDER BY number"
        try:
            rows = self._db.execute(query, (subject,)).fetchall()
        except apsw.Error as error:
            raise StoreFault(f"cannot read the vault: {error}") from error
        return {number: wrapped for number, wrapped in rows if isinstance(number, int)}  # type: ignore[misc]

    def _new_key(self, subject: str) -> SubjectKey:
        raw, nonce = AESGCM.generate_key(256), os.urandom(_NONCE_BYTES)
        wrapped = nonce + self._wrap.encrypt(nonce, raw, subject.encode())
        number = max(self._stored(subject), default=-1) + 1
        try:
            self._db.execute("INSERT INTO subject_keys VALUES (?, ?, ?)", (subject, number, wrapped))
        except apsw.Error as error:
            raise StoreFault(f"cannot keep a new key in the vault: {error}") from error
        self._forget(subject)
        return SubjectKey(number, AESGCM(raw))


class VaultThread:
    """Implements `core.ports.Vault`: a vault and the one thread that works on its file, in the order of the asking.

    A key that is in memory is had at once; what waits for the disk is at most `max_waiting`. The vault is this thread's from
    now on; whoever made it closes it after `close`.
    """

    def __init__(self, vault: FileVault, *, max_waiting: int = MAX_WAITING) -> None:
        self._vault = vault
        self._max_waiting = max_waiting
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sealgate-vault")
        self._waiting = 0
        self._closed = False

    async def sealing_key(self, subject: str) -> SubjectKey:
        key = self._vault.sealing.get(subject)
        return key if key is not None else await self._done(lambda: self._vault.sealing_key(subject))

    async def keys(self, subject: str) -> SubjectKeys:
        keys = self._vault.opening.get(subject)
        return keys if keys is not None else await self._done(lambda: self._vault.keys(subject))

    async def knows(self, subject: str) -> bool:
        return await self._done(lambda: self._vault.knows(subject))

    async def numbers(self, subject: str) -> list[int]:
        return await self._done(lambda: self._vault.numbers(subject))

    async def destroy(self, subject: str, numbers: list[int]) -> None:
        await self._done(lambda: self._vault.destroy(subject, numbers))

    def close(self) -> None:
        """Wait for what was asked for, however long the disk takes, and end the thread."""
        self._closed = True
        self._thread.shutdown()

    async def _done(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreFault("the vault is closed")
        if self._waiting >= self._max_waiting:
            raise Overloaded("the vault's queue is full", hint="Try again shortly.")
        self._waiting += 1
        done = asyncio.get_running_loop().run_in_executor(self._thread, work)
        done.add_done_callback(self._one_less)
        return await asyncio.shield(done)  # a caller that leaves takes nothing out of the queue

    def _one_less(self, _: object) -> None:
        self._waiting -= 1


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
