"""Long calls of handshake clients let go of their connection, where the operator wants that (SEP-1699).

The call goes on. What it says meanwhile and its answer are kept as events of its stream, and the client comes back for them
with `Last-Event-ID`. The SDK gives a way to end a stream only for clients that know to come back (2025-11-25).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from gateway.edge.meta import Context


@asynccontextmanager
async def letting_go(context: Context, after_seconds: float) -> AsyncIterator[None]:
    """Around one call. 0: it holds its connection for as long as it lasts."""
    close = context.close_sse_stream
    if close is None or not after_seconds:
        yield
        return
    waiting = asyncio.ensure_future(_close(close, after_seconds))
    try:
        yield
    finally:
        waiting.cancel()


async def _close(close: Callable[[], Awaitable[None]], after_seconds: float) -> None:
    await asyncio.sleep(after_seconds)
    await close()
