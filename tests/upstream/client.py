"""A client that upstreams may talk with, made for tests: it says what it is told, and answers as it is told to."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.core.conversation import NOBODY, Ask, AskAnswer

EVERYTHING: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
ANSWERS: dict[str, Any] = {
    "elicitation/create": {"action": "accept", "content": {"name": "Ada"}},
    "sampling/createMessage": {"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m"},
    "roots/list": {"roots": [{"uri": "file:///srv"}]},
}

Answering = Callable[[Mapping[str, Ask]], Awaitable[Mapping[str, AskAnswer]]]


async def all_answered(asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
    """Each kind has its answer."""
    return {key: ANSWERS[ask.method.value] for key, ask in asks.items()}


async def never(asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
    """Nobody comes."""
    await asyncio.Event().wait()
    raise AssertionError


class Client:
    """Implements `Conversation`."""

    def __init__(
        self,
        offers: Mapping[str, Any] = EVERYTHING,
        answering: Answering = all_answered,
        *,
        progress: bool = False,
        log_level: str | None = None,
    ) -> None:
        self._offers = offers
        self._answering = answering
        self.wants_progress = progress
        self.log_level = log_level
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[Mapping[str, Ask]] = []

    def offers(self, upstream: str) -> Mapping[str, Any]:
        return self._offers

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        self.told.append((method, dict(params)))

    async def let_go(self) -> None:
        pass

    async def ask(self, upstream: str, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        self.asked.append(asks)
        return await self._answering(asks)

    async def answer(self, ask: Ask) -> AskAnswer:
        return NOBODY
