"""A disk that can be watched, made to fail, and stopped: a VFS of SQLite over the ordinary one, and its system calls.

The gateway's code is not changed for it: while a `Disk` is used, it is the default VFS of this process, so that journal,
vault and readers all go through it. Shared memory is no part of a VFS in Python; `SystemCalls` stands under that instead.
"""

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar

import apsw

_BASE = "unix"


class Action(StrEnum):
    CREATE = "create"
    OPEN = "open"
    READ = "read"
    WRITE = "write"
    TRUNCATE = "truncate"
    SYNC = "sync"
    DELETE = "delete"


CHANGES = frozenset(Action) - {Action.OPEN, Action.READ}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on the file `path`, about to be done. `size` is that of a truncation; `synced` a deletion that the
    directory is synced after."""

    action: Action
    path: str
    offset: int = 0
    data: bytes = b""
    size: int = 0
    synced: bool = False

    def __str__(self) -> str:
        return f"{self.action} {os.path.basename(self.path)}"


Watcher = Callable[[Operation], None]
"""Called before each operation, by any thread. What it raises is the operation's error. It may block."""


class DiskError(apsw.IOError):
    """An injected input/output error; `extended` is SQLite's extended code of it."""

    def __init__(self, extended: int, what: str) -> None:
        super().__init__(what)
        self.extendedresult = extended


class DiskFull(apsw.FullError):
    """An injected "no space left"."""


class Disk(apsw.VFS):
    """Use as a context manager: within, everything that SQLite opens in this process is on this disk."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher
        super().__init__(f"faults-{id(self)}", _BASE, makedefault=True)
        self._hook = sys.unraisablehook

    def __enter__(self) -> "Disk":
        self._hook, sys.unraisablehook = sys.unraisablehook, self._unraisable
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        gc.collect()  # a connection that failed to open is still on this disk until it is collected
        sys.unraisablehook = self._hook
        self.unregister()

    def _unraisable(self, unraisable: Any) -> None:
        """What fails while a forgotten connection is closed has no caller."""
        if not isinstance(unraisable.exc_value, apsw.Error):
            self._hook(unraisable)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is not None:
            self._watcher(Operation(Action.OPEN if os.path.exists(path) else Action.CREATE, path))
        return _File(self._watcher, path or "a temporary file", name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._watcher(Operation(Action.DELETE, filename, synced=bool(syncdir)))
        super().xDelete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, watcher: Watcher, path: str, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        self._watcher = watcher
        self._path = path
        super().__init__(_BASE, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        self._watcher(Operation(Action.READ, self._path, offset=offset, size=amount))
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._watcher(Operation(Action.WRITE, self._path, offset=offset, data=bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._watcher(Operation(Action.TRUNCATE, self._path, size=newsize))
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """The real disk is not asked: what is durable here, the watcher knows."""
        self._watcher(Operation(Action.SYNC, self._path))


class SystemCalls:
    """Stands under `mmap`, `pwrite` and `ftruncate` of SQLite's own VFS, for the files whose name ends with `suffix`.

    SQLite lets them be replaced (sqlite3_vfs.xSetSystemCall); that is how its own tests reach shared memory.
    `watcher` is told the call's name before each; the number it returns, if any, is the errno the call fails with.
    Use as a context manager.
    """

    _SIGNATURES: ClassVar[dict[str, tuple[Any, ...]]] = {
        "mmap": (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_size_t,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int,
            ctypes.c_int64,
        ),
        "pwrite": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
        "pwrite64": (ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64),
        "ftruncate": (ctypes.c_int, ctypes.c_int, ctypes.c_int64),
    }

    def __init__(self, suffix: str, watcher: Callable[[str], int | None]) -> None:
        self._suffix = suffix
        self._watcher = watcher
        self._vfs = apsw.VFS(f"calls-{id(self)}", _BASE)
        self._kept: list[Any] = []

    def __enter__(self) -> "SystemCalls":
        for name in self._SIGNATURES:
            self._put(name)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in self._SIGNATURES:
            self._vfs.xSetSystemCall(name, 0)
        self._vfs.unregister()

    def _put(self, name: str) -> None:
        result, *parameters = self._SIGNATURES[name]
        prototype = ctypes.CFUNCTYPE(result, *parameters, use_errno=True)
        real = prototype(self._vfs.xGetSystemCall(name) or 0)
        place = parameters.index(ctypes.c_int) if name != "mmap" else 4

        def call(*arguments: Any) -> Any:
            if self._is_ours(arguments[place]):
                errno = self._watcher(name)
                if errno is not None:
                    ctypes.set_errno(errno)
                    return -1
            return real(*arguments)

        replaced = prototype(call)
        self._kept.append((real, replaced))
        self._vfs.xSetSystemCall(name, ctypes.cast(replaced, ctypes.c_void_p).value or 0)

    def _is_ours(self, descriptor: int) -> bool:
        if descriptor < 0:
            return False
        try:
            return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)").endswith(self._suffix)
        except OSError:
            return False
