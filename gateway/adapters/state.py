"""The state folder: keys, journal, vault, sockets. One process at a time owns it."""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from gateway.core.errors import ConfigError, StateLocked

_LOCK_TRIES = 10
_LOCK_PAUSE_SECONDS = 0.02
LONGEST_SOCKET_PATH = 107  # sun_path on Linux, without the terminating NUL


class StateFolder:
    """Names what is where. As a context manager it owns the folder; a second owner is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def dev(self) -> Path:
        """What `sealgate up` makes for development: token, approver key and its passphrase."""
        return self.path / "dev"

    @property
    def journal(self) -> Path:
        return self.path / "journal.db"

    @property
    def vault(self) -> Path:
        return self.path / "vault.db"

    @property
    def policies(self) -> Path:
        """The policies that were in force lately."""
        return self.path / "policies"

    @property
    def anchored(self) -> Path:
        """The last checkpoint that a quorum of witnesses cosigned."""
        return self.path / "anchored"

    @property
    def api_keys(self) -> Path:
        """The API keys of callers, by their SHA-256."""
        return self.path / "api_keys.json"

    @property
    def control_socket(self) -> Path:
        return self.path / "control.sock"

    @property
    def mcp_socket(self) -> Path:
        return self.path / "mcp.sock"

    def create(self) -> None:
        """Make the folder, for its owner only. Raises `ConfigError`."""
        longest = len(os.fsencode(self.control_socket))
        if longest > LONGEST_SOCKET_PATH:
            raise ConfigError(
                f"the state path {self.path} is too long for the sockets in it ({longest} of {LONGEST_SOCKET_PATH} bytes)",
                hint="Name a shorter `state` in gateway.yaml.",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
        except OSError as error:
            raise ConfigError(f"cannot make the state folder {self.path}: {error.strerror}") from error

    def __enter__(self) -> "StateFolder":
        self.create()
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _taken(lock):
            os.close(lock)
            raise StateLocked(f"another Sealgate owns {self.path}", hint="Stop it, or give this one another `state` folder.")
        self._lock = lock
        for stale in (self.control_socket, self.mcp_socket):
            stale.unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._lock is not None:
            for socket in (self.control_socket, self.mcp_socket):
                socket.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def owned(self) -> bool:
        """Whether some process owns the folder right now."""
        try:
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(lock)


def _taken(lock: int) -> bool:
    """Take the lock. Whoever only looks (`owned`) holds it for a moment, so one refusal is not yet an owner."""
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return True
    return False
