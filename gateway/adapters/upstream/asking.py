"""What an upstream asks of the client in the middle of a call."""

import orjson

from gateway.core.call import SealedCall
from gateway.core.conversation import Ask, Conversation, NotAnswered
from gateway.core.reply import ToolReply

CLIENT = "client"
"""The protocol of a reply that no upstream gave."""


async def answered_by_client(call: SealedCall, conversation: Conversation) -> ToolReply:
    """Run a call that asks the client: the answer, or that there is none, as a document."""
    answer = await conversation.answer(Ask(call.capability.method, orjson.loads(call.arguments)))
    return ToolReply(error_document(answer) if isinstance(answer, NotAnswered) else answer, CLIENT)


def error_document(error: NotAnswered) -> dict[str, object]:
    """A JSON-RPC error as the result document of a call that is no tool's."""
    return {"isError": True, "error": {"code": error.code, "message": error.message}}
