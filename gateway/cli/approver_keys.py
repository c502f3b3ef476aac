"""Which key an approver signs with: a key file with a passphrase, an SSH key, or the development key."""

from collections.abc import Callable
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.daemon import DaemonClient
from gateway.adapters.keys import load_approver_key, read_approver_name, read_private_text
from gateway.adapters.keys.ssh import read_ssh_public_key, ssh_sign
from gateway.cli.target import Here, Target
from gateway.core.answer import PAYLOAD_TYPE, ssh_envelope
from gateway.core.dsse import envelop
from gateway.core.errors import ConfigError, GatewayError, KeyFault


@dataclass(frozen=True, slots=True)
class KeyChoice:
    """What was said on the command line."""

    key: Path | None
    passphrase_file: Path | None
    ssh_key: Path | None

    def check(self, target: Target) -> None:
        """Raises `GatewayError` where it names no key, or two."""
        if self.key is not None and self.ssh_key is not None:
            raise ConfigError("--key and --ssh-key name two keys", hint="An answer has one signature: name one of them.")
        if self.key is None and self.ssh_key is None and _dev_key(target) is None:
            raise _none_named()

    def hand(self, client: DaemonClient, target: Target) -> "Hand":
        """Who signs, and with what. Raises `GatewayError`."""
        if self.ssh_key is not None:
            return _ssh(self.ssh_key, client)
        if self.key is not None:
            return _file(self.key, self.passphrase_file)
        dev_key = _dev_key(target)
        if dev_key is None:
            raise _none_named()
        return _file(dev_key, self.passphrase_file or dev_key.with_suffix(".pass"))


@dataclass(frozen=True, slots=True)
class Hand:
    """Signs in the name of `approver`: `sign` makes the envelope of a payload."""

    approver: str
    sign: Callable[[bytes], dict[str, Any]]


def _dev_key(target: Target) -> Path | None:
    """The development key in the state folder of a gateway of this machine."""
    path = target.state.dev / "approver.pem" if isinstance(target, Here) else None
    return path if path is not None and path.exists() else None


def _none_named() -> GatewayError:
    return GatewayError(
        "no approver key was named", hint="Use --ssh-key, or --key; sealgate keys approver makes a key file."
    )


def _file(path: Path, passphrase_file: Path | None) -> Hand:
    if passphrase_file is not None:
        passphrase = read_private_text(passphrase_file).encode()
    else:
        passphrase = getpass(f"Passphrase of {path}: ").encode()
    signer = load_approver_key(path, passphrase)
    return Hand(read_approver_name(path), lambda payload: orjson.loads(envelop(PAYLOAD_TYPE, payload, signer)[0]))


def _ssh(path: Path, client: DaemonClient) -> Hand:
    """Whose SSH key it is, the gateway's configuration says; the signature covers that name."""
    keyid = read_ssh_public_key(path).fingerprint
    known = {one["keyid"]: str(one["principal"]) for one in client.get("/api/v1/approvers")["approvers"]}
    if keyid not in known:
        raise KeyFault(
            f"the gateway knows no approver with the key {keyid}",
            hint="Add it to approvers in gateway.yaml as ssh_key, and restart the gateway.",
        )
    return Hand(known[keyid], lambda payload: ssh_envelope(payload, ssh_sign(path, payload)))
