"""An upstream without a session: it is up as long as the document that describes it can be used.

One task reads the document, at once, then every `refresh_seconds`, and after a failure with a pause that doubles from 0.5 s
to 30 s, with jitter. What runs is what was pinned: a call goes to the tool that has the very definition of the call's
capability, and not at all where the document offers none.
"""

import asyncio
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import aiohttp

from gateway.adapters.upstream.addresses import Resolve
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, NoCredentials, Party
from gateway.adapters.upstream.field_guard import field_refusal
from gateway.adapters.upstream.openapi.sending import Sending
from gateway.adapters.upstream.owner import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, STOP_SECONDS, Told
from gateway.adapters.upstream.rpc import LOST, NO_CREDENTIALS, TIMEOUT, UNAUTHORIZED, UNAVAILABLE, Fault
from gateway.adapters.upstream.spec import AgentSpec, OpenApiSpec
from gateway.adapters.upstream.status import DRIFTED, STARTING_UP, State, UpstreamStatus, open_for, say
from gateway.adapters.upstream.turnstile import Turnstile
from gateway.core.approval import Grant
from gateway.core.call import SealedCall
from gateway.core.capability import Capability, ToolDefinition
from gateway.core.conversation import Conversation
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, UpstreamReply

logger = logging.getLogger("sealgate.upstream")

Spec = TypeVar("Spec", bound=OpenApiSpec | AgentSpec)
Tool = TypeVar("Tool")


@dataclass(frozen=True, slots=True)
class Offer(Generic[Tool]):
    """What a document offers: its tools by the digest of their definitions. `sha256` is that of its bytes, in hex."""

    sha256: str
    definitions: list[ToolDefinition]
    tools: Mapping[str, Tool]


class Documented(ABC, Generic[Spec, Tool]):
    """Implements `one.OneUpstream`. Implementations: `openapi.api.Api`, `a2a.agent.Agent`.

    Attributes:
        kind: what its status calls it
        noun: what its document is called
        unusable: what is raised where the document cannot be used, with a sentence for the operator
        stop_seconds: how long `stop` waits for what still runs
        sentences: why a call has no answer, by code, where `status.SENTENCES` does not fit
    """

    kind: ClassVar[str]
    noun: ClassVar[str]
    unusable: ClassVar[type[Exception]]
    stop_seconds: ClassVar[float] = STOP_SECONDS
    sentences: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        spec: Spec,
        session: aiohttp.ClientSession,
        resolve: Resolve,
        told: Told,
        credentials: Credentials = NOTHING,
    ) -> None:
        self._credentials = credentials
        self._spec = spec
        self._session = session
        self._resolve = resolve
        self._told = told
        self._turnstile = Turnstile(spec.name, spec.limits)
        self._state, self._reason = State.STARTING, STARTING_UP
        self._offer: Offer[Tool] | None = None
        self._reading = asyncio.Lock()
        self._tried = asyncio.Event()
        self._went_down = asyncio.Event()
        self._beside: set[asyncio.Task[None]] = set()
        self._owner = asyncio.create_task(self._own(), name=f"upstream {spec.name}")

    # -- what each kind does its own way

    @property
    @abstractmethod
    def _protocol(self) -> str | None:
        """What it speaks, for its status."""

    @abstractmethod
    async def _look(self) -> Offer[Tool] | None:
        """What the document offers now, or None where `_knows` its digest. Raises `unusable`."""

    @abstractmethod
    def _read_before(self, capability: Capability) -> bool:
        """Whether the document is read anew right before a call of this capability."""

    @abstractmethod
    def _refusal(self, tool: Tool, call: SealedCall) -> Reason | None:
        """Why this call makes no request, or None. Seen before anything counts as begun."""

    @abstractmethod
    def _once(self, tool: Tool, call: SealedCall) -> bool:
        """Whether the request may not be sent a second time."""

    @abstractmethod
    async def _exchange(self, tool: Tool, call: SealedCall, sending: Sending) -> UpstreamReply:
        """Send it, within the deadline. Raises `Fault`."""

    # -- what all have in common

    async def settled(self) -> None:
        """See `OneUpstream`."""
        await self._tried.wait()

    async def stop(self) -> None:
        """See `OneUpstream`."""
        self._owner.cancel()
        await asyncio.wait([self._owner, *self._beside], timeout=self.stop_seconds)

    def status(self) -> UpstreamStatus:
        """See `OneUpstream`."""
        return UpstreamStatus(
            name=self._spec.name,
            kind=self.kind,
            state=self._state,
            reason=None if self._state is State.UP else self._reason,
            protocol=self._protocol,
            tools=0 if self._offer is None else len(self._offer.definitions),
            restarts=0,
            stderr_tail="",
            paused_seconds=self._turnstile.paused_seconds,
        )

    async def ready(self, grant: Grant) -> Reason | None:
        """See `Executor.ready`."""
        capability = grant.call.capability
        paused = self._turnstile.paused_seconds
        if paused is not None:
            return open_for(paused, self._spec.name)
        if self._read_before(capability):
            try:
                await self._read()
            except self.unusable as error:
                self._is_down(error)
        tool = self._found(capability)
        if isinstance(tool, Reason):
            return tool
        refusal = self._refusal(tool, grant.call)
        if refusal is not None:
            return refusal
        try:
            await self._credentials.headers(Party.of(grant.call.run))
        except NoCredentials:
            return say(NO_CREDENTIALS, self._spec.name)
        return await field_refusal(grant, self._spec, self._resolve)

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        """See `Executor.run`. Nothing is said in the middle of a call."""
        return await self._turnstile.passed(lambda: self._send(grant.call))

    async def unsubscribe(self, uri: str) -> None:
        """See `OneUpstream`. There are no resources."""

    async def _send(self, call: SealedCall) -> UpstreamReply:
        name = self._spec.name
        tool = self._found(call.capability)
        if isinstance(tool, Reason):
            return NotSent(tool)
        sending = Sending(once=self._once(tool, call))
        try:
            async with asyncio.timeout(self._spec.limits.deadline_seconds):
                return await self._exchange(tool, call, sending)
        except TimeoutError:
            code = TIMEOUT
        except Fault as fault:
            code = fault.code
        except Exception as error:  # noqa: BLE001 - the port promises never to raise; the text could hold values
            logger.error("a call of upstream %s failed unexpectedly: %s", name, type(error).__name__)
            code = LOST
        if code == UNAUTHORIZED:  # by RFC 9110 it was not done
            logger.warning("upstream %s refused the gateway's credentials (HTTP 401)", name)
        if not sending.sent or code == UNAUTHORIZED:
            return NotSent(say(code if code in (NO_CREDENTIALS, UNAUTHORIZED) else UNAVAILABLE, name))
        code = LOST if code == UNAVAILABLE else code
        return NoAnswer(Reason(code, self.sentences[code].format(name)) if code in self.sentences else say(code, name))

    def _found(self, capability: Capability) -> Tool | Reason:
        """The tool that was pinned, or why it cannot be called."""
        if self._offer is None:
            return say(UNAVAILABLE, self._spec.name)
        tool = self._offer.tools.get(capability.definition.digest)
        return Reason("tool.drifted", DRIFTED.format(self._spec.name)) if tool is None else tool

    def _run_beside(self, what: Coroutine[Any, Any, None]) -> None:
        """Have it run on when its call has ended."""
        task = asyncio.create_task(what)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    # -- the task that reads the document

    async def _own(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._went_down.clear()
                await self._read()
                pause = FIRST_PAUSE_SECONDS
                async with asyncio.timeout(self._spec.limits.refresh_seconds):
                    await self._went_down.wait()
            except TimeoutError:
                continue
            except Exception as error:  # noqa: BLE001 - whatever it was: an upstream must never end its owner
                self._is_down(error)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _read(self) -> None:
        """Read the document and report what it offers, if that is new. Raises `unusable`."""
        async with self._reading:
            offer = await self._look()
            if offer is not None:
                self._offer = offer
                self._told.listed(self._spec.name, offer.definitions)
            self._state = State.UP
            self._tried.set()

    def _knows(self, sha256: str) -> bool:
        """Whether what is offered now is from a document with this digest."""
        return self._offer is not None and self._offer.sha256 == sha256

    def _is_down(self, error: BaseException) -> None:
        said = str(error) if isinstance(error, self.unusable) else f"Its {self.noun} cannot be used."
        self._offer = None
        self._went_down.set()
        if said != self._reason:
            logger.warning("upstream %s is down: %s (%.300r)", self._spec.name, said, error.__cause__ or error)
        self._state, self._reason = State.DOWN, said
        self._tried.set()
