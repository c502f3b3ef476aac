"""Values that may have to be forgotten: AES-256-GCM under one key per subject.

The keys live in their own file, `<state>/vault.db`, wrapped under the deployment's vault key, so that destroying a
subject's key makes its values unreadable everywhere, backups of the journal included. Bound to its context, a value
cannot be moved to another place.
"""

import os
from pathlib import Path

import apsw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.core.errors import KeyFault, StoreFault

_NONCE_BYTES = 12
_SELECT_KEY = "SELECT CAST(wrapped AS BLOB) FROM subject_keys WHERE subject = ?"
_CHANGED = (InvalidTag, ValueError, TypeError)
"""What decrypting raises for bytes that it did not make: also for too few, and for what is no bytes."""


class FileVault:
    """One per process; owned by the event loop's thread. A subject's key is durable before anything is sealed with it."""

    def __init__(self, path: Path, vault_key: bytes) -> None:
        self._wrap = AESGCM(vault_key)
        self._known: dict[str, AESGCM] = {}
        try:
            self._db = apsw.Connection(str(path))
            path.chmod(0o600)
            self._db.pragma("journal_mode", "delete")
            self._db.pragma("synchronous", "extra")
            self._db.pragma("secure_delete", True)
            self._db.execute("CREATE TABLE IF NOT EXISTS subject_keys (subject TEXT PRIMARY KEY, wrapped BLOB NOT NULL)")
        except (apsw.Error, OSError) as error:
            raise StoreFault(f"cannot open the vault {path}: {error}") from error

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    def seal(self, subject: str, data: bytes, context: bytes) -> bytes:
        key = self._key(subject) or self._new_key(subject)
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + key.encrypt(nonce, data, context)

    def open(self, subject: str, sealed: bytes, context: bytes) -> bytes:
        key = self._key(subject)
        if key is None:
            raise KeyFault(f"the key of {subject} was destroyed: its values are erased")
        try:
            return key.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], context)
        except _CHANGED as error:
            raise KeyFault(f"a stored value of {subject} was changed or moved") from error

    def _key(self, subject: str) -> AESGCM | None:
        known = self._known.get(subject)
        if known is None:
            try:
                row = self._db.execute(_SELECT_KEY, (subject,)).fetchone()
            except apsw.Error as error:
                raise StoreFault(f"cannot read the vault: {error}") from error
            if row is None:
                return None
            wrapped: bytes = row[0]
            try:
                raw = self._wrap.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], subject.encode())
            except _CHANGED as error:
                raise KeyFault(f"the vault key does not open the key of {subject}") from error
            known = self._known[subject] = AESGCM(raw)
        return known

    def _new_key(self, subject: str) -> AESGCM:
        raw, nonce = AESGCM.generate_key(256), os.urandom(_NONCE_BYTES)
        wrapped = nonce + self._wrap.encrypt(nonce, raw, subject.encode())
        try:
            self._db.execute("INSERT INTO subject_keys VALUES (?, ?)", (subject, wrapped))
        except apsw.Error as error:
            raise StoreFault(f"cannot keep a new key in the vault: {error}") from error
        key = self._known[subject] = AESGCM(raw)
        return key
