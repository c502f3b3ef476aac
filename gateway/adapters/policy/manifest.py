"""The `.manifest` of an OPA bundle: what its maker calls this revision, and which part of the policy tree it may fill."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jiter
import orjson

from gateway.core.errors import ConfigError

MAX_REVISION_CHARS = 128
_KNOWN = {"revision", "roots", "rego_version", "file_rego_versions", "metadata"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """`revision` may be empty. `roots` are paths below `data`, without slashes at their ends; an empty one is all of it."""

    revision: str = ""
    roots: tuple[str, ...] = ("",)

    def document(self) -> bytes:
        """As the file holds it."""
        return orjson.dumps({"revision": self.revision, "roots": list(self.roots), "rego_version": 1})


def read_manifest(text: bytes, path: Path) -> Manifest:
    """Raises `ConfigError` for what this gateway could not follow: another Rego version, WebAssembly, unknown keys."""
    try:
        told = jiter.from_json(text, catch_duplicate_keys=True, allow_inf_nan=False)
        if not isinstance(told, dict):
            raise TypeError("it is no object")
        if told.keys() - _KNOWN:
            raise ValueError(f"{min(told.keys() - _KNOWN)!r} is not known here")
        versions = {told.get("rego_version", 1), *told.get("file_rego_versions", {}).values()}
        if versions != {1}:
            raise ValueError("only Rego v1 is spoken here")
        revision, roots = told.get("revision", ""), told.get("roots", [""])
        if not isinstance(revision, str) or len(revision) > MAX_REVISION_CHARS or not revision.isprintable():
            raise ValueError(f"revision is one line of at most {MAX_REVISION_CHARS} characters")
        if not isinstance(roots, list) or not all(isinstance(root, str) for root in roots):
            raise TypeError("roots is a list of paths")
        return Manifest(revision, _disjoint(tuple(root.strip("/") for root in roots)))
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: not acceptable: {error}", hint="Make it with: sealgate policy build.") from error


def outside(data: Any, roots: tuple[str, ...], path: str = "") -> Iterator[str]:
    """The paths of data that no root permits, as OPA looks at it."""
    if within(path, roots):
        return
    if isinstance(data, dict) and any(within(root, (path,)) for root in roots):
        for key, value in data.items():
            yield from outside(value, roots, f"{path}/{key}" if path else key)
    else:
        yield path


def within(path: str, roots: tuple[str, ...]) -> bool:
    """Whether one of the roots is `path` or above it."""
    return any(root in ("", path) or path.startswith(f"{root}/") for root in roots)


def _disjoint(roots: tuple[str, ...]) -> tuple[str, ...]:
    for index, root in enumerate(roots):
        if within(root, roots[:index] + roots[index + 1 :]):
            raise ValueError("its roots overlap")
    return roots
