"""Calls of 2026-07-28 that wait for their client to come back with answers.

There a server cannot send requests. When an upstream asks for something in the middle of a call, the call goes on in a
task of its own and is *parked*; its client gets `input_required`, and makes the same call again with answers and the
`requestState` that came with the questions. So a handshake-only upstream that talks back works behind a modern client, and
the effect is one call in the log, however often the client has to come.

The state is sealed, bound to the caller, the call and the round, and good once. A call that nobody comes back for ends by
the time that a person has to answer, its questions unanswered. A restart ends parked calls like any others that run:
effects are in doubt, and their states are told to be of another process.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import anyio
import structlog
from mcp.shared.exceptions import MCPError

from gateway.core.call import ToolRequest
from gateway.core.canonical import NotCanonical, digest
from gateway.core.conversation import Ask, AskAnswer
from gateway.core.outcome import Outcome
from gateway.core.ports import Clock
from gateway.core.run_context import RunContext
from gateway.edge.conversation import ClientConversation, is_answer
from gateway.edge.meta import INVALID_PARAMS, Context
from gateway.edge.sealed_state import StateSeal
from gateway.edge.telling import Telling
from gateway.pipeline import Gateway

BUSY = -32000
MAX_PARKED = 1024
MAX_PARKED_PER_CALLER = 8
MAX_ROUNDS = 16
STOP_SECONDS = 5.0

_log = structlog.get_logger("sealgate.mcp")


@dataclass(frozen=True, slots=True)
class Posed:
    """What the client has to answer before its call goes on."""

    asks: Mapping[str, Ask]
    state: str

    def document(self) -> dict[str, Any]:
        """The `input_required` result."""
        asks = {key: {"method": ask.method.value, "params": ask.params} for key, ask in self.asks.items()}
        return {"resultType": "input_required", "inputRequests": asks, "requestState": self.state}


@dataclass(slots=True, eq=False)
class _Call:
    """A call that runs in a task of its own. `turn` is what its client waits for; `answers` what the call waits for."""

    id: str
    owner: str
    binding: dict[str, Any]
    telling: Telling
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    turn: asyncio.Future[Mapping[str, Ask] | Outcome] = field(default_factory=lambda: _future())
    answers: asyncio.Future[Mapping[str, Any]] | None = None
    rounds: int = 0
    expires_at: str = ""

    def bound(self) -> dict[str, Any]:
        return {**self.binding, "id": self.id, "round": self.rounds}


class Parking:
    """See the module. One per process, owned by its event loop; leaving it ends all calls."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._clock: Clock = gateway.clock
        self._seconds = gateway.approval_ttl_seconds
        self._seal = StateSeal("call", gateway.clock)
        self._calls: dict[str, _Call] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for call in self._calls.values():
            call.scope.cancel()
            if call.answers is not None and not call.answers.done():
                call.answers.set_result({})
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_SECONDS)

    def gave(self, state: Any) -> bool:
        """Whether the state says that it was given out here."""
        return self._seal.is_one(state)

    async def begin(
        self, context: Context, run: RunContext, request: ToolRequest, telling: Telling, supplied: Mapping[str, Any]
    ) -> Outcome | Posed:
        """Make a call. `supplied`: answers that came along unasked; they count where the same is asked for."""
        call = _Call(self._clock.new_id(), _owner(run), _binding(run, request), telling)
        conversation = _ParkedConversation(self, call, run, context, supplied)
        task = asyncio.create_task(self._run(call, run, request, conversation))
        self._calls[call.id] = call
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await self._next(call)

    async def go_on(
        self, context: Context, run: RunContext, request: ToolRequest, state: Any, responses: Mapping[str, Any]
    ) -> Outcome | Posed:
        """Go on with a call that was parked. Raises `MCPError` where the state is none for it."""
        call = self._calls.get(str(self._seal.read(state).get("id")))
        if call is None or call.answers is None or call.answers.done():
            raise MCPError(
                INVALID_PARAMS, "The call that this requestState belongs to has ended or goes on already. Make it anew."
            )
        self._seal.use(state, {**_binding(run, request), "id": call.id, "round": call.rounds}, call.expires_at)
        call.telling.attend(context)
        call.turn = _future()
        call.answers.set_result(responses)
        return await self._next(call)

    async def _next(self, call: _Call) -> Outcome | Posed:
        """Until it has a question, or has ended. A client that goes away meanwhile cancels the call."""
        try:
            turn = await asyncio.shield(call.turn)
        except asyncio.CancelledError:
            call.scope.cancel()
            call.turn.cancel()  # nobody is there to answer what it may yet ask
            raise
        await call.telling.flush()
        if isinstance(turn, Mapping):
            call.telling.attend(None)
            return Posed(turn, self._seal.seal(call.bound()))
        return turn

    async def _run(self, call: _Call, run: RunContext, request: ToolRequest, conversation: "_ParkedConversation") -> None:
        """The governed call, to its end. It is cancelled by its scope only, which the pipeline shields what it must from."""
        outcome: Outcome | None = None
        try:
            with call.scope:
                outcome = await self._gateway.call(run, request, conversation)
        except Exception as error:  # noqa: BLE001 - it is its client's, where that still waits
            if call.turn.done():
                _log.error("parked_call_failed", cause=type(error).__name__, envelope_id=request.envelope_id)
            else:
                call.turn.set_exception(error)
        finally:
            self._calls.pop(call.id, None)
            if not call.turn.done():
                if outcome is None:
                    call.turn.cancel()
                else:
                    call.turn.set_result(outcome)

    async def put(self, call: _Call, asks: Mapping[str, Ask]) -> Mapping[str, Any] | None:
        """Pose these to the client of a call; what it came back with, or None: it did not, or may not wait any more."""
        parked = sum(other.owner == call.owner and other.answers is not None for other in self._calls.values())
        if call.rounds >= MAX_ROUNDS or parked >= MAX_PARKED_PER_CALLER or len(self._calls) > MAX_PARKED or call.turn.done():
            return None
        call.rounds += 1
        call.expires_at = self._clock.later(self._seconds)
        call.answers = _future()
        call.turn.set_result(asks)
        try:
            async with asyncio.timeout(self._seconds):
                return await call.answers
        except TimeoutError:
            return None
        finally:
            call.answers = None


class _ParkedConversation(ClientConversation):
    """Asks by parking the call."""

    def __init__(
        self, parking: Parking, call: _Call, run: RunContext, context: Context, supplied: Mapping[str, Any]
    ) -> None:
        super().__init__(parking._gateway, run, context, call.telling, parking._seconds)  # noqa: SLF001 - of this module
        self._parking = parking
        self._call = call
        self._supplied = supplied

    async def _put(self, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        answers = _usable(asks, self._supplied)
        self._supplied = {}
        while missing := {key: ask for key, ask in asks.items() if key not in answers}:
            responses = await self._parking.put(self._call, missing)
            if responses is None:
                break
            answers |= _usable(missing, responses)
        return answers


def _usable(asks: Mapping[str, Ask], responses: Mapping[str, Any]) -> dict[str, AskAnswer]:
    return {key: responses[key] for key, ask in asks.items() if key in responses and is_answer(ask, responses[key])}


def _owner(run: RunContext) -> str:
    return ";".join([run.tenant_id, *run.principal_chain])


def _binding(run: RunContext, request: ToolRequest) -> dict[str, Any]:
    """What a state is good for: this call of this caller."""
    return {
        "caller": [run.tenant_id, *run.principal_chain],
        "tools": None if run.tools is None else list(run.tools),
        "method": request.method.value,
        "name": request.name,
        "arguments": _arguments(request),
    }


def _arguments(request: ToolRequest) -> str | None:
    try:
        return digest(request.arguments)
    except NotCanonical:  # such a call is refused before it could ask
        return None


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()
