"""What of an upstream's messages reaches the SDK's session: it queues without bound what it cannot answer at once.

Responses pass, and the notifications that its subscriptions stand on. What is of interest to us is told aside. Requests are
answered here, at most one at a time.
"""

import asyncio
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client import Transport
from mcp.shared.message import SessionMessage
from mcp_types import METHOD_NOT_FOUND, JSONRPCNotification, JSONRPCRequest, jsonrpc_message_adapter

PASSED = frozenset(
    {
        "notifications/subscriptions/acknowledged",  # 2026-07-28: opens, and
        "notifications/cancelled",  # ends a subscription
    }
)
"""Notifications that reach the session; others are dropped."""

LISTS = {
    "notifications/tools/list_changed": "tools",
    "notifications/resources/list_changed": "resources",
    "notifications/prompts/list_changed": "prompts",
}
"""Notifications that a list changed, and which."""

UPDATED = "notifications/resources/updated"
NOTICES = frozenset({*LISTS, UPDATED})
"""Notifications that concern no call, but the upstream as a whole."""

Notice = Callable[[str, Mapping[str, Any]], None]
"""Called with the method and the params of one of `NOTICES`. Never raises."""

REPLY_SECONDS = 5.0


def reply_to(request: Mapping[str, Any]) -> dict[str, Any]:
    """Our response to a request of the server: we offer nothing but ping."""
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
    if request["method"] == "ping":
        return {**reply, "result": {}}
    return {**reply, "error": {"code": METHOD_NOT_FOUND, "message": "This client does not offer that."}}


class Screened(Transport):
    """A transport whose server's requests are answered here, the next message read when the answer is away.

    An answer that does not leave in `REPLY_SECONDS` is dropped.
    """

    def __init__(self, inner: Transport, on_notice: Notice) -> None:
        self._inner = inner
        self._on_notice = on_notice
        self._pump_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> tuple[MemoryObjectReceiveStream[SessionMessage | Exception], Any]:
        read_stream, write_stream = await self._inner.__aenter__()
        to_session, screened = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self._pump_task = asyncio.create_task(_pump(read_stream, write_stream, to_session, self._on_notice))
        return screened, write_stream

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            if self._pump_task is not None:
                self._pump_task.cancel()
                await asyncio.gather(self._pump_task, return_exceptions=True)
        finally:
            left = await self._inner.__aexit__(kind, error, traceback)
        return left


async def _pump(
    read_stream: Any, write_stream: Any, to_session: MemoryObjectSendStream[SessionMessage | Exception], on_notice: Notice
) -> None:
    """Upstream → session, until either is left."""
    try:
        async with to_session, read_stream:
            async for item in read_stream:
                match item:
                    case SessionMessage(message=JSONRPCRequest() as request):
                        reply = jsonrpc_message_adapter.validate_python(
                            reply_to({"id": request.id, "method": request.method})
                        )
                        with anyio.move_on_after(REPLY_SECONDS):
                            await write_stream.send(SessionMessage(reply))
                    case SessionMessage(message=JSONRPCNotification(method=method) as notice) if method in NOTICES:
                        on_notice(method, notice.params or {})
                        await asyncio.sleep(0)  # many of them must not keep the others waiting
                    case SessionMessage(message=JSONRPCNotification(method=method)) if method not in PASSED:
                        pass
                    case SessionMessage():
                        await to_session.send(item)
                    case _:
                        pass  # the SDK hands on what it could not parse
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass  # the session is being left
