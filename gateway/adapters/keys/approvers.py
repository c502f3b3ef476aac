"""Approvers' keys, encrypted under a passphrase, wherever an approver keeps them; `<path>.json` says whose one is."""

from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.adapters.keys.files import FileSigner, load_signing_key, make_signing_key
from gateway.core.errors import ConfigError, KeyFault


def make_approver_key(path: Path, principal: str, passphrase: bytes) -> str:
    """A new approver's key, encrypted under `passphrase`, and beside it `<path>.json` saying whose it is.

    Returns its public half as `gateway.yaml` wants it. Raises `KeyFault` where the file exists.
    """
    if not passphrase:
        raise KeyFault("an approver's key needs a passphrase")
    public = b64encode(make_signing_key(path, passphrase).public_key).decode()
    _whose(path).write_bytes(orjson.dumps({"principal": principal, "public_key": public}, option=orjson.OPT_INDENT_2))
    return public


def read_approver_name(path: Path) -> str:
    """Whose key it is: the principal in `<path>.json`. Raises `KeyFault`."""
    return str(_read_whose(path).get("principal", ""))


def read_approver_public_key(path: Path) -> str:
    """Its public half, from `<path>.json`. Raises `KeyFault`."""
    return str(_read_whose(path).get("public_key", ""))


def load_approver_key(path: Path, passphrase: bytes) -> FileSigner:
    """An approver's own key. Raises `KeyFault` where it is not protected by a passphrase, or by another one."""
    return load_signing_key(path, passphrase)


def approver_public_key(encoded: str) -> Ed25519PublicKey:
    """A public key as `gateway.yaml` gives it: base64 of 32 raw bytes. Raises `ConfigError`."""
    try:
        return Ed25519PublicKey.from_public_bytes(b64decode(encoded, validate=True))
    except ValueError as error:
        raise ConfigError(f"{encoded[:60]!r} is not a public key: base64 of 32 bytes") from error


def _whose(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_whose(path: Path) -> dict[str, Any]:
    whose = _whose(path)
    try:
        document = orjson.loads(whose.read_bytes())
    except OSError as error:
        raise KeyFault(f"cannot read {whose}: {error.strerror}", hint="sealgate keys approver makes it.") from error
    except ValueError as error:
        raise KeyFault(f"{whose} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise KeyFault(f"{whose} does not say whose key it is")
    return document
