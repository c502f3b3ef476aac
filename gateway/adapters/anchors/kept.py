"""The last anchored checkpoint as a file: `<state>/anchored`, and a second place outside the state folder.

A file is replaced as a whole, on disk before the old one is gone, and never by a shorter checkpoint.
"""

import os
from pathlib import Path

from gateway.core.errors import VerificationFailed

MAX_BYTES = 1024 * 1024


def read_kept(path: Path) -> str | None:
    """The note kept at `path`; None where nothing is kept yet. Raises `VerificationFailed` where it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError("it is too large")
        return data.decode()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise VerificationFailed(
            f"the anchored checkpoint kept at {path} cannot be read: {error}",
            hint="Mend it; the log cannot be held against it.",
            code="log.anchor_unreadable",
        ) from error


def write_kept(path: Path, note: str) -> None:
    """Replace what is kept at `path`, durably. Raises OSError."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as file:
        file.write(note.encode())
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
