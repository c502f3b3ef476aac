"""What an upstream asks of the client in the middle of a call, put to clients of both eras.

Each ask is a governed call of its own (`core/conversation.py`); only those that were let through are put to the client:

* handshake versions: each is a request of ours on the stream of the call that runs
* 2026-07-28: all of them together are the `input_required` answer of the call, which is parked (`parking.py`) until the
  client makes it again with its answers

An answer that has not the form of one counts as not given, and is asked for again. What a client never answers is left out.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import structlog
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types import (
    CreateMessageRequest,
    CreateMessageResultWithTools,
    ElicitRequest,
    ElicitResult,
    ListRootsRequest,
    ListRootsResult,
)
from pydantic import BaseModel, ValidationError

from gateway.core.call import ToolRequest
from gateway.core.capability import SEPARATOR
from gateway.core.conversation import NOBODY, Ask, AskAnswer, NotAnswered, Silent
from gateway.core.errors import GatewayError
from gateway.core.method import Method
from gateway.core.outcome import AwaitingApproval, Completed, Denied, Outcome
from gateway.core.run_context import RunContext
from gateway.core.scan import Scan
from gateway.core.visible import is_visible
from gateway.edge.meta import Context
from gateway.edge.telling import Telling
from gateway.pipeline import Gateway

INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
REFUSED = -32010
LEFT_OUT = NotAnswered(-32000, "The client did not answer.")
MAX_ERROR_CHARS = 2_000
MAX_ASKS = 16

_MEMBERS = {Method.ELICIT: "elicitation", Method.SAMPLE: "sampling", Method.ROOTS: "roots"}
_REQUESTS: Mapping[Method, type[ElicitRequest | CreateMessageRequest | ListRootsRequest]] = {
    Method.ELICIT: ElicitRequest,
    Method.SAMPLE: CreateMessageRequest,
    Method.ROOTS: ListRootsRequest,
}
_RESULTS: Mapping[Method, type[BaseModel]] = {
    Method.ELICIT: ElicitResult,
    Method.SAMPLE: CreateMessageResultWithTools,
    Method.ROOTS: ListRootsResult,
}
_log = structlog.get_logger("sealgate.mcp")


class ClientConversation:
    """Implements `core.conversation.Conversation`, but for how questions are put. `seconds`: how long a client may take."""

    def __init__(self, gateway: Gateway, run: RunContext, context: Context, telling: Telling, seconds: float) -> None:
        self._gateway = gateway
        self._run = run
        self._telling = telling
        self._seconds = seconds
        declared = context.session.client_capabilities
        offered = declared is not None and any(getattr(declared, member) is not None for member in _MEMBERS.values())
        self._declared: dict[str, Any] = {}
        if declared is not None and offered:
            self._declared = declared.model_dump(by_alias=True, mode="json", exclude_none=True)

    def declares(self, upstream: str) -> bool:
        """Whether the client has anything that this upstream may ask for."""
        return bool(ClientConversation.offers(self, upstream))

    def offers(self, upstream: str) -> Mapping[str, Any]:
        standing = self._gateway.catalog.current().standing
        return {
            member: self._declared[member]
            for method, member in _MEMBERS.items()
            if member in self._declared and self._may(f"{upstream}{SEPARATOR}{method}", standing)
        }

    def _may(self, capability_id: str, standing: Mapping[str, Any]) -> bool:
        return capability_id in standing and is_visible(capability_id, self._run.tools)

    @property
    def wants_progress(self) -> bool:
        return self._telling.wants_progress

    @property
    def log_level(self) -> str | None:
        return self._telling.log_level

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        self._telling.tell(method, params)

    async def let_go(self) -> None:
        pass

    async def ask(self, upstream: str, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        offered = self.offers(upstream)
        if len(asks) > MAX_ASKS:
            return dict.fromkeys(asks, NOBODY)
        answers: dict[str, AskAnswer] = {}
        put: dict[str, Ask] = {}
        for key, ask in asks.items():
            if _MEMBERS[ask.method] not in offered:
                answers[key] = NOBODY
            elif not _is_request(ask):
                answers[key] = NotAnswered(INVALID_PARAMS, "The request has not the form of one.")
            else:
                put[key] = _shown(upstream, ask)
        together = _Together(put, self._put)
        async with anyio.create_task_group() as group:
            for key, ask in put.items():
                group.start_soon(self._governed, upstream, key, ask, together, answers)
        return answers

    async def answer(self, ask: Ask) -> AskAnswer:
        return NOBODY

    @abstractmethod
    async def _put(self, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        """Put these to the client at once. What is missing in the answers was not answered."""

    async def _governed(
        self, upstream: str, key: str, ask: Ask, together: "_Together", answers: dict[str, AskAnswer]
    ) -> None:
        clock = self._gateway.clock
        envelope_id = clock.new_id()
        name = f"{upstream}{SEPARATOR}{ask.method}"
        # A key of its own: the same question asked twice is two questions.
        request = ToolRequest(envelope_id, name, ask.params, envelope_id, clock.now(), method=ask.method)
        try:
            outcome = await self._gateway.call(self._run, request, _Asked(together, key))
        except GatewayError as error:
            _log.error("ask_failed", code=error.code, cause=error.message, envelope_id=envelope_id)
            answers[key] = NotAnswered(INTERNAL_ERROR, f"The gateway cannot put this to the client [{error.code}].")
            return
        finally:
            together.is_out(key)
        told = _told(outcome, together.answers.get(key, LEFT_OUT))
        if told is not LEFT_OUT:
            answers[key] = told


class HandshakeConversation(ClientConversation):
    """Asks on the stream of the call."""

    def __init__(self, gateway: Gateway, run: RunContext, context: Context, telling: Telling, seconds: float) -> None:
        super().__init__(gateway, run, context, telling, seconds)
        self._context = context

    def offers(self, upstream: str) -> Mapping[str, Any]:
        return super().offers(upstream) if self._context.session.can_send_request else {}

    async def let_go(self) -> None:
        if self._context.close_sse_stream is not None:  # its session keeps what it misses (`events.py`)
            await self._context.close_sse_stream()

    async def _put(self, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        answers: dict[str, AskAnswer] = {}

        async def put(key: str, ask: Ask) -> None:
            request = _REQUESTS[ask.method].model_validate({"method": ask.method.value, "params": ask.params})
            metadata = ServerMessageMetadata(related_request_id=self._context.request_id)
            try:
                answered = await self._context.session.send_request(request, _RESULTS[ask.method], metadata=metadata)
                answers[key] = answered.model_dump(by_alias=True, mode="json", exclude_none=True)
            except MCPError as error:
                answers[key] = NotAnswered(error.code, error.message[:MAX_ERROR_CHARS])
            except ValidationError:
                answers[key] = NotAnswered(INVALID_PARAMS, "The client's answer has not the form of one.")

        with anyio.move_on_after(self._seconds):
            async with anyio.create_task_group() as group:
                for key, ask in asks.items():
                    group.start_soon(put, key, ask)
        return answers


class _Together:
    """Asks of one moment, put to the client together once each was let through or refused."""

    def __init__(self, asks: Mapping[str, Ask], put: Callable[[Mapping[str, Ask]], Any]) -> None:
        self._open = set(asks)
        self._asks: dict[str, Ask] = {}
        self._put = put
        self._ready = anyio.Event()
        self._answered = anyio.Event()
        self._is_put = False
        self.answers: Mapping[str, AskAnswer] = {}

    async def answer(self, key: str, ask: Ask) -> AskAnswer:
        """This ask was let through; its answer, once all were put."""
        self._asks[key] = ask
        self.is_out(key)
        await self._ready.wait()
        if self._is_put:
            await self._answered.wait()
        else:
            self._is_put = True
            try:
                self.answers = await self._put(self._asks)
            finally:
                self._answered.set()
        return self.answers.get(key, LEFT_OUT)

    def is_out(self, key: str) -> None:
        """It is known of this ask whether it is put."""
        self._open.discard(key)
        if not self._open:
            self._ready.set()


class _Asked(Silent):
    """The conversation of a call that is itself an ask."""

    def __init__(self, together: _Together, key: str) -> None:
        self._together = together
        self._key = key

    async def answer(self, ask: Ask) -> AskAnswer:
        return await self._together.answer(self._key, ask)


def is_answer(ask: Ask, answer: Any) -> bool:
    """Whether this has the form of an answer."""
    try:
        _RESULTS[ask.method].model_validate(answer, by_name=False)
    except ValidationError:
        return False
    return True


def _shown(upstream: str, ask: Ask) -> Ask:
    """As it is decided, recorded and put: nothing in it is hidden from a reader, and a person sees who it is that asks."""
    params: dict[str, Any] = Scan().of(ask.params)
    if ask.method is Method.ELICIT:
        params = {**params, "message": f"{upstream}: {params['message']}"}
    return Ask(ask.method, params)


def _is_request(ask: Ask) -> bool:
    try:
        _REQUESTS[ask.method].model_validate({"method": ask.method.value, "params": ask.params}, by_name=False)
    except ValidationError:
        return False
    return True


def _told(outcome: Outcome, answer: AskAnswer) -> AskAnswer:
    """What the upstream is told: the client's answer as it came, but where policy takes something out of it."""
    match outcome:
        case Completed(result, told=told):
            held_back = told.delivery.redacted or told.delivery.withheld is not None
            if isinstance(answer, NotAnswered) or not held_back:
                return answer
            return result
        case Denied(reasons):
            return NotAnswered(REFUSED, f"The gateway does not put this to the client: {reasons[0].message}")
        case AwaitingApproval():
            return NotAnswered(REFUSED, "The gateway does not put this to the client: a person has to approve it first.")
        case _:
            return LEFT_OUT
