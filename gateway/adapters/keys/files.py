"""Files that hold one secret. Only their owner may read them, they are never overwritten, and they are on disk when made."""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.core.dsse import key_id
from gateway.core.errors import KeyFault


class FileSigner:
    """An Ed25519 key held in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()
        self.keyid = key_id(self.public_key)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def public(self) -> Ed25519PublicKey:
        """The key to verify with."""
        return self._key.public_key()


def make_signing_key(path: Path, passphrase: bytes | None = None) -> FileSigner:
    """A new Ed25519 key, PKCS#8 PEM. Without a passphrase a program can sign by itself. Raises `KeyFault` if it exists."""
    key = Ed25519PrivateKey.generate()
    protection: KeySerializationEncryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
    return FileSigner(key)


def load_signing_key(path: Path, passphrase: bytes | None = None) -> FileSigner:
    """The inverse. Raises `KeyFault`, also where it is not protected by a passphrase and one was given."""
    data = private_bytes(path)
    try:
        key = load_pem_private_key(data, passphrase)
    except TypeError as error:  # encrypted without a passphrase given, or the other way round
        protected = "is protected by a passphrase" if passphrase is None else "is not protected by a passphrase"
        raise KeyFault(f"{path} {protected}") from error
    except ValueError as error:
        raise KeyFault(f"{path} cannot be opened: wrong passphrase, or not a PEM key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFault(f"{path} is not an Ed25519 key")
    return FileSigner(key)


def write_private(path: Path, data: bytes) -> None:
    """A new file with mode 0600, on disk when this returns. Raises `KeyFault` where it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise KeyFault(f"{path} exists; keys and tokens are never overwritten") from error
    except OSError as error:
        raise KeyFault(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    except OSError as error:
        raise KeyFault(f"cannot write {path}: {error.strerror}") from error


def private_bytes(path: Path) -> bytes:
    """What a private file holds. Raises `KeyFault` where others may read it."""
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFault(f"{path} can be read by others", hint=f"chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise KeyFault(f"cannot read {path}: {error.strerror}") from error


def write_private_text(path: Path, text: str) -> None:
    """A secret only its owner may read, such as a token. Raises `KeyFault` where the file exists."""
    write_private(path, text.encode())


def read_private_text(path: Path) -> str:
    """The inverse. Raises `KeyFault` where others may read it, or it holds no text."""
    try:
        return private_bytes(path).decode().strip()
    except UnicodeDecodeError as error:
        raise KeyFault(f"{path} does not hold text") from error


def sync_folder(folder: Path) -> None:
    """Make renames, new and removed files in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
