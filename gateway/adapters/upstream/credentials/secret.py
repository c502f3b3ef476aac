"""A secret where it is kept: read when needed, read again when it may have changed, and told to nobody.

A file must be its owner's alone, as other private files of the gateway. A keyring is asked by the `keyring` library, in a
thread: it may ask a person, or hang.
"""

import asyncio
import os
import stat
import time

from gateway.adapters.upstream.credentials.credentials import NoCredentials
from gateway.adapters.upstream.credentials.spec import FromEnvironment, FromFile, FromKeyring, SecretRef

MAX_BYTES = 65_536
READ_SECONDS = 5.0
FILE_LOOK_SECONDS = 1.0
"""A file is looked at this often while it is used."""

KEYRING_LOOK_SECONDS = 60.0
NO_KEYRING = "the keyring library is not installed: pip install 'sealgate[keyring]'"


class Secret:
    """See the module. `number` counts the values it has had, so that what was made with an earlier one can be dropped."""

    def __init__(self, ref: SecretRef) -> None:
        self._ref = ref
        self._value: str | None = None
        self._stamp: tuple[int, ...] = ()
        self._looked_at = 0.0
        self._reading = asyncio.Lock()
        self.number = 0

    async def value(self) -> str:
        """The secret as it is now, not empty, without white space around it. Raises `NoCredentials`."""
        async with self._reading:
            if self._value is None or time.monotonic() - self._looked_at >= self._look_seconds:
                await self._look()
            assert self._value is not None  # noqa: S101
            return self._value

    @property
    def _look_seconds(self) -> float:
        match self._ref:
            case FromEnvironment():
                return float("inf")
            case FromFile():
                return FILE_LOOK_SECONDS
            case FromKeyring():
                return KEYRING_LOOK_SECONDS

    async def _look(self) -> None:
        """Raises `NoCredentials`; then there is no value any more, whatever there was."""
        before, self._value = self._value, None
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = await asyncio.to_thread(self._read, before)
        except TimeoutError:
            raise NoCredentials(f"{self._ref} could not be read in time") from None
        text = found.strip()
        if not text:
            raise NoCredentials(f"{self._ref} is empty or not set")
        self.number += text != before
        self._value, self._looked_at = text, time.monotonic()

    def _read(self, before: str | None) -> str:
        match self._ref:
            case FromEnvironment(name):
                return os.environ.get(name, "")
            case FromFile(path):
                return self._from_file(path, before)
            case FromKeyring(service, account):
                return _from_keyring(service, account)

    def _from_file(self, path: str, before: str | None) -> str:
        """What it holds; `before`, if nothing about it changed since."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not keep us waiting
            with os.fdopen(descriptor, "rb") as file:
                told = os.fstat(descriptor)
                if not stat.S_ISREG(told.st_mode):
                    raise NoCredentials(f"{path} is not a file")
                if told.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                    raise NoCredentials(f"{path} can be read by others: chmod 600 {path}")
                stamp = (told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
                if before is not None and stamp == self._stamp:
                    return before
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise NoCredentials(f"{path} cannot be read: {error.strerror}") from None
        if len(data) > MAX_BYTES:
            raise NoCredentials(f"{path} holds more than {MAX_BYTES} bytes")
        self._stamp = stamp
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise NoCredentials(f"{path} does not hold text") from None


def _from_keyring(service: str, account: str) -> str:
    try:
        import keyring  # only here: an optional extra
    except ImportError:
        raise NoCredentials(NO_KEYRING) from None
    try:
        return str(keyring.get_password(service, account) or "")
    except Exception as error:  # noqa: BLE001 - back ends raise what they like; the text could hold anything
        raise NoCredentials(f"the keyring could not be asked: {type(error).__name__}") from None
