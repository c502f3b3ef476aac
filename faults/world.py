"""What calls do to the world, as far as the campaign can see it: a list that no fault touches."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import orjson

from gateway.core.approval import Grant
from gateway.core.capability import ApprovalMode, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.catalog import Catalog, build_catalog
from gateway.core.conversation import Conversation
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply

READ, WRITE, DESTROY, MUTE, UNSENT = "world__read", "world__write", "world__destroy", "world__mute", "world__unsent"
_MODES = {
    READ: ApprovalMode.READ_ONLY,
    WRITE: ApprovalMode.LOCAL_WRITE,
    DESTROY: ApprovalMode.DESTRUCTIVE,
    MUTE: ApprovalMode.LOCAL_WRITE,
    UNSENT: ApprovalMode.LOCAL_WRITE,
}
_SCHEMA = {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"], "additionalProperties": True}
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Effect:
    """Something that happened: for which key, in which call."""

    key: str
    envelope_id: str


class World:
    """Implements `core.ports.Executor`. `effects` is what happened, in order.

    `write` and `destroy` have an effect and say so, `mute` has one and does not answer, `unsent` never gets out, `read` has
    none. No two answers are alike, so that an answer that was made twice cannot pass for a stored one.
    """

    def __init__(self, before: Iterable[Effect] = ()) -> None:
        self.effects = list(before)

    def happened(self, key: str) -> bool:
        """Whether the effect of `key` happened."""
        return any(effect.key == key for effect in self.effects)

    def repeated(self) -> list[str]:
        """Keys whose effect happened more than once."""
        return [key for key, count in Counter(effect.key for effect in self.effects).items() if count > 1]

    async def ready(self, grant: Grant) -> Reason | None:
        return None

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        tool, key = grant.call.capability.id, orjson.loads(grant.call.arguments)["key"]
        if tool == UNSENT:
            return NotSent(Reason("upstream.unavailable", "The way is blocked."))
        if tool != READ:
            self.effects.append(Effect(key, grant.call.envelope_id))
        await asyncio.sleep(0)
        if tool == MUTE:
            return NoAnswer(Reason("upstream.lost", "The line went dead."))
        return ToolReply({"content": [{"type": "text", "text": f"answer {next(_numbers)} to {key}"}]}, "2026-07-28")


class FixedCatalog:
    """Implements `core.ports.CatalogSource` with the tools above."""

    def __init__(self) -> None:
        tools = [
            ToolDefinition.from_document(
                "world", {"name": name.partition("__")[2], "description": "", "inputSchema": _SCHEMA}
            )
            for name in _MODES
        ]
        rules = [
            (name, Classification(mode, TrustLevel.TRUSTED, "campaign", IdempotencyRule.DERIVED))
            for name, mode in _MODES.items()
        ]
        self._catalog = build_catalog(tools, rules, {tool.capability_id: tool.digest for tool in tools})

    def current(self) -> Catalog:
        return self._catalog
