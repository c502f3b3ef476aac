"""A power supply that fails: which bytes are on the disk afterwards.

What was synced stays. Of what was not, each change is kept with probability 1/2, in any combination; of the kept writes,
30 % are torn: each of their 512-byte sectors is there or not. A file whose creation was not synced may be missing, a file
deleted without a sync of its directory may be back. Sizes follow from the changes that were kept.

Source of the model: the assumptions SQLite states in https://sqlite.org/atomiccommit.html and psow.html.
"""

import os
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

import apsw

from faults.disk import CHANGES, Action, DiskError, Operation

SECTOR_BYTES = 512
KEPT = 0.5
TORN = 0.3
_SHARED_MEMORY = "-shm"  # lost with the power; SQLite makes it anew


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class _Truncate:
    size: int


@dataclass(slots=True)
class _File:
    """`durable` is what is on the disk for certain; None where the file itself is not yet."""

    durable: bytearray | None
    pending: list[_Write | _Truncate] = field(default_factory=list)

    def sync(self) -> None:
        if self.durable is None:
            self.durable = bytearray()
        for change in self.pending:
            _apply(self.durable, change)
        self.pending.clear()

    def survivor(self, dice: random.Random) -> bytes | None:
        if self.durable is None and dice.random() >= KEPT:
            return None
        data = bytearray(self.durable or b"")
        for change in self.pending:
            if dice.random() < KEPT:
                for part in _torn(change, dice):
                    _apply(data, part)
        return bytes(data)


class PowerSupply:
    """Watches a disk and fails at its `cut_at`-th change, that one included: from then on every operation fails.

    Thread-safe. Counts in `changes`.
    """

    def __init__(self, dice: random.Random, cut_at: int) -> None:
        self._dice = dice
        self._cut_at = cut_at
        self._files: dict[str, _File] = {}
        self._deleted: dict[str, _File] = {}
        self._lock = threading.Lock()
        self.changes = 0
        self._off = False

    def __call__(self, operation: Operation) -> None:
        with self._lock:
            if self._off:
                raise DiskError(apsw.SQLITE_IOERR, "the power is off")
            if operation.action is Action.OPEN and operation.path not in self._files:
                self._files[operation.path] = _File(bytearray(_bytes(operation.path)))
            if operation.action not in CHANGES:
                return
            self.changes += 1
            self._off = self.changes >= self._cut_at
            if not self._off or operation.action is not Action.SYNC:
                self._note(operation)
            if self._off:
                raise DiskError(apsw.SQLITE_IOERR, "the power went off")

    def off(self) -> bool:
        """Whether it failed."""
        return self._off

    def cut(self) -> None:
        """Fail now."""
        with self._lock:
            self._off = True

    def forget(self, path: str) -> None:
        """A sync of `path` failed: half of what was not synced is gone, and a later sync will not bring it back.

        So it is on Linux: after an error the pages count as written (https://lwn.net/Articles/752063/).
        """
        with self._lock:
            file = self._files.get(path)
            if file is not None:
                file.pending = [change for change in file.pending if self._dice.random() < KEPT]

    def leave(self, folder: Path) -> None:
        """Make the files in `folder` those that a machine finds there when the power is back."""
        for path, file in {**self._deleted, **self._files}.items():
            data = None if path in self._deleted and self._dice.random() >= KEPT else file.survivor(self._dice)
            place = folder / os.path.basename(path)
            if data is None:
                place.unlink(missing_ok=True)
            else:
                place.write_bytes(data)
        for leftover in folder.glob(f"*{_SHARED_MEMORY}"):
            leftover.unlink()

    def _note(self, operation: Operation) -> None:
        path = operation.path
        match operation.action:
            case Action.CREATE:
                self._deleted.pop(path, None)
                self._files[path] = _File(None)
            case Action.WRITE:
                self._files[path].pending.append(_Write(operation.offset, operation.data))
            case Action.TRUNCATE:
                self._files[path].pending.append(_Truncate(operation.size))
            case Action.SYNC:
                if self._files[path].durable is None:  # SQLite syncs the directory of a file it made
                    self._deleted.clear()
                self._files[path].sync()
            case Action.DELETE:
                file = self._files.pop(path, None)
                if operation.synced:
                    self._deleted.clear()
                elif file is not None:
                    self._deleted[path] = file
            case Action.OPEN | Action.READ:
                pass


def _torn(change: _Write | _Truncate, dice: random.Random) -> list[_Write | _Truncate]:
    if isinstance(change, _Truncate) or dice.random() >= TORN:
        return [change]
    parts: list[_Write | _Truncate] = []
    start = 0
    while start < len(change.data):
        end = min(start + SECTOR_BYTES - (change.offset + start) % SECTOR_BYTES, len(change.data))
        if dice.random() < KEPT:
            parts.append(_Write(change.offset + start, change.data[start:end]))
        start = end
    return parts


def _apply(data: bytearray, change: _Write | _Truncate) -> None:
    if isinstance(change, _Truncate):
        del data[change.size :]
        return
    end = change.offset + len(change.data)
    if len(data) < end:
        data.extend(bytes(end - len(data)))
    data[change.offset : end] = change.data


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
