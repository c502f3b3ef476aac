"""Policies as one immutable value, from a folder or from an OPA bundle file.

A folder is read as `opa run --server FOLDER` reads it, so that both engines see the same: every `*.rego` below the folder
is a module, a `data.json` is mounted at the path of its folder. `*_test.rego` are kept apart: they never decide anything.
A bundle file is held to the same and to its manifest and signature (`archive.py`, `manifest.py`, `signature.py`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jiter
import orjson

from gateway.adapters.policy.archive import MAX_BYTES, read_archive, write_archive
from gateway.adapters.policy.manifest import Manifest, outside, read_manifest
from gateway.adapters.policy.signature import (
    DATA_FILE,
    MANIFEST,
    SIGNATURES,
    VerificationKey,
    check_signature,
    sign_files,
)
from gateway.core.canonical import NotCanonical, canonical, digest
from gateway.core.errors import ConfigError

DATA_SUFFIXES = {".json", ".yaml", ".yml"}
PLAIN = Manifest()


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """Modules and tests by their path within the folder; `revision` is the digest of modules and data, not of tests.

    `written_data`: the canonical JSON of the policy data; a running gateway never parses it.
    `archive`: the very file it was read from, where it was read from one. `signed`: whether that has a signature at all.
    """

    modules: Mapping[str, str]
    tests: Mapping[str, str]
    written_data: bytes
    revision: str
    manifest: Manifest = PLAIN
    archive: bytes | None = field(default=None, repr=False)
    signed: bool = False

    @property
    def data(self) -> dict[str, Any]:
        """The policy data, parsed anew."""
        parsed: dict[str, Any] = orjson.loads(self.written_data)
        return parsed

    def packed(self, manifest: Manifest | None = None, key: Path | None = None) -> bytes:
        """A bundle file of modules and data, without tests. `key`: a PEM file to sign with. Raises `ConfigError`."""
        files = {
            DATA_FILE: self.written_data,
            **{name: text.encode() for name, text in sorted(self.modules.items())},
            MANIFEST: (manifest or self.manifest).document(),
        }
        if key is not None:
            files[SIGNATURES] = sign_files(files, key)
        return write_archive(files)


def default_policies() -> Path:
    """The policies that come with the gateway: inside an installed wheel, or beside the package in a source checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_policies"
    return installed if installed.is_dir() else package.parent / "policies"


def load_bundle(path: Path, key: VerificationKey | None = None) -> PolicyBundle:
    """Read the folder or bundle file at `path`. With a key, it must be a bundle file that this key signed.

    Raises:
        ConfigError: it cannot be read, holds no policy, a file in it is wrong, or the signature does not hold; says which
            file and where.
    """
    if path.is_dir():
        if key is not None:
            raise ConfigError(
                f"{path}: is a folder, and policy.verification_key wants a signed bundle",
                hint="Make one: sealgate policy build PATH --out FILE --key PRIVATE_PEM.",
            )
        return bundle_of(read_folder(path), path)
    if not path.is_file():
        raise ConfigError(
            f"{path}: there is no such folder or bundle", hint="Name the folder that holds your *.rego files, or a bundle."
        )
    return open_bundle(_bytes(path), path, key)


def bundle_of(files: Mapping[str, bytes], path: Path) -> PolicyBundle:
    """The policies in the files of the folder `path`, as `read_folder` gives them. Raises `ConfigError`."""
    try:
        return _bundle(files, path)
    except (RecursionError, MemoryError) as error:
        raise ConfigError(f"{path}: holds what is too deep or too large", hint="Policies must be small.") from error


def open_bundle(packed: bytes, path: Path, key: VerificationKey | None = None) -> PolicyBundle:
    """The same of a bundle file that was read from `path`."""
    try:
        return _opened(packed, path, key)
    except (RecursionError, MemoryError) as error:
        raise ConfigError(f"{path}: is too deep or too large", hint="Policies must be small.") from error


def _opened(packed: bytes, path: Path, key: VerificationKey | None) -> PolicyBundle:
    files = read_archive(packed, path)
    if key is not None:
        check_signature(files, key, path)
    for name in files:
        if not (name in (MANIFEST, SIGNATURES) or name.endswith(".rego") or name.rpartition("/")[2] == DATA_FILE):
            raise ConfigError(
                f"{path / name}: a bundle holds *.rego, {DATA_FILE}, {MANIFEST} and {SIGNATURES} only",
                hint="Leave it out, and build the bundle again.",
            )
    signed = files.pop(SIGNATURES, None) is not None
    manifest = read_manifest(files.pop(MANIFEST), path / MANIFEST) if MANIFEST in files else PLAIN
    return _bundle(files, path, manifest, packed, signed=signed)


def _bundle(
    files: Mapping[str, bytes],
    path: Path,
    manifest: Manifest = PLAIN,
    archive: bytes | None = None,
    *,
    signed: bool = False,
) -> PolicyBundle:
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    data: dict[str, Any] = {}
    for name, content in sorted(files.items()):
        text = _text(content, path / name)
        if name.endswith("_test.rego"):
            tests[name] = text
        elif name.endswith(".rego"):
            modules[name] = text
        else:
            _mount(data, text, path / name, tuple(name.split("/")[:-1]))
    if not modules:
        raise ConfigError(f"{path}: holds no *.rego policy", hint="Name the folder that holds your *.rego files.")
    for where in outside(data, manifest.roots):
        raise ConfigError(f"{path}: its manifest's roots do not permit data at {where}", hint="Correct one of them.")
    try:
        revision, written = digest({"modules": modules, "data": data}), canonical(data)
    except NotCanonical as error:
        raise ConfigError(
            f"{path}: the policy data has no canonical form: {error}", hint="Write such numbers as strings."
        ) from error
    return PolicyBundle(modules, tests, written, revision, manifest, archive, signed)


def read_folder(path: Path) -> dict[str, bytes]:
    """The files of a folder that are its policies, by their path within it. Raises `ConfigError`."""
    files: dict[str, bytes] = {}
    left = MAX_BYTES
    for file in sorted(path.rglob("*")):
        if not file.is_file():
            continue
        if file.suffix == ".rego" or file.name == DATA_FILE:
            content = files[file.relative_to(path).as_posix()] = _bytes(file)
            left -= len(content)
            if left < 0:
                raise ConfigError(f"{path}: holds more than {MAX_BYTES >> 20} MiB", hint="Policies must be small.")
        elif file.suffix in DATA_SUFFIXES:
            raise ConfigError(
                f"{file}: only {DATA_FILE} holds policy data",
                hint=f"Move its content to a {DATA_FILE}, or the file elsewhere.",
            )
    return files


def _mount(data: dict[str, Any], text: str, file: Path, folders: tuple[str, ...]) -> None:
    """Merge the object in `file` into `data` at the path of its folders."""
    try:
        document = jiter.from_json(text.encode(), catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise ConfigError(f"{file}: not acceptable JSON: {error}", hint="Correct it at that line and column.") from error
    for folder in reversed(folders):
        document = {folder: document}
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: must hold one JSON object", hint='Begin with {"sealgate": {"settings": {…}}}.')
    for where in _merge(data, document, ()):
        raise ConfigError(f"{file}: {where} is given twice", hint="Give it in one file only.")


def _merge(into: dict[str, Any], other: dict[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Put `other` into `into`; the paths that both give a value."""
    for key, value in other.items():
        here = into.setdefault(key, value)
        if here is value:
            continue
        if isinstance(here, dict) and isinstance(value, dict):
            yield from _merge(here, value, (*path, key))
        else:
            yield ".".join((*path, key))


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_BYTES >> 20} MiB", hint="Policies must be small; move data out.")
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint="Let the gateway's user read it.") from error


def _text(content: bytes, file: Path) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: is not UTF-8 text", hint="Save it as UTF-8.") from error
