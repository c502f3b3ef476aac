"""`public.json`, the trust bundle, as a file. It is replaced whole: a reader finds the old one or the new one."""

import os
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.keys.files import sync_folder
from gateway.core.errors import KeyFault
from gateway.core.trust import TrustedKeys
from gateway.core.trust_bundle import VERSION, bundle_document, read_bundle

PUBLIC = "public.json"
STAGED = "public.next.json"
MAX_BYTES = 1_000_000


def load_trusted_keys(path: Path) -> TrustedKeys:
    """What an auditor trusts, from `public.json`. Raises `KeyFault`."""
    try:
        return read_bundle(_read(path))
    except ValueError as error:
        raise KeyFault(f"{path} is not a trust bundle: {error}") from error


def bundle_text(keys: TrustedKeys) -> str:
    """`public.json` as it is written."""
    return orjson.dumps(bundle_document(keys), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def stage_bundle(folder: Path, keys: TrustedKeys) -> None:
    """Put the next `public.json` beside the present one, on disk when this returns. Raises `KeyFault`."""
    try:
        with (folder / STAGED).open("wb") as file:
            file.write(bundle_text(keys).encode())
            file.flush()
            os.fsync(file.fileno())
        sync_folder(folder)
    except OSError as error:
        raise KeyFault(f"cannot write {folder / STAGED}: {error.strerror}") from error


def publish_bundle(folder: Path) -> None:
    """Let what was staged be `public.json`. Raises `KeyFault`."""
    try:
        (folder / STAGED).replace(folder / PUBLIC)
        sync_folder(folder)
    except OSError as error:
        raise KeyFault(f"cannot write {folder / PUBLIC}: {error.strerror}") from error


def upgrade_bundle(folder: Path) -> None:
    """Write `public.json` anew where it has an older version. Raises `KeyFault`."""
    if _read(folder / PUBLIC).get("version") != VERSION:
        stage_bundle(folder, load_trusted_keys(folder / PUBLIC))
        publish_bundle(folder)


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise KeyFault(f"{path} is not a trust bundle: it has more than {MAX_BYTES} bytes")
        document = orjson.loads(data)
    except OSError as error:
        raise KeyFault(f"no keys at {path.parent}: {error.strerror}", hint="sealgate keys new makes them.") from error
    except ValueError as error:
        raise KeyFault(f"{path} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise KeyFault(f"{path} is not a trust bundle")
    return document
