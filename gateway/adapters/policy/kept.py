"""The policies that were in force lately: `<state>/policies/`, one bundle file per revision, and when each was in force.

The times stand in a file with a keyed digest over them, since they say which policies decide after a restart: what does not
bear it is not believed, nor what is older than the log says. A bundle is on disk before its policies decide anything.
Bundles are read back for a roll-back and to explain a decision, and count only if their content has the digest they are
named by.
"""

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from gateway.adapters.policy.bundle import PolicyBundle
from gateway.adapters.policy.reading import read_apart
from gateway.core.canonical import canonical
from gateway.core.commitment import CommitmentKey
from gateway.core.errors import ConfigError, StoreFault

KEEP_BUNDLES = 10
KEEP_TERMS = 100
MAX_INDEX_BYTES = 1 << 20
LABEL = "sealgate.policy-history"
INDEX = "index.json"
_DIGEST = "sha256:"


@dataclass(frozen=True, slots=True)
class Term:
    """A time in force. `name` is the revision in the manifest, or empty; `how` it began: start, reload, rollback."""

    revision: str
    name: str
    since: str
    how: str


@dataclass(frozen=True, slots=True)
class RollBack:
    """Kept policies decide in the place of the configured ones, as long as these stay `over`."""

    over: str
    at: str


@dataclass(frozen=True, slots=True)
class History:
    """Terms in order, the last one is now. `rolled_back` where a roll-back is in force.

    `number` grows with each writing, and each entry of the log that tells of policies states it: an older history is so
    known. 0: it was written before there were numbers.
    """

    terms: tuple[Term, ...] = ()
    rolled_back: RollBack | None = None
    number: int = 0

    def kept(self) -> tuple[str, ...]:
        """The revisions whose files are kept, newest first."""
        return tuple(dict.fromkeys(term.revision for term in reversed(self.terms)))[:KEEP_BUNDLES]

    def document(self) -> dict[str, Any]:
        """As JSON, for the CLI and the file."""
        rolled = self.rolled_back
        return {
            "terms": [
                {"revision": term.revision, "name": term.name, "since": term.since, "how": term.how} for term in self.terms
            ],
            "kept": self.kept(),
            "rolled_back": rolled and {"over": rolled.over, "at": rolled.at},
            **({"number": self.number} if self.number else {}),
        }


class KeptPolicies:
    """One per state folder; its owner writes, with the `seal` of its key ring, others read to show. Methods wait."""

    def __init__(self, folder: Path, seal: CommitmentKey | None = None) -> None:
        self.folder = folder
        self._seal = seal

    def history(self) -> History:
        """What is known. Without a seal nothing says that it is true.

        Raises:
            StoreFault: it cannot be read.
            ConfigError: it is not of its form, or somebody else wrote it.
        """
        path = self.folder / INDEX
        try:
            with path.open("rb") as file:
                text = file.read(MAX_INDEX_BYTES)
        except FileNotFoundError:
            return History()
        except OSError as error:
            raise StoreFault(
                f"{path}: the history of policies cannot be read: {error.strerror}",
                hint=f"Let the gateway's user read it. Without {self.folder} the configured policies decide.",
            ) from error
        try:
            told = orjson.loads(text)
            history, mac = _history(told), told["mac"]
            if self._seal is not None and not hmac.compare_digest(_mac(self._seal, history).encode(), _text(mac).encode()):
                raise ValueError("it was not written with this gateway's keys")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f"{path}: the history of policies is not believed: {error}",
                hint=f"Move {self.folder} away, and find out who changed it.",
                code="policy.history_refused",
            ) from error
        return history

    def set_aside(self) -> Path:
        """Move the history away, to be looked at. Raises `StoreFault`."""
        path = self.folder / INDEX
        aside = path.with_name(f"{INDEX}.refused")
        try:
            path.replace(aside)
        except OSError as error:
            raise StoreFault(f"{path}: cannot be moved: {error.strerror}") from error
        return aside

    def keep(self, bundle: PolicyBundle) -> None:
        """Store the bundle file, durably. Raises `StoreFault`."""
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            _replace(self._file(bundle.revision), bundle.archive or bundle.packed())
        except OSError as error:
            raise StoreFault(f"{self.folder}: the policies cannot be kept: {error.strerror}") from error

    def write(self, history: History) -> History:
        """Replace the history, durably. Raises `StoreFault`."""
        if self._seal is None:
            raise StoreFault("the history of policies is written by a gateway with its keys only")
        history = replace(history, terms=history.terms[-KEEP_TERMS:])
        try:
            _replace(self.folder / INDEX, orjson.dumps({**history.document(), "mac": _mac(self._seal, history)}))
        except OSError as error:
            raise StoreFault(f"{self.folder}: the history of policies cannot be written: {error.strerror}") from error
        return history

    def drop_unused(self, history: History) -> None:
        """Remove the files that the history does not keep. Raises `StoreFault`."""
        wanted = {self._file(revision) for revision in history.kept()}
        try:
            for file in self.folder.glob("*.tar.gz"):
                if file not in wanted:
                    file.unlink()
        except OSError as error:
            raise StoreFault(f"{self.folder}: policies cannot be removed: {error.strerror}") from error

    def bundle(self, revision: str, key_path: Path | None = None) -> PolicyBundle:
        """The kept policies of that revision, read in a process of their own.

        Raises `ConfigError` where they are gone, changed, or not signed by the key at `key_path`.
        """
        file = self._file(revision)
        if not file.is_file():
            raise ConfigError(
                f"the policies {revision} are not kept any more", hint=f"The last {KEEP_BUNDLES} are: sealgate policy list"
            )
        bundle = read_apart(file, key_path)
        if bundle.revision != revision:
            raise ConfigError(f"{file}: was changed: its digest is {bundle.revision}", hint="Remove it.")
        return bundle

    def _file(self, revision: str) -> Path:
        digest = revision.removeprefix(_DIGEST)
        if not digest.isalnum():
            raise ConfigError(f"{revision!r} names no kept policies", hint="sealgate policy list")
        return self.folder / f"{digest}.tar.gz"


def _history(told: Mapping[str, Any]) -> History:
    """Raises ValueError, KeyError, TypeError or AttributeError where it is not of the form of `History.document`."""
    if not isinstance(told["terms"], list):
        raise TypeError("its terms are no list")
    terms = tuple(Term(*(_text(term[name]) for name in ("revision", "name", "since", "how"))) for term in told["terms"])
    rolled, number = told["rolled_back"], told.get("number", 0)
    if type(number) is not int or number < 0:
        raise TypeError("its number is none")
    if rolled is None:
        return History(terms, None, number)
    if not terms:
        raise ValueError("it has a roll-back to nothing")
    return History(terms, RollBack(_text(rolled["over"]), _text(rolled["at"])), number)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("what should be text is none")
    return value


def _mac(seal: CommitmentKey, history: History) -> str:
    return seal.digest(LABEL, canonical(history.document()))


def _replace(path: Path, content: bytes) -> None:
    """The whole file or the old one, whatever happens; only its owner may read it."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
