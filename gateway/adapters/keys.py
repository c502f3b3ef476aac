"""Key files of a deployment, in `<state>/keys`, and of approvers, wherever they keep them.

The folder holds the entry key and the log key (Ed25519, PKCS#8 PEM), the commitment key and the vault key (32 random
bytes each), and `public.json`: the public halves, which an auditor is given. Private files must be readable by their
owner only. Keys made by `sealgate up` are development keys for ever: `public.json` says so and every entry repeats it.
"""

import os
import stat
from base64 import b64decode, b64encode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.core.commitment import CommitmentKey
from gateway.core.dsse import key_id
from gateway.core.errors import ConfigError, KeyFault
from gateway.core.trust import KeyPeriod, TrustedKeys, keyed

_PRIVATE_FILES = ("entry.pem", "log.pem", "commitment.key", "vault.key")


class FileSigner:
    """An Ed25519 key held in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = key.public_key().public_bytes_raw()
        self.keyid = key_id(self.public_key)

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A deployment's keys. `dev`: made by `sealgate up`, proves nothing."""

    entry: FileSigner
    log: FileSigner
    commitment: CommitmentKey
    vault_key: bytes
    origin: str
    dev: bool

    def trusted(self) -> TrustedKeys:
        """The public halves, to verify this deployment's own log with."""
        entry = KeyPeriod(Ed25519PublicKey.from_public_bytes(self.entry.public_key))
        log = KeyPeriod(Ed25519PublicKey.from_public_bytes(self.log.public_key))
        return TrustedKeys(keyed(entry), keyed(log), self.origin)


def make_keys(folder: Path, *, origin: str, dev: bool) -> None:
    """Make a deployment's keys. Raises `KeyFault` where there are some already: keys are never overwritten."""
    if folder.exists() and any((folder / name).exists() for name in (*_PRIVATE_FILES, "public.json")):
        raise KeyFault(f"{folder} already holds keys", hint="Use them, or name another state folder.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    entry, log = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    for name, key in (("entry.pem", entry), ("log.pem", log)):
        _write_private(folder / name, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for name in ("commitment.key", "vault.key"):
        _write_private(folder / name, os.urandom(32))
    public = {
        "origin": origin,
        "dev": dev,
        "entry_keys": {FileSigner(entry).keyid: b64encode(entry.public_key().public_bytes_raw()).decode()},
        "log_key": b64encode(log.public_key().public_bytes_raw()).decode(),
    }
    (folder / "public.json").write_bytes(orjson.dumps(public, option=orjson.OPT_INDENT_2) + b"\n")


def load_keys(folder: Path) -> KeyRing:
    """The keys in `folder`. Raises `KeyFault` where one is missing, too widely readable or not its public half's."""
    public = _read_public(folder / "public.json")
    ring = KeyRing(
        entry=FileSigner(_private_key(folder / "entry.pem", None)),
        log=FileSigner(_private_key(folder / "log.pem", None)),
        commitment=CommitmentKey(_secret(folder / "commitment.key")),
        vault_key=_secret(folder / "vault.key"),
        origin=public["origin"],
        dev=public["dev"],
    )
    trusted = load_trusted_keys(folder / "public.json")
    if ring.entry.keyid not in trusted.entry_keys or ring.log.keyid not in trusted.log_keys:
        raise KeyFault(f"{folder}/public.json does not belong to the private keys beside it")
    return ring


def check_purpose(keys: KeyRing, *, dev: bool) -> None:
    """Refuse development keys for real use, and the other way round. Raises `KeyFault`."""
    if keys.dev and not dev:
        raise KeyFault(
            "these are development keys, and serve does not take them",
            hint="Name another `state` folder and make keys for it: sealgate keys new.",
            code="keys.development",
        )
    if dev and not keys.dev:
        raise KeyFault(
            "these keys are not development keys, and up makes development entries only",
            hint="Use sealgate serve, or another `state` folder.",
            code="keys.production",
        )


def load_trusted_keys(path: Path) -> TrustedKeys:
    """What an auditor trusts, from `public.json`. Raises `KeyFault`."""
    public = _read_public(path)
    try:
        keys = {name: Ed25519PublicKey.from_public_bytes(b64decode(raw)) for name, raw in public["entry_keys"].items()}
        if any(key_id(key.public_bytes_raw()) != name for name, key in keys.items()):
            raise ValueError("a key id is not that of its key")
        log = KeyPeriod(Ed25519PublicKey.from_public_bytes(b64decode(public["log_key"])))
        return TrustedKeys(keyed(*map(KeyPeriod, keys.values())), keyed(log), public["origin"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KeyFault(f"{path} is not a public key file: {error}") from error


def make_approver_key(path: Path, principal: str, passphrase: bytes) -> str:
    """A new approver's key, encrypted under `passphrase`, and beside it `<path>.json` saying whose it is.

    Returns its public half as `gateway.yaml` wants it. Raises `KeyFault` where the file exists.
    """
    if not passphrase:
        raise KeyFault("an approver's key needs a passphrase")
    key = Ed25519PrivateKey.generate()
    _write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase)))
    public = b64encode(key.public_key().public_bytes_raw()).decode()
    _whose(path).write_bytes(orjson.dumps({"principal": principal, "public_key": public}, option=orjson.OPT_INDENT_2))
    return public


def read_approver_name(path: Path) -> str:
    """Whose key it is: the principal in `<path>.json`. Raises `KeyFault`."""
    return str(_read_public(_whose(path)).get("principal", ""))


def read_approver_public_key(path: Path) -> str:
    """Its public half, from `<path>.json`. Raises `KeyFault`."""
    return str(_read_public(_whose(path)).get("public_key", ""))


def load_approver_key(path: Path, passphrase: bytes) -> FileSigner:
    """An approver's own key. Raises `KeyFault` where it is not protected by a passphrase, or by another one."""
    return FileSigner(_private_key(path, passphrase))


def make_signing_key(path: Path) -> FileSigner:
    """A new key without a passphrase, for a program that signs by itself. Raises `KeyFault` where the file exists."""
    key = Ed25519PrivateKey.generate()
    _write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return FileSigner(key)


def load_signing_key(path: Path) -> FileSigner:
    """The inverse. Raises `KeyFault`."""
    return FileSigner(_private_key(path, None))


def approver_public_key(encoded: str) -> Ed25519PublicKey:
    """A public key as `gateway.yaml` gives it: base64 of 32 raw bytes. Raises `ConfigError`."""
    try:
        return Ed25519PublicKey.from_public_bytes(b64decode(encoded, validate=True))
    except ValueError as error:
        raise ConfigError(f"{encoded[:60]!r} is not a public key: base64 of 32 bytes") from error


def write_private_text(path: Path, text: str) -> None:
    """A secret only its owner may read, such as a token. Raises `KeyFault` where the file exists."""
    _write_private(path, text.encode())


def read_private_text(path: Path) -> str:
    """The inverse. Raises `KeyFault` where others may read it, or it holds no text."""
    try:
        return _private_bytes(path).decode().strip()
    except UnicodeDecodeError as error:
        raise KeyFault(f"{path} does not hold text") from error


def _whose(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _write_private(path: Path, data: bytes) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise KeyFault(f"{path} exists; keys and tokens are never overwritten") from error
    except OSError as error:
        raise KeyFault(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _private_bytes(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise KeyFault(f"{path} can be read by others", hint=f"chmod 600 {path}")
        return path.read_bytes()
    except OSError as error:
        raise KeyFault(f"cannot read {path}: {error.strerror}") from error


def _secret(path: Path) -> bytes:
    data = _private_bytes(path)
    if len(data) != 32:
        raise KeyFault(f"{path} does not hold 32 bytes")
    return data


def _private_key(path: Path, passphrase: bytes | None) -> Ed25519PrivateKey:
    data = _private_bytes(path)
    try:
        key = load_pem_private_key(data, passphrase)
    except TypeError as error:  # encrypted without a passphrase given, or the other way round
        protected = "is protected by a passphrase" if passphrase is None else "is not protected by a passphrase"
        raise KeyFault(f"{path} {protected}") from error
    except ValueError as error:
        raise KeyFault(f"{path} cannot be opened: wrong passphrase, or not a PEM key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFault(f"{path} is not an Ed25519 key")
    return key


def _read_public(path: Path) -> dict[str, Any]:
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise KeyFault(f"no keys at {path.parent}: {error.strerror}", hint="sealgate keys new makes them.") from error
    except ValueError as error:
        raise KeyFault(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise KeyFault(f"{path} is not a public key file")
    return document
