"""Consistent copies of databases, also while a daemon writes them, and backups: a folder with a manifest of what is in it.

A backup is written beside its place and renamed at the end, with everything on disk by then: a folder of that name is a
whole backup. Its manifest finds what was lost or damaged on the way; against forgery there are the log's signatures.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import apsw
import orjson

from gateway.core.errors import StoreFault, VerificationFailed

MANIFEST = "manifest.json"
_FORMAT = "sealgate.backup.v1"
_TYPES = {"made_at": str, "program": str, "schema": int, "origin": str, "log_size": int, "log_root": str, "values": bool}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself: when it was taken (RFC 3339), by which program, of which log, up to where.

    `values`: stored arguments and results, with the keys that open them, are in it. `files`: [size, sha256] by path.
    """

    made_at: str
    program: str
    schema: int
    origin: str
    log_size: int
    log_root: str
    values: bool
    files: Mapping[str, tuple[int, str]]


def copy_database(source: Path, target: Path, clean: str = "") -> None:
    """A copy of a database as it is at one moment, on disk when this returns. Nobody who writes `source` waits.

    `clean`: SQL that takes away from the copy what must not be in it; not even its free pages keep it.

    Raises:
        StoreFault: it cannot be read, or not be written there.
    """
    aside = target.with_name(f"{target.name}.partial")
    try:
        aside.unlink(missing_ok=True)
        # For a rollback journal that a crash left behind, reading needs the right to write.
        with _opened(source, apsw.SQLITE_OPEN_READWRITE) as db:
            db.execute("VACUUM INTO ?", (str(aside),))
        if clean:
            with _opened(aside, apsw.SQLITE_OPEN_READWRITE) as db:
                db.pragma("journal_mode", "off")  # a crash leaves a .partial, which the next copy removes
                db.pragma("secure_delete", True)
                db.execute(clean)
                db.execute("VACUUM")
        aside.chmod(0o600)
        _sync(aside)
        aside.rename(target)
        _sync(target.parent)
    except (apsw.Error, OSError) as error:
        aside.unlink(missing_ok=True)
        raise StoreFault(f"cannot copy {source} to {target}: {error}") from error


def copy_file(source: Path, target: Path) -> None:
    """A copy for its owner only. Raises `StoreFault`."""
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with source.open("rb") as read, open(target, "xb", opener=_private) as written:
            shutil.copyfileobj(read, written)
    except OSError as error:
        raise StoreFault(f"cannot copy {source} to {target}: {error}") from error


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `target` at the end, everything in it on disk. If anything fails, there is none.

    Raises:
        StoreFault: `target` is there already, somebody is making it, or it cannot be written.
    """
    aside = target.with_name(f"{target.name}.partial")
    if target.exists() or target.is_symlink():
        raise StoreFault(f"{target} is there already", hint="Name a folder that does not exist yet.")
    try:
        aside.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise StoreFault(
            f"{aside} is there already: something is writing to it, or was cut off", hint="If nothing is, remove it."
        ) from error
    except OSError as error:
        raise StoreFault(f"cannot make {aside}: {error}") from error
    try:
        yield aside
        for path in [*aside.rglob("*"), aside]:
            _sync(path)
        aside.rename(target)
        _sync(target.parent)
    except OSError as error:
        raise StoreFault(f"cannot write {target}: {error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_manifest(folder: Path, about: Mapping[str, Any]) -> Manifest:
    """List what is in `folder`. `about`: the other fields."""
    manifest = Manifest(**about, files={name: _described(folder / name) for name in _names(folder)})
    document = {"format": _FORMAT, **asdict(manifest)}
    with open(folder / MANIFEST, "xb", opener=_private) as file:
        file.write(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n")
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup whose files are exactly those that it names.

    Raises:
        StoreFault: there is no backup.
        VerificationFailed: a file is missing, changed or too many.
    """
    try:
        document = orjson.loads((folder / MANIFEST).read_bytes())
        if document.pop("format") != _FORMAT:
            raise ValueError("another format")
        files = {str(name): (int(size), str(digest)) for name, (size, digest) in document.pop("files").items()}
        manifest = Manifest(**document, files=files)
        if any(type(getattr(manifest, name)) is not kind for name, kind in _TYPES.items()):
            raise ValueError("a field of another type")
        datetime.fromisoformat(manifest.made_at)  # the log will state it
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreFault(f"{folder} is no backup: {error}", hint="sealgate state backup makes one.") from error
    found = _names(folder)
    problems = [f"{name} is missing" for name in files.keys() - found]
    problems += [f"{name} is not of this backup" for name in found - files.keys()]
    problems += [f"{name} was changed" for name in found & files.keys() if _described(folder / name) != files[name]]
    if problems:
        raise VerificationFailed(f"the backup {folder} is damaged: {'; '.join(sorted(problems)[:5])}", code="backup.damaged")
    return manifest


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()} - {MANIFEST}


def _described(path: Path) -> tuple[int, str]:
    if path.is_symlink() or not path.is_file():
        raise VerificationFailed(f"{path} is no ordinary file", code="backup.damaged")
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[apsw.Connection]:
    db = apsw.Connection(str(path), flags=flags)
    try:
        db.set_busy_timeout(5000)
        yield db
    finally:
        db.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
