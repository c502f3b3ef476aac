"""What an upstream says of its own accord during a request of ours: who hears it, and how its asks are answered."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from mcp_types import METHOD_NOT_FOUND

PROGRESS = "notifications/progress"
LOG_MESSAGE = "notifications/message"
CANCELLED = "notifications/cancelled"

MAX_OPEN_ASKS = 16
TOO_MANY = -32000


class Hearing(Protocol):
    """Hears the upstream during one request. Implementations: `Deaf`, `talk.Talk`."""

    def notified(self, method: str, params: Mapping[str, Any]) -> None:
        """Progress (without its token) or a log message. Never waits and never raises."""

    async def asked(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The `result` or `error` member of the response to a request of the upstream. Never raises but for cancellation."""


def refusal(code: int, message: str) -> dict[str, Any]:
    """An `error` member."""
    return {"error": {"code": code, "message": message}}


NOT_OFFERED = refusal(METHOD_NOT_FOUND, "This client does not offer that.")


class Deaf:
    """Nobody hears it, and nothing is offered."""

    def notified(self, method: str, params: Mapping[str, Any]) -> None:
        pass

    async def asked(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        return NOT_OFFERED


DEAF = Deaf()

Reply = Callable[[dict[str, Any]], Awaitable[None]]
"""Sends a response to the upstream. Never raises."""


class OpenAsks:
    """The requests of an upstream that wait for an answer, during one request of ours. `close` ends them, unanswered."""

    def __init__(self, hearing: Hearing, reply: Reply) -> None:
        self._hearing = hearing
        self._reply = reply
        self._tasks: dict[str | int, asyncio.Task[None]] = {}

    async def receive(self, document: Mapping[str, Any]) -> None:
        """A request or a notification of the upstream, checked as JSON-RPC. Waits for no client."""
        method, params = document["method"], document.get("params", {})
        if "id" not in document:
            self._notified(method, params)
        elif method == "ping":
            await self._answer(document["id"], {"result": {}})
        elif document["id"] in self._tasks or len(self._tasks) >= MAX_OPEN_ASKS:
            await self._answer(document["id"], refusal(TOO_MANY, "Too many requests at once."))
        else:
            task = asyncio.create_task(self._ask(document["id"], method, params))
            self._tasks[document["id"]] = task
            task.add_done_callback(lambda _: self._tasks.pop(document["id"], None))

    async def close(self) -> None:
        """See the class."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _notified(self, method: str, params: Mapping[str, Any]) -> None:
        if method in (PROGRESS, LOG_MESSAGE):
            self._hearing.notified(method, {key: value for key, value in params.items() if key != "progressToken"})
        elif method == CANCELLED:
            request_id = params.get("requestId")
            task = self._tasks.get(request_id) if isinstance(request_id, str | int) else None
            if task is not None:
                task.cancel()

    async def _ask(self, request_id: str | int, method: str, params: dict[str, Any]) -> None:
        await self._answer(request_id, await self._hearing.asked(method, params))

    async def _answer(self, request_id: str | int, member: Mapping[str, Any]) -> None:
        await self._reply({"jsonrpc": "2.0", "id": request_id, **member})
