"""A caller's limits at the wire: one that is reached is answered with 429, `Retry-After` and the request's id.

Requests are counted, not notifications and answers. Calls are what the gateway governs. A refusal leaves no entry: nothing
of it reached the pipeline, and a flood must not fill the log. The gateway's own log has a line a minute for each principal.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog
from starlette.responses import JSONResponse, Response

from gateway.core import wire
from gateway.core.limits import Budgets, Exceeded, Limited
from gateway.core.method import READ, Method
from gateway.edge.auth import Caller

CALLS = frozenset({Method.TOOL, *READ})
LISTEN = "subscriptions/listen"
LIMITED = -32000

_SAID = {
    Exceeded.RATE: "You make too many requests in a minute; nothing was done.",
    Exceeded.CONCURRENCY: "You have too many requests running; nothing was done.",
    Exceeded.BUDGET: "You made all the calls that you may make today; nothing was done.",
}

_log = structlog.get_logger("sealgate.front")


class CallerLimits:
    """Owned by the event loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._budgets = Budgets()
        self._monotonic = monotonic
        self._wall = wall

    @contextmanager
    def request(self, caller: Caller, message: Mapping[str, Any], *, stands: bool = False) -> Iterator[Response | None]:
        """Count a message while it is being served; the answer to send instead, where a limit is reached.

        `stands`: it stays open until somebody ends it, so it is counted when it begins only.
        """
        if "id" not in message or "method" not in message:
            yield None
            return
        limited = self._budgets.begin(
            caller.subject,
            caller.limits,
            calls=_calls(message),
            stands=stands,
            now=self._monotonic(),
            wall=self._wall(),
        )
        if limited is not None:
            yield _answer(caller, limited, message["id"])
            return
        try:
            yield None
        finally:
            if not stands:
                self._budgets.end(caller.subject, caller.limits)


def _calls(message: Mapping[str, Any]) -> int:
    """How many governed calls a request makes: listening subscribes to each resource that it names."""
    if message["method"] == LISTEN:
        notifications = (message.get("params") or {}).get("notifications")
        uris = notifications.get("resourceSubscriptions") if isinstance(notifications, Mapping) else None
        return len(uris) if isinstance(uris, list) else 0
    return int(message["method"] in CALLS)


def _answer(caller: Caller, limited: Limited, request_id: wire.RequestId) -> Response:
    if limited.tell:
        _log.warning("caller_limited", principal=caller.subject, limit=limited.which.value, refused=limited.refused)
    message = f"{_SAID[limited.which]} Try again in {limited.retry_after} s."
    error = wire.Malformed(LIMITED, message, request_id)
    return JSONResponse(error.reply(), status_code=429, headers={"Retry-After": str(limited.retry_after)})
