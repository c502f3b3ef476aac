"""Decisions as OPA logs them (https://www.openpolicyagent.org/docs/management-decision-logs), for tools that read such logs.

One JSON line per decision, for both engines. Values of the call are erased from it, as OPA's own mask rules would: what was
taken out is listed in `erased`. The signed log is the record; this file is not, and a decision never waits for it.

A thread writes it. What cannot be written, or finds the queue full, is counted and told once.
"""

import logging
import os
import queue
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from io import TextIOWrapper
from logging.handlers import QueueListener, RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
import structlog

from gateway.core.call import SealedCall
from gateway.core.decision import ENTRY_POINT, PolicyDecision
from gateway.core.obligations import Obligations

MAX_BYTES = 64 << 20
OLD_FILES = 5
MAX_WAITING = 8192
STOP_SECONDS = 5.0
PATH = ENTRY_POINT.removeprefix("data.").replace(".", "/")
ERASED_INPUT = (("context", "arguments"), ("context", "fields"), ("context", "provenance", "leaves"))
NEVER_QUOTE = frozenset({"approve_for", "evidence", "max_result_bytes", "redact", "routes"})
"""Obligations whose values are closed words, numbers and paths. A policy may copy arguments into all others."""

_log = structlog.get_logger("sealgate.policy")


class DecisionLog:
    """Use as `with DecisionLog(path, {"id": …}) as log`; leaving it writes what still waits.

    Args:
        labels: what OPA's events carry of the process that decided
        max_bytes: a file that would grow over this is renamed, and the oldest of `old_files` removed
    """

    def __init__(
        self, path: Path, labels: Mapping[str, str], *, max_bytes: int = MAX_BYTES, old_files: int = OLD_FILES
    ) -> None:
        self._path = path
        self._dropped = 0
        self._waiting: queue.Queue[Any] = queue.Queue(MAX_WAITING)
        self._file = _File(path, labels, max_bytes, old_files)
        self._listener = _Thread(self._waiting, self._file)

    def tell(self, call: SealedCall, decision: PolicyDecision, nanoseconds: int) -> None:
        """Write one decision, which took so long. Returns at once."""
        record = logging.makeLogRecord({"msg": (call.envelope_id, call.run.trace_id, decision, nanoseconds)})
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._dropped += 1
            if self._dropped == 1:
                _log.error("decision_log_behind", path=str(self._path))

    def status(self) -> dict[str, Any]:
        """How many lines were written, could not be, or were dropped since the start."""
        return {"written": self._file.written, "failed": self._file.failed, "dropped": self._dropped}

    def __enter__(self) -> Self:
        self._listener.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._listener.stop()


class _Thread(QueueListener):
    """The stdlib's writing thread, which the end of the gateway does not wait for for ever."""

    def stop(self) -> None:
        """Let it write what still waits, for so long, and close the file."""
        thread = self._thread
        if thread is None:
            return
        try:
            self.queue.put(self._sentinel, timeout=STOP_SECONDS)  # type: ignore[attr-defined]  # a Queue
        except queue.Full:
            return  # it is stuck; it ends with the process
        thread.join(STOP_SECONDS)
        self._thread = None
        if not thread.is_alive():
            for handler in self.handlers:
                handler.close()


class _File(RotatingFileHandler):
    """The stdlib's rotation, in a file of its owner's only, with failures counted."""

    def __init__(self, path: Path, labels: Mapping[str, str], max_bytes: int, old_files: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=old_files, encoding="utf-8", delay=True)
        self._labels = labels
        self.written = 0
        self.failed = 0

    def format(self, record: logging.LogRecord) -> str:
        if not isinstance(record.msg, str):  # asked for twice: by the rotation, and to be written
            record.msg = orjson.dumps(event(*record.msg, labels=self._labels)).decode()
        return record.msg

    def emit(self, record: logging.LogRecord) -> None:
        before = self.failed
        super().emit(record)
        if self.failed == before:
            self.written += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the stdlib's name
        self.failed += 1
        if self.failed == 1:
            error = sys.exc_info()[1]
            cause = error.strerror if isinstance(error, OSError) else type(error).__name__
            _log.error("decision_log_failed", path=self.baseFilename, cause=cause)
        stream, self.stream = self.stream, None  # opened anew for the next line
        try:
            if stream is not None:
                stream.close()
        except OSError:
            pass  # it is why we are here

    def _open(self) -> TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "a", encoding=self.encoding)


def event(
    envelope_id: str, trace_id: str, decision: PolicyDecision, nanoseconds: int, *, labels: Mapping[str, str]
) -> dict[str, Any]:
    """One decision in OPA's form (`EventV1`)."""
    seen = orjson.loads(decision.input)
    result: dict[str, Any] = {"effect": decision.effect, "reasons": [{"code": reason.code} for reason in decision.reasons]}
    obligations = _obligations(decision.obligations)
    result["obligations"] = {name: value for name, value in obligations.items() if name in NEVER_QUOTE}
    erased = [
        *_erased(seen),
        *(f"/result/reasons/{index}/message" for index in range(len(decision.reasons))),
        *(f"/result/obligations/{name}" for name in obligations if name not in NEVER_QUOTE),
    ]
    return {
        "labels": labels,
        "decision_id": decision.decision_id,
        "trace_id": trace_id,
        "bundles": _bundles(decision),
        "path": PATH,
        "input": seen,
        "result": result,
        "erased": erased,
        **({"error": {"code": "policy.error", "message": decision.cause}} if decision.cause else {}),
        "timestamp": seen["context"]["time"],
        "metrics": {"timer_server_handler_ns": nanoseconds},
        "custom": {"envelope_id": envelope_id, "engine": decision.engine},
    }


def _erased(seen: dict[str, Any]) -> Iterator[str]:
    for path in ERASED_INPUT:
        part = seen
        for step in path[:-1]:
            part = part[step]
        if part.pop(path[-1], None) is not None:
            yield "/input/" + "/".join(path)


def _obligations(obligations: Obligations) -> dict[str, Any]:
    """By name, as a policy writes them."""
    return {name: _plain_value(getattr(obligations, name)) for name in obligations.names}


def _plain_value(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value


def _bundles(decision: PolicyDecision) -> dict[str, dict[str, str]]:
    """By name; an OPA server's revisions are written `name@revision`."""
    named = [part.rpartition("@") for part in decision.bundle_revision.split(",")]
    return {name or "sealgate": {"revision": revision} for name, _, revision in named}
