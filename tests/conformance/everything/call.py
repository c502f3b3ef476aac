"""One call as a tool or a prompt sees it, and how it asks the client in the middle: the same code in both eras.

In a handshake version the question is a request to the client, and the answer comes back to the waiting call. In 2026-07-28
the call ends with `input_required`, and the client makes it again with the answers and the state that it was given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from mcp.server import ServerRequestContext
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    CallToolRequestParams,
    ClientCapabilities,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    GetPromptRequestParams,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

Context = ServerRequestContext[Any, Any]
Question = ElicitRequest | CreateMessageRequest | ListRootsRequest
Answer = ElicitResult | CreateMessageResult | ListRootsResult
A = TypeVar("A", bound=Answer)

_ANSWERED_BY: dict[type[Question], type[Answer]] = {
    ElicitRequest: ElicitResult,
    CreateMessageRequest: CreateMessageResult,
    ListRootsRequest: ListRootsResult,
}
_CAPABILITY: dict[type[Question], str] = {
    ElicitRequest: "elicitation",
    CreateMessageRequest: "sampling",
    ListRootsRequest: "roots",
}


class InputNeeded(Exception):
    """The call ends here; the client makes it again with the answers."""

    def __init__(self, questions: Mapping[str, Question], state: str | None) -> None:
        super().__init__("input needed")
        self.result = InputRequiredResult(input_requests=dict(questions), request_state=state)


@dataclass(frozen=True)
class Call:
    """A tools/call or prompts/get."""

    context: Context
    params: CallToolRequestParams | GetPromptRequestParams
    quiet: bool = False
    """The client of a handshake version wants to hear nothing of level info."""

    @property
    def arguments(self) -> Mapping[str, Any]:
        return self.params.arguments or {}

    @property
    def state(self) -> str | None:
        """What the round before gave the client to bring back."""
        return self.params.request_state

    def allows(self, question: type[Question]) -> bool:
        """Whether the client declared that it answers such questions."""
        declared = self.context.session.client_capabilities or ClientCapabilities()
        return getattr(declared, _CAPABILITY[question]) is not None

    def require(self, *questions: type[Question]) -> None:
        """Raises `MCPError` -32021, which names what the client has not declared."""
        missing: dict[str, Any] = {_CAPABILITY[kind]: {} for kind in questions if not self.allows(kind)}
        if missing:
            message = f"This call needs a client with {', '.join(missing)}."
            raise MCPError(MISSING_REQUIRED_CLIENT_CAPABILITY, message, {"requiredCapabilities": missing})

    async def ask(self, questions: Mapping[str, Question], state: str | None = None) -> dict[str, Answer]:
        """The answers by the keys of the questions. Raises `InputNeeded` where the call has to be made again with them.

        Answers count only with the `state` that their questions went out with.
        """
        self.require(*map(type, questions.values()))
        if self.context.session.can_send_request:
            return {key: await self._request(question) for key, question in questions.items()}
        given = self.params.input_responses or {}
        answers = {key: given[key] for key, question in questions.items() if isinstance(given.get(key), _answered(question))}
        if len(answers) < len(questions) or self.state != state:
            raise InputNeeded(questions, state)
        return cast("dict[str, Answer]", answers)

    async def elicit(self, key: str, message: str, schema: dict[str, Any], state: str | None = None) -> ElicitResult:
        """The answer to one form."""
        answers = await self.ask({key: form(message, schema)}, state)
        return cast("ElicitResult", answers[key])

    async def _request(self, question: Question) -> Answer:
        # Tied to this call, so that it rides the call's own stream: the standalone one need not be open.
        related = ServerMessageMetadata(related_request_id=self.context.request_id)
        return await self.context.session.send_request(question, _answered(question), metadata=related)

    async def log(self, data: str) -> None:
        """A message of level info on the call's own stream; in 2026-07-28 only where the request asks for it."""
        if not self.quiet:
            await self.context.session.send_log_message("info", data, related_request_id=self.context.request_id)

    async def progress(self, done: float, total: float, message: str) -> None:
        """A progress notification, where the request has a token."""
        await self.context.session.report_progress(done, total, message)


def form(message: str, schema: dict[str, Any]) -> ElicitRequest:
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=schema))


def sampling(prompt: str, max_tokens: int = 100) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=max_tokens))


def _answered(question: Question) -> type[Answer]:
    return _ANSWERED_BY[type(question)]
