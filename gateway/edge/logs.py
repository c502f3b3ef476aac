"""The gateway's own log: one line per event on stderr, JSON unless a person watches. No argument or result value in it.

Libraries log through `logging`. Their messages pass; the text of an exception does not, since a validation error quotes
what it refused: its type and the places it passed through are enough to find it.
"""

import logging
import sys
import time
import traceback
from dataclasses import dataclass

import structlog

MAX_CHARS = 500
_FRAMES = 6

BURST = 5
WINDOW_SECONDS = 10.0
KEY_CHARS = 80
MAX_KEYS = 256


class _ToStructlog(logging.Handler):
    """What `logging` carries, as structlog events.

    Of lines that begin alike, `BURST` pass in a window of `WINDOW_SECONDS`: what an upstream does must not fill the log. How
    many were dropped is told when anything is logged after the window. Beyond `MAX_KEYS` beginnings the rest share a window.
    """

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, str], _Window] = {}

    def emit(self, record: logging.LogRecord) -> None:
        event = record.getMessage()[:MAX_CHARS]
        if not self._passes(record.name, event[:KEY_CHARS], time.monotonic()):
            return
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields.update(fault(record.exc_info[1]))
        structlog.get_logger().log(record.levelno, event, **fields)

    def _passes(self, name: str, beginning: str, now: float) -> bool:
        key = (name, beginning)
        window = self._windows.get(key)
        if window is None or now >= window.ends:
            self._tell_dropped(now)
            if len(self._windows) >= MAX_KEYS:
                key = ("", "")
            window = self._windows.setdefault(key, _Window(now + WINDOW_SECONDS))
        window.lines += 1
        return window.lines <= BURST

    def _tell_dropped(self, now: float) -> None:
        """End the windows that are over."""
        for (name, beginning), window in list(self._windows.items()):
            if now >= window.ends:
                del self._windows[name, beginning]
                if window.lines > BURST:
                    dropped = window.lines - BURST
                    structlog.get_logger().warning("log lines dropped", logger=name, like=beginning, dropped=dropped)


@dataclass(slots=True)
class _Window:
    ends: float
    lines: int = 0


def fault(error: BaseException) -> dict[str, object]:
    """An exception without its text: its type, and the innermost places it came through."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return {"error": type(error).__name__, "where": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]}


def configure() -> None:
    """Send everything to stderr. Called once, by the process that serves."""
    person = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=False) if person else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(logging.WARNING)
    logging.getLogger("sealgate").setLevel(logging.INFO)
