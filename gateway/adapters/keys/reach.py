"""Whether an approver's private key lies where the gateway's own user can use it, and so an agent with a shell might.

As far as it can be seen: in the state folder and beside gateway.yaml no approver's key may lie at all; in the user's own
`.ssh` folder none without a passphrase. Keys on hardware want a touch, wherever their handle lies. What an SSH agent or
another user's folder holds is not looked at.
"""

import os
import struct
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.core.answer import Approver
from gateway.core.errors import ConfigError
from gateway.core.sshsig import SshKey

_MAX_FILES = 10_000
_MAX_BYTES = 64 * 1024
_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----END OPENSSH PRIVATE KEY-----"


def check_out_of_reach(approvers: Mapping[str, Approver], folders: Iterable[Path]) -> None:
    """Raises `ConfigError` where one is within reach (see the module)."""
    bare = {_bare(approver.key): approver.principal for approver in approvers.values()}
    if not bare:
        return
    home = Path(os.path.expanduser("~"))  # stays as it is for a user without one
    for path, material, protected in _keys_in(folders, home):
        if material in bare and not protected:
            raise ConfigError(
                f"the private key of the approver {bare[material]} is {path}, where the gateway's own user can use it",
                hint="Move it to the approver's own machine or account: an agent that runs as this user could approve.",
                code="approver.within_reach",
            )


def _keys_in(folders: Iterable[Path], home: Path) -> Iterator[tuple[Path, bytes, bool]]:
    """Private keys: where, the bytes of their public half, and whether what protects them is good enough there."""
    for folder in folders:
        for path in _files(folder):
            yield from ((path, material, False) for material, _ in _private_key(path))
    for path in _files(home / ".ssh"):
        yield from ((path, material, protected) for material, protected in _private_key(path))


def _files(folder: Path) -> Iterator[Path]:
    """Files in it and one folder below, as many as a state folder may have."""
    found = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    return islice(filter(_is_file, found), _MAX_FILES)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # what this user cannot look at, it cannot use
        return False


def _private_key(path: Path) -> Iterator[tuple[bytes, bool]]:
    """The public half of the private key in a file, and whether it is protected by a passphrase; nothing if it is none."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return
        data = path.read_bytes()
        if data.startswith(_OPENSSH[0]):
            yield from _openssh(data)
        elif data.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----"):  # whose it is, only the file beside it says
            whose = orjson.loads(path.with_name(path.name + ".json").read_bytes())
            yield b64decode(whose["public_key"], validate=True), True
        elif data.startswith(b"-----BEGIN PRIVATE KEY-----"):
            key = load_pem_private_key(data, None)
            if isinstance(key, Ed25519PrivateKey):
                yield key.public_key().public_bytes_raw(), False
    except (OSError, ValueError, KeyError, TypeError, UnsupportedAlgorithm, struct.error):
        return


def _openssh(data: bytes) -> Iterator[tuple[bytes, bool]]:
    """OpenSSH PROTOCOL.key: the cipher and the public half stand in clear. Raises ValueError, struct.error."""
    text = data.partition(_OPENSSH[0])[2].partition(_OPENSSH[1])[0]
    rest = b64decode(b"".join(text.split()), validate=True).removeprefix(b"openssh-key-v1\0")
    cipher, rest = _string(rest)
    for _ in ("kdf", "its options"):
        _, rest = _string(rest)
    blob, _ = _string(rest[4:])
    key = SshKey.read(blob)
    if not key.on_hardware:
        yield key.material, cipher != b"none"


def _string(data: bytes) -> tuple[bytes, bytes]:
    (size,) = struct.unpack_from(">I", data)
    return data[4 : 4 + size], data[4 + size :]


def _bare(key: Ed25519PublicKey | SshKey) -> bytes:
    return key.material if isinstance(key, SshKey) else key.public_bytes_raw()
