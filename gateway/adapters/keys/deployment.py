"""A deployment's keys, in `<state>/keys`.

The folder holds the entry key and the log key (Ed25519, PKCS#8 PEM), the commitment key and the vault key (32 random
bytes each), and `public.json`: the trust bundle, which an auditor is given. Keys made by `sealgate up` are development keys
for ever: `public.json` says so and every entry repeats it.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gateway.adapters.keys.files import FileSigner, load_signing_key, make_signing_key, private_bytes, write_private
from gateway.adapters.keys.public import PUBLIC, load_trusted_keys, publish_bundle, stage_bundle
from gateway.core.commitment import CommitmentKey
from gateway.core.errors import KeyFault
from gateway.core.trust import KeyPeriod, KeyRole, TrustedKeys, keyed

COMMITMENT, VAULT = "commitment.key", "vault.key"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """A deployment's keys, and `bundle`: what is public of them and of those before them."""

    entry: FileSigner
    log: FileSigner
    commitment: CommitmentKey
    vault_key: bytes
    bundle: TrustedKeys

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.bundle.origin

    @property
    def dev(self) -> bool:
        """Made by `sealgate up`, proves nothing."""
        return self.bundle.dev

    def trusted(self) -> TrustedKeys:
        """The public halves, to verify this deployment's own log with."""
        return self.bundle

    def signer(self, role: KeyRole) -> FileSigner:
        """The key in force of that role."""
        return self.entry if role is KeyRole.ENTRY else self.log


class Marked(Protocol):
    """Keys that say whether they are development keys: a `KeyRing` or a trust bundle."""

    @property
    def dev(self) -> bool: ...


def key_file(folder: Path, role: KeyRole) -> Path:
    """Where the private key of that role is."""
    return folder / f"{role}.pem"


def make_keys(folder: Path, *, origin: str, dev: bool) -> None:
    """Make a deployment's keys. Raises `KeyFault` where there are some already: keys are never overwritten."""
    pems = {role: key_file(folder, role) for role in KeyRole}
    if any(path.exists() for path in (*pems.values(), folder / COMMITMENT, folder / VAULT, folder / PUBLIC)):
        raise KeyFault(f"{folder} already holds keys", hint="Use them, or name another state folder.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = {role: keyed(KeyPeriod(make_signing_key(path).public())) for role, path in pems.items()}
    for name in (COMMITMENT, VAULT):
        write_private(folder / name, os.urandom(32))
    stage_bundle(folder, TrustedKeys(made[KeyRole.ENTRY], made[KeyRole.LOG], origin, dev))
    publish_bundle(folder)


def load_keys(folder: Path) -> KeyRing:
    """The keys in `folder`. Raises `KeyFault` where one is missing, too widely readable or not in force in `public.json`."""
    bundle = load_trusted_keys(folder / PUBLIC)
    ring = KeyRing(
        entry=load_signing_key(key_file(folder, KeyRole.ENTRY)),
        log=load_signing_key(key_file(folder, KeyRole.LOG)),
        commitment=CommitmentKey(_secret(folder / COMMITMENT)),
        vault_key=_secret(folder / VAULT),
        bundle=bundle,
    )
    for role in KeyRole:
        period = bundle.of(role).get(ring.signer(role).keyid)
        if period is None:
            raise KeyFault(f"{folder / PUBLIC} does not belong to the private keys beside it")
        if not period.in_force:
            raise KeyFault(
                f"{key_file(folder, role)} is not in force any more",
                hint="It was rotated or revoked: restore the newest copy of the keys folder.",
            )
    return ring


def check_purpose(keys: Marked, *, dev: bool) -> None:
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


def _secret(path: Path) -> bytes:
    data = private_bytes(path)
    if len(data) != 32:
        raise KeyFault(f"{path} does not hold 32 bytes")
    return data
