"""A log as a folder of static files (C2SP tlog-tiles): `checkpoint`, `tile/…`, and for auditors `public.json`, `log.vkey`,
`cosigned` (the newest checkpoint that witnesses cosigned).

Tiles and bundles never change; the checkpoint is replaced last, so that whatever it covers is there. Any web server can
serve the folder. Source: https://c2sp.org/tlog-tiles.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.core.anchor import AnchoredCheckpoint
from gateway.core.checkpoint import Checkpoint, SignedNote, read_checkpoint
from gateway.core.dsse import NotVerified
from gateway.core.errors import StoreFault, VerificationFailed
from gateway.core.tiles import MAX_ENTRY_BYTES, WIDTH, TileName, split_hashes, unbundle
from gateway.core.verify import StoredEntry

_MAX_BYTES = WIDTH * (2 + MAX_ENTRY_BYTES)


class StaticLog:
    """Implements `core.ports.LogReader` on the folder, and writes to it. Nothing in it is trusted.

    Only ordinary files below the folder are read: a symbolic link may lead out of it, and a pipe or a device never ends.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # --- reading ---

    def entries(self, start: int = 0) -> Iterator[StoredEntry]:
        """As many as the checkpoint states. The leaf hashes are those of the tiles."""
        size = self._stated().size
        for number in range(start // WIDTH, -(-size // WIDTH)):
            width = min(WIDTH, size - number * WIDTH)
            bundle, tile = TileName(None, number, width), TileName(0, number, width)
            try:
                entries = unbundle(self._present(bundle), bundle)
                leaves = split_hashes(self._present(tile), tile)
            except ValueError as error:
                raise VerificationFailed(f"the export is damaged: {error}") from error
            for place, (entry, leaf) in enumerate(zip(entries, leaves, strict=True), number * WIDTH):
                if place >= start:
                    yield StoredEntry(place, entry, leaf)

    def entries_naming(self, text: str) -> Iterator[StoredEntry]:
        return self.entries()

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        note = self.checkpoint()
        if note is not None:
            yield self._stated().size, note

    def checkpoint(self, *, cosigned: bool = False) -> str | None:
        data = self._read("checkpoint")
        note = None if data is None else data.decode(errors="replace")
        return None if note is None or (cosigned and len(_opened(note).signatures) < 2) else note

    def anchored(self) -> Iterator[AnchoredCheckpoint]:
        """With their cosignatures as they stand in the files. Stamps are not exported."""
        for path in ("checkpoint", "cosigned"):
            data = self._read(path)
            if data is not None:
                yield AnchoredCheckpoint(data.decode(errors="replace"), ())

    def tile(self, name: TileName) -> bytes | None:
        return self._read(name.path)

    def head(self) -> tuple[int, bytes]:
        stated = self._stated()
        return stated.size, stated.root

    # --- writing ---

    def create(self) -> None:
        """Make the folder. Raises `StoreFault` where it holds other things."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = {path.name for path in self.folder.iterdir()}
        except OSError as error:
            raise StoreFault(f"cannot make {self.folder}: {error.strerror}") from error
        if names and not names & {"checkpoint", "tile"}:
            raise StoreFault(f"{self.folder} is not empty and holds no exported log", hint="Name a new folder.")

    def add(self, name: TileName, data: bytes) -> None:
        """Write a tile or a bundle. Raises `VerificationFailed` where it is there with other bytes."""
        there = self._read(name.path)
        if there is None:
            self.replace(name.path, data)
        elif there != data:
            raise VerificationFailed(
                f"{self.folder / name.path} is there with other bytes, and what was exported never changes",
                hint="Find out who changed it, or whose log it is; export into a new folder.",
            )

    def replace(self, path: str, data: bytes) -> None:
        """Write a file so that a reader sees the old one or the new one whole, also after a power cut."""
        target = self.folder / path
        unfinished = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise StoreFault(f"cannot write {target}: {error.strerror}") from error

    def forget_partial(self, name: TileName) -> None:
        """Delete the partial tiles and bundles of a place that has a full one now, as the specification allows."""
        if self._read(name.full.path) is not None:
            shutil.rmtree((self.folder / name.path).parent, ignore_errors=True)

    # --- inside ---

    def _read(self, path: str) -> bytes | None:
        try:
            with os.fdopen(self._opened_inside(path), "rb") as file:
                data = file.read(_MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreFault(f"cannot read {self.folder / path}: {error.strerror}") from error
        if len(data) > _MAX_BYTES:
            raise VerificationFailed(f"{self.folder / path} is longer than any such file can be")
        return data

    def _opened_inside(self, path: str) -> int:
        """A descriptor of an ordinary file. No part of its path, which is below the folder, is a link. Raises OSError."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # to open a pipe must not wait for who writes
        found = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        for name in path.split("/"):
            try:
                inside = os.open(name, flags, dir_fd=found)
            except OSError as error:
                if error.errno in (errno.ELOOP, errno.ENXIO):  # a link; a socket, or a device that is not there
                    raise self._odd(path) from error
                raise
            finally:
                os.close(found)
            found = inside
        if not stat.S_ISREG(os.fstat(found).st_mode):
            os.close(found)
            raise self._odd(path)
        return found

    def _odd(self, path: str) -> VerificationFailed:
        return VerificationFailed(
            f"{self.folder / path} is no ordinary file, and an export has no others",
            hint="Find out who put it there; get the export anew.",
        )

    def _present(self, name: TileName) -> bytes:
        data = self.tile(name)
        if data is None:
            raise VerificationFailed(f"the export is not complete: {self.folder / name.path} is missing")
        return data

    def _stated(self) -> Checkpoint:
        note = self.checkpoint()
        if note is None:
            raise StoreFault(f"there is no exported log in {self.folder}", hint="sealgate log export makes one.")
        return _opened(note).checkpoint


def _opened(note: str) -> SignedNote:
    try:
        return read_checkpoint(note)
    except NotVerified as error:
        raise VerificationFailed(f"the export's checkpoint is damaged: {error}") from error
