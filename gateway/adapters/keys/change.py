"""The files of a key change, so that a change that was cut off at any moment can be finished or undone.

A rotation makes `<role>.next.pem` before the log tells of it, and every change has `public.next.json` until its end. Which
way a change that was cut off goes is for the log to say: it is done as soon as its `key` entry is committed.
"""

import os
from pathlib import Path

from gateway.adapters.keys.deployment import key_file
from gateway.adapters.keys.files import FileSigner, load_signing_key, make_signing_key, sync_folder
from gateway.adapters.keys.public import PUBLIC, STAGED
from gateway.core.errors import KeyFault
from gateway.core.trust import KeyRole


def cut_off(folder: Path) -> bool:
    """Whether something of a change is left, or `public.json` is missing beside keys."""
    left = any(_next_file(folder, role).exists() for role in KeyRole) or (folder / STAGED).exists()
    return left or (key_file(folder, KeyRole.ENTRY).exists() and not (folder / PUBLIC).exists())


def make_next_key(folder: Path, role: KeyRole) -> FileSigner:
    """The key that will follow, on disk when this returns. Raises `KeyFault`."""
    return make_signing_key(_next_file(folder, role))


def load_next_key(folder: Path, role: KeyRole) -> FileSigner | None:
    """The key that was to follow; None where there is none, or it was cut off while it was written."""
    try:
        return load_signing_key(_next_file(folder, role))
    except KeyFault:
        return None


def put_next_key_in_place(folder: Path, role: KeyRole) -> None:
    """Destroy the old private key; the next one takes its place. Raises `KeyFault`."""
    try:
        _overwrite(key_file(folder, role))
        _next_file(folder, role).replace(key_file(folder, role))
        sync_folder(folder)
    except OSError as error:
        raise KeyFault(f"cannot replace {key_file(folder, role)}: {error.strerror}") from error


def drop_next_key(folder: Path, role: KeyRole) -> None:
    """Destroy a key that the log does not know, if there is one. Raises `KeyFault`."""
    path = _next_file(folder, role)
    try:
        _overwrite(path)
        path.unlink(missing_ok=True)
        sync_folder(folder)
    except OSError as error:
        raise KeyFault(f"cannot remove {path}: {error.strerror}") from error


def _next_file(folder: Path, role: KeyRole) -> Path:
    return folder / f"{role}.next.pem"


def _overwrite(path: Path) -> None:
    """Zeros over a private key, in place: the best a program can do on a file system that writes in place."""
    try:
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
