"""Approvers' public keys from a file, for who checks a log and does not run the gateway."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gateway.core.answer import Approver
from gateway.core.errors import ConfigError
from gateway.settings.loaded import approver_of
from gateway.settings.people import ApproverKey
from gateway.settings.yaml_source import MAX_BYTES, Unreadable, parse_document

HINT = "Give a gateway.yaml with approvers, or the .json file that `sealgate keys approver` made beside a key."


def load_approvers(path: Path) -> tuple[Approver, ...]:
    """Those under `approvers` in a gateway.yaml, of which nothing else is looked at; or the one an approver's file tells of.

    Raises:
        ConfigError: the file cannot be read, or names none.
    """
    try:
        with path.open("rb") as file:
            document = parse_document(file.read(MAX_BYTES + 1), tabs=path.suffix == ".json")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except Unreadable as error:
        raise ConfigError(f"{path}: {error}", hint=HINT) from error
    told = None if document is None else document.root.plain()
    entries = told.get("approvers", [told]) if isinstance(told, dict) else []
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path} names no approver", hint=HINT)
    return tuple(_approver(path, number, entry) for number, entry in enumerate(entries, 1))


def _approver(path: Path, number: int, entry: Any) -> Approver:
    names = ApproverKey.model_fields
    said = {name: value for name, value in entry.items() if name in names} if isinstance(entry, dict) else entry
    try:
        return approver_of(ApproverKey.model_validate(said))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise ConfigError(f"{path}: approver {number} is none{f': its {place}' if place else ''}", hint=HINT) from error
