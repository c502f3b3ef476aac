"""A disk that stops to answer for one file, and says so. Everything that SQLite does in this process goes through it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.disk import Action, Disk, Operation

PATIENCE_SECONDS = 30


class StallingFile:
    """Syncs of `name`, and of the files that SQLite keeps beside it, wait while it is stalled.

    Attributes:
        waiting: set as soon as somebody waits
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._going = threading.Event()
        self._going.set()
        self.waiting = threading.Event()

    def stall(self) -> None:
        """Answer no sync from now on."""
        self.waiting.clear()
        self._going.clear()

    def go_on(self) -> None:
        """Answer all that wait, and the next."""
        self._going.set()

    def __call__(self, operation: Operation) -> None:
        if operation.action is Action.SYNC and Path(operation.path).name.startswith(self._name) and not self._going.is_set():
            self.waiting.set()
            self._going.wait(PATIENCE_SECONDS)


@contextmanager
def stalling(name: str) -> Iterator[StallingFile]:
    """The disk, with a file that can be stalled; it goes on at the end."""
    file = StallingFile(name)
    with Disk(file):
        try:
            yield file
        finally:
            file.go_on()
