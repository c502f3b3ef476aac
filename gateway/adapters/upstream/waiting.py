"""Our requests on a connection where answers and messages of the upstream come interleaved: stdio, and HTTP+SSE.

Answers are told apart by their ids, progress by its token. Nothing tells which request another message belongs to: it is
heard only on an *exclusive* session, one that a single call at a time has to itself, and then it is that call's.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.adapters.upstream.hearing import PROGRESS, OpenAsks, Reply
from gateway.adapters.upstream.rpc import Fault, Outgoing


@dataclass(slots=True)
class _Waiter:
    answer: asyncio.Future[dict[str, Any]]
    asks: OpenAsks


class Waiting:
    """The requests under way. `reply` sends the response to a request of the upstream."""

    def __init__(self, reply: Reply, *, exclusive: bool) -> None:
        self._reply = reply
        self._exclusive = exclusive
        self._waiters: dict[str | int, _Waiter] = {}

    def begin(self, outgoing: Outgoing) -> asyncio.Future[dict[str, Any]]:
        """The future response to it, checked as JSON-RPC; a `Fault` where there is none. Every begin wants an `end`."""
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiters[outgoing.id] = _Waiter(answer, OpenAsks(outgoing.hearing, self._reply))
        return answer

    async def end(self, outgoing: Outgoing) -> None:
        """It waits no more; what the upstream asks meanwhile is dropped."""
        waiter = self._waiters.pop(outgoing.id)
        if not waiter.answer.cancel() and not waiter.answer.cancelled():
            waiter.answer.exception()  # it was told, or nobody waits for it any more
        await waiter.asks.close()

    def answered(self, response: dict[str, Any]) -> bool:
        """Whether a response is the answer to one of them, which then has it."""
        waiter = self._waiters.get(response["id"])
        if waiter is None:
            return False
        if not waiter.answer.done():
            waiter.answer.set_result(response)
        return True

    def failed(self, request_id: str | int | None, fault: Fault) -> None:
        """The answer to that one cannot be used."""
        waiter = self._waiters.get(request_id) if request_id is not None else None
        if waiter is not None and not waiter.answer.done():
            waiter.answer.set_exception(fault)

    def fail_all(self, code: str) -> None:
        """The connection is gone."""
        for request_id in self._waiters:
            self.failed(request_id, Fault(code))

    async def heard(self, message: Mapping[str, Any]) -> bool:
        """Whether a request or notification of the upstream belongs to one of them, which then has heard it."""
        waiter = self._of(message)
        if waiter is not None:
            await waiter.asks.receive(message)
        return waiter is not None

    def _of(self, message: Mapping[str, Any]) -> _Waiter | None:
        if message["method"] == PROGRESS and "id" not in message:
            token = message.get("params", {}).get("progressToken")
            return self._waiters.get(token) if isinstance(token, str) else None
        if self._exclusive and len(self._waiters) == 1:
            return next(iter(self._waiters.values()))
        return None
