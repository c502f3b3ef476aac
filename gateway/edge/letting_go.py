"""A call that lasts long lets go of its client's connection, where the operator wants that (SEP-1699).

The call goes on. What it says meanwhile and its answer are kept as events of its stream, and the client comes back for them
with `Last-Event-ID`. A client that does not know how to come back holds on: see `HandshakeConversation.let_go`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.core.conversation import Conversation


@asynccontextmanager
async def letting_go(conversation: Conversation, after_seconds: float) -> AsyncIterator[None]:
    """Around one call. 0: it holds its connection for as long as it lasts."""
    if not after_seconds:
        yield
        return
    waiting = asyncio.ensure_future(_let_go(conversation, after_seconds))
    try:
        yield
    finally:
        waiting.cancel()


async def _let_go(conversation: Conversation, after_seconds: float) -> None:
    await asyncio.sleep(after_seconds)
    await conversation.let_go()
