"""The outer form of an OPA bundle: a gzipped tar of small regular files.

An archive is hostile input. It is never unpacked to disk; nothing in it is a link, a device or a name that leaves its
folder; no name comes twice; and it is refused before it grows over its bounds.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from gateway.core.errors import ConfigError

MAX_BYTES = 8 << 20  # unpacked; twice as much stalls calls for 0.1 s when it is handed to the policy process
MAX_FILES = 10_000
MAX_NAME_CHARS = 512
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)
HINT = "Make it with: sealgate policy build, or opa build --bundle."


def read_archive(packed: bytes, path: Path) -> dict[str, bytes]:
    """The files of an archive by their name, as `opa build` names them but for the leading slash. Raises `ConfigError`."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unpacking:
            unpacked = unpacking.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error, MemoryError) as error:
        raise ConfigError(f"{path}: is no gzipped archive: {error}", hint=HINT) from error
    if len(unpacked) > MAX_BYTES:
        raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MiB unpacked", hint="Policies must be small.")
    try:
        return _files(unpacked, path)
    except (tarfile.TarError, OSError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{path}: is no sound tar archive: {error}", hint=HINT) from error  # long names can nest


def write_archive(files: Mapping[str, bytes]) -> bytes:
    """The archive of `files`; the same bytes for the same files."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as packing,
        tarfile.open(fileobj=packing, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in files.items():
            member = tarfile.TarInfo(f"/{name}")
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _files(unpacked: bytes, path: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
        for count, member in enumerate(archive):
            if count >= MAX_FILES:
                raise ConfigError(f"{path}: holds more than {MAX_FILES} files", hint=HINT)
            if member.isdir():
                continue
            name = _name(member.name, path)
            if member.type not in _PLAIN or member.issparse():
                raise ConfigError(f"{path}: {name} is no plain file", hint="A bundle holds no links, devices or holes.")
            if name in files:
                raise ConfigError(f"{path}: {name} is there twice", hint=HINT)
            reader = archive.extractfile(member)
            content = b"" if reader is None else reader.read()
            if len(content) != member.size:
                raise ConfigError(f"{path}: {name} is cut off", hint=HINT)
            files[name] = content
        if unpacked[archive.offset :].strip(b"\0"):  # tarfile takes a damaged header for the end
            raise ConfigError(f"{path}: holds something after its last readable file", hint=HINT)
    return files


def _name(given: str, path: Path) -> str:
    name = given.removeprefix("./").removeprefix("/")
    parts = name.split("/")
    if not name.isprintable() or "\\" in name or len(name) > MAX_NAME_CHARS or {"", ".", ".."} & set(parts):
        raise ConfigError(f"{path}: holds a file whose name leaves the bundle or is not plain: {given[:80]!r}", hint=HINT)
    return name
