"""A policies folder as one immutable value.

Read as `opa run --server FOLDER` reads it, so that both engines see the same: every `*.rego` below the folder is a
module, a `data.json` is mounted at the path of its folder. `*_test.rego` are kept apart: they never decide anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiter

from gateway.core.canonical import NotCanonical, digest
from gateway.core.errors import ConfigError

DATA_FILE = "data.json"
DATA_SUFFIXES = {".json", ".yaml", ".yml"}
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PolicyBundle:
    """Modules and tests by their path within the folder; `revision` is the digest of modules and data, not of tests."""

    modules: Mapping[str, str]
    tests: Mapping[str, str]
    data: Mapping[str, Any]
    revision: str


def default_policies() -> Path:
    """The policies that come with the gateway: inside an installed wheel, or beside the package in a source checkout."""
    package = Path(__file__).resolve().parents[2]
    installed = package / "_policies"
    return installed if installed.is_dir() else package.parent / "policies"


def load_bundle(path: Path) -> PolicyBundle:
    """Read the folder at `path`.

    Raises:
        ConfigError: it cannot be read, holds no policy, or a data file is wrong; says which file and where.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: there is no such folder", hint="Name the folder that holds your *.rego files.")
    modules: dict[str, str] = {}
    tests: dict[str, str] = {}
    data: dict[str, Any] = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if not file.is_file():
            continue
        if name.endswith("_test.rego"):
            tests[name] = _text(file)
        elif file.suffix == ".rego":
            modules[name] = _text(file)
        elif file.name == DATA_FILE:
            _mount(data, file, file.relative_to(path).parts[:-1])
        elif file.suffix in DATA_SUFFIXES:
            raise ConfigError(
                f"{file}: only {DATA_FILE} holds policy data",
                hint=f"Move its content to a {DATA_FILE}, or the file elsewhere.",
            )
    if not modules:
        raise ConfigError(f"{path}: holds no *.rego policy", hint="Name the folder that holds your *.rego files.")
    try:
        revision = digest({"modules": modules, "data": data})
    except NotCanonical as error:
        raise ConfigError(
            f"{path}: the policy data has no canonical form: {error}", hint="Write such numbers as strings."
        ) from error
    return PolicyBundle(modules, tests, data, revision)


def _mount(data: dict[str, Any], file: Path, folders: tuple[str, ...]) -> None:
    """Merge the object in `file` into `data` at the path of its folders."""
    try:
        document = jiter.from_json(_text(file).encode(), catch_duplicate_keys=True, allow_inf_nan=False)
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


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{file}: is larger than {MAX_BYTES >> 20} MiB", hint="Policies must be small; move data out.")
        return file.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}", hint="Let the gateway's user read it.") from error
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ConfigError(f"{file}:{line}: is not UTF-8 text", hint="Save it as UTF-8.") from error
