"""Notifications of a running call to its client: progress and log messages, in order, ahead of the result.

What an upstream says here is text from a stranger that nothing records: it is bounded, its hidden characters are made
visible, and only what the client asked for is passed on.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from mcp_types import (
    LOG_LEVEL_META_KEY,
    LoggingMessageNotification,
    ProgressNotification,
    ServerNotification,
)
from pydantic import ValidationError

from gateway.core.scan import Scan
from gateway.edge.meta import Context, is_modern, meta_of

MAX_WAITING = 256
MAX_BYTES = 16 * 1024
FLUSH_SECONDS = 5.0
PROGRESS = "notifications/progress"
MESSAGE = "notifications/message"
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

_log = structlog.get_logger("sealgate.mcp")


class Telling:
    """The notifications of one call. `level`: the lowest that a handshake client wants; None: it never said."""

    def __init__(self, context: Context, level: str | None) -> None:
        self._waiting: deque[ServerNotification] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._level = level
        self.attend(context)

    def attend(self, context: Context | None) -> None:
        """From now on the client listens on this request; None: on none."""
        self._context = context
        if context is not None:
            meta = meta_of(context)
            self._token = meta.get("progressToken")
            wanted = meta.get(LOG_LEVEL_META_KEY) if is_modern(context) else self._level
            self._levels = LEVELS[LEVELS.index(wanted) :] if wanted in LEVELS else ()

    @property
    def log_level(self) -> str | None:
        """The lowest level of log messages that the client asked for; None: it asked for none."""
        return self._levels[0] if self._context is not None and self._levels else None

    @property
    def wants_progress(self) -> bool:
        """Whether the client gave a token for it."""
        return self._context is not None and isinstance(self._token, str | int)

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """See `Conversation.tell`."""
        if self._context is None or len(self._waiting) >= MAX_WAITING:
            return
        try:
            notification = self._notification(method, params)
        except (ValidationError, TypeError, ValueError):  # its shape is wrong, or it cannot be written
            return
        if notification is None:
            return
        self._waiting.append(notification)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())

    async def flush(self) -> None:
        """Until all of it has left, but not for long."""
        if self._sending is not None:
            await asyncio.wait([self._sending], timeout=FLUSH_SECONDS)
            self.drop()

    def drop(self) -> None:
        """What has not left is not sent any more."""
        self._waiting.clear()
        if self._sending is not None:
            self._sending.cancel()

    def _notification(self, method: str, params: Mapping[str, Any]) -> ServerNotification | None:
        said: dict[str, Any] = Scan().of(dict(params))
        if len(orjson.dumps(said)) > MAX_BYTES:
            return None
        if method == PROGRESS and self.wants_progress:
            return ProgressNotification.model_validate({"method": method, "params": {**said, "progressToken": self._token}})
        if method == MESSAGE and said.get("level") in self._levels:
            return LoggingMessageNotification.model_validate({"method": method, "params": said})
        return None

    async def _send(self) -> None:
        context = self._context
        if context is None:
            return
        try:
            while self._waiting:
                await context.session.send_notification(self._waiting.popleft(), related_request_id=context.request_id)
        except Exception as error:  # noqa: BLE001 - a client that is gone; the call goes on without it
            _log.debug("notification_not_sent", cause=type(error).__name__)
