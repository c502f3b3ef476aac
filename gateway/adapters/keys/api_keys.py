"""The file of API keys in the state folder: one JSON document, mode 0600, always replaced as a whole.

The process that owns the folder reads it once and is the only one that writes it.
"""

import os
from pathlib import Path

import orjson

from gateway.adapters.keys.files import private_bytes, sync_folder
from gateway.core.api_key import ApiKey, read_api_key
from gateway.core.errors import ConfigError, StoreFault

VERSION = 1
MAX_BYTES = 16 << 20


class ApiKeyFile:
    """Where API keys are kept, revoked ones too."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> dict[str, ApiKey]:
        """Keys by id; none where there is no file. Raises `KeyFault`, `ConfigError`."""
        if not self._path.exists():
            return {}
        data = private_bytes(self._path)
        try:
            document = orjson.loads(data)
            if document["version"] != VERSION or len(data) > MAX_BYTES:
                raise ValueError("of another version")
            keys = [read_api_key(entry) for entry in document["keys"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{self._path} holds no API keys of version {VERSION}", hint="Put a backup in its place."
            ) from error
        found = {key.id: key for key in keys}
        if len(found) != len(keys):
            raise ConfigError(f"{self._path} holds one API key twice", hint="Put a backup in its place.")
        return found

    def save(self, keys: dict[str, ApiKey]) -> None:
        """Replace the file; durable when this returns. Raises `StoreFault`, and then the old one stays."""
        data = orjson.dumps({"version": VERSION, "keys": [key.document() for key in keys.values()]})
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            fresh.unlink(missing_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise StoreFault(f"cannot write {self._path}: {error.strerror}") from error
