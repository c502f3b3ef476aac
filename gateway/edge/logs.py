"""The gateway's own log: one line per event on stderr, JSON unless a person watches. No argument or result value in it.

Libraries log through `logging`. Their messages pass; the text of an exception does not, since a validation error quotes
what it refused: its type and the places it passed through are enough to find it.
"""

import logging
import sys
import traceback

import structlog

MAX_CHARS = 500
_FRAMES = 6


class _ToStructlog(logging.Handler):
    """What `logging` carries, as structlog events."""

    def emit(self, record: logging.LogRecord) -> None:
        event = record.getMessage()[:MAX_CHARS]
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields.update(fault(record.exc_info[1]))
        structlog.get_logger().log(record.levelno, event, **fields)


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
