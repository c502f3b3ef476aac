"""A file of a person's that we change: with a copy of what it was beside it, as a whole, and not if it changed meanwhile."""

import os
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.core.errors import ConfigError

MAX_BYTES = 16 << 20
_COPIES_IN_A_SECOND = 100


@dataclass(frozen=True, slots=True)
class EditedFile:
    """`path` and what it holds: `text` with its line ends as they are; "" and not `exists` where there is no such file."""

    path: Path
    text: str
    exists: bool

    @classmethod
    def read(cls, path: Path) -> "EditedFile":
        """Raises `ConfigError`: it cannot be read, is no file, is not UTF-8 or larger than 16 MiB."""
        data = _bytes(path)
        try:
            return cls(path, "" if data is None else data.decode(), data is not None)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: byte {error.start} is not UTF-8", hint="Save the file as UTF-8.") from error

    def write(self, text: str) -> Path | None:
        """Put `text` in its place, on disk when this returns. Gives the copy of what was there, None where nothing was.

        A link stays a link: what it leads to is changed. Mode and owner stay; a new file is for its owner only.

        Raises:
            ConfigError: it changed since it was read, or cannot be written. It is then as it was.
        """
        target = Path(os.path.realpath(self.path))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy = self._copied(target) if self.exists else None
            self._replace(target, text.encode())
        except OSError as error:
            raise ConfigError(f"cannot write {error.filename or target}: {error.strerror}") from error
        return copy

    def _copied(self, target: Path) -> Path:
        """The copy, as readable as the file itself."""
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        for number in range(_COPIES_IN_A_SECOND):
            copy = target.with_name(f"{target.name}.{stamp}{f'-{number}' if number else ''}.bak")
            with suppress(FileExistsError):
                descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(file.fileno(), stat.S_IMODE(target.stat().st_mode))
                    file.write(self.text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                return copy
        raise ConfigError(f"cannot keep a copy of {target}: there are too many of this second")

    def _replace(self, target: Path, data: bytes) -> None:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        fresh = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                if self.exists:
                    was = target.stat()
                    os.fchmod(file.fileno(), stat.S_IMODE(was.st_mode))
                    if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
                        os.fchown(file.fileno(), was.st_uid, was.st_gid)
                file.flush()
                os.fsync(file.fileno())
            if _bytes(target) != (self.text.encode() if self.exists else None):
                raise ConfigError(f"{self.path} changed meanwhile; nothing was written", hint="Run the command again.")
            fresh.replace(target)
        finally:
            fresh.unlink(missing_ok=True)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _bytes(path: Path) -> bytes | None:
    """What the file holds; None where there is none. Raises `ConfigError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not keep us waiting
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{path} is not a file")
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes")
    return data
