"""Whether an approver's private key lies where the gateway's own user can use it, and so an agent with a shell might.

Looked at are files of at most 64 KiB in each of three places: up to 8 folders deep, the nearest first, at most 10,000
folders at each depth and 10,000 files; folders that are links are not entered. In the state folder and beside gateway.yaml
no approver's key may lie at all; in the user's own `.ssh` folder none that opens without a passphrase. Found are private
keys in PEM, OpenSSH's own form and the older ones, of any type; of one under a passphrase in an older form, only a file
beside it (`.pub`, `.json`) says whose it is.

Keys on hardware want a touch, wherever their handle lies. What an SSH agent, another folder or another user's holds is not
looked at.
"""

import os
import re
import struct
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.core.answer import Approver
from gateway.core.errors import ConfigError
from gateway.core.sshsig import SshKey, read_ssh_key

_MAX_FILES = 10_000
_MAX_FOLDERS = 10_000
_MAX_DEPTH = 8
_MAX_BYTES = 64 * 1024
_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY-----(.*?)-----END \1PRIVATE KEY-----", re.DOTALL)


def check_out_of_reach(approvers: Mapping[str, Approver], folders: Iterable[Path]) -> None:
    """Raises `ConfigError` where one is within reach (see the module)."""
    known = {_public(_bare(approver.key)): approver.principal for approver in approvers.values()}
    if not known:
        return
    home = Path(os.path.expanduser("~"))  # stays as it is for a user without one
    for path, public, protected in _keys_in(folders, home):
        if public in known and not protected:
            raise ConfigError(
                f"the private key of the approver {known[public]} is {path}, where the gateway's own user can use it",
                hint="Move it to the approver's own machine or account: an agent that runs as this user could approve.",
                code="approver.within_reach",
            )


def _keys_in(folders: Iterable[Path], home: Path) -> Iterator[tuple[Path, bytes, bool]]:
    """Private keys: where, their public half, and whether what protects them is good enough there."""
    for folder in folders:
        for path in _files(folder):
            yield from ((path, public, False) for public, _ in _private_keys(path))
    for path in _files(home / ".ssh"):
        yield from ((path, public, protected) for public, protected in _private_keys(path))


def _files(folder: Path) -> Iterator[Path]:
    """Files in it and below, the nearest first, within the bounds."""

    def found() -> Iterator[Path]:
        level = [str(folder)]
        for _ in range(_MAX_DEPTH + 1):
            below: list[str] = []
            for one in level:
                try:
                    with os.scandir(one) as entries:
                        listed = sorted((entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries)
                except OSError:  # not there, or not for this user: then not within reach either
                    continue
                below += [path for path, is_folder in listed if is_folder]
                yield from (Path(path) for path, is_folder in listed if not is_folder)
            level = below[:_MAX_FOLDERS]

    return islice(found(), _MAX_FILES)


def _private_keys(path: Path) -> Iterator[tuple[bytes, bool]]:
    """The public halves of the private keys in a file, and whether each is protected by a passphrase."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return
        data = path.read_bytes()
    except OSError:
        return
    for block in _PEM.finditer(data):
        try:
            if block[1] == b"OPENSSH ":
                yield from _openssh(block[2])
            elif block[1] == b"ENCRYPTED " or b"Proc-Type: 4,ENCRYPTED" in block[2]:
                yield from ((public, True) for public in _said_beside(path))
            else:
                yield _public(load_pem_private_key(block[0], None).public_key()), False
        except (ValueError, TypeError, UnsupportedAlgorithm, struct.error):
            pass


def _said_beside(path: Path) -> Iterator[bytes]:
    """Whose an encrypted key is, as the file that was made with it says."""
    try:
        whose = orjson.loads(path.with_name(path.name + ".json").read_bytes())
        yield _public(Ed25519PublicKey.from_public_bytes(b64decode(whose["public_key"], validate=True)))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        yield _public(read_ssh_key(path.with_name(path.name + ".pub").read_text()).key)
    except (OSError, ValueError):
        pass


def _openssh(armoured: bytes) -> Iterator[tuple[bytes, bool]]:
    """OpenSSH PROTOCOL.key: the cipher and the public half stand in clear. Raises ValueError, struct.error."""
    rest = b64decode(b"".join(armoured.split()), validate=True).removeprefix(b"openssh-key-v1\0")
    cipher, rest = _string(rest)
    for _ in ("kdf", "its options"):
        _, rest = _string(rest)
    blob, _ = _string(rest[4:])
    key = SshKey.read(blob)
    if not key.on_hardware:
        yield _public(key.key), cipher != b"none"


def _string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    return data[4 : 4 + size], data[4 + size :]


def _bare(key: Ed25519PublicKey | SshKey) -> PublicKeyTypes:
    return key.key if isinstance(key, SshKey) else key


def _public(key: PublicKeyTypes) -> bytes:
    """One spelling for each key, however it was stored."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
