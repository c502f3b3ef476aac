"""Processes that answer orders: one JSON line in, one JSON line out, over pipes that nobody else holds."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

STOP_SECONDS = 10


class LineProcess:
    """Started at once; ends when its standard input does. What it says on standard error goes to `log`."""

    def __init__(self, command: Sequence[str], folder: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
            )
        self._orders, self._answers = _pipe(self._process.stdin), _pipe(self._process.stdout)

    def __enter__(self) -> "LineProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def line(self) -> dict[str, Any]:
        """The next line it says. Raises `RuntimeError` where it ended instead."""
        line = self._answers.readline()
        if not line:
            self._process.wait(STOP_SECONDS)
            raise RuntimeError(f"a process ended with {self._process.returncode}:\n{self._log.read_text()[-2000:]}")
        document: dict[str, Any] = json.loads(line)
        return document

    def ask(self, do: str, **order: Any) -> Any:
        """Give one order and wait. Raises `RuntimeError` with what went wrong."""
        self._orders.write(json.dumps({"do": do, **order}) + "\n")
        self._orders.flush()
        told = self.line()
        if "failed" in told:
            raise RuntimeError(f"{do}: {told['failed']}")
        return told["done"]

    def stop(self) -> None:
        """Let it end, or end it."""
        self._orders.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()


def _pipe(end: IO[str] | None) -> IO[str]:
    if end is None:
        raise RuntimeError("a process was started without its pipes")
    return end
