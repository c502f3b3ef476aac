"""One API behind the gateway: reads its document, lists its tools, and sends calls to it.

There is no session: it is up as long as its document can be used. What runs is what was pinned: a call is sent as the
operation says that has the very definition of the call's capability, and not at all where there is none.
"""

import asyncio
import logging
import random

import aiohttp

from gateway.adapters.upstream.addresses import Resolve
from gateway.adapters.upstream.calls import CHECKED_MODES
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, NoCredentials, Party
from gateway.adapters.upstream.field_guard import field_refusal
from gateway.adapters.upstream.openapi.answer import NO_ANSWER, api_result
from gateway.adapters.upstream.openapi.document import UnusableDocument
from gateway.adapters.upstream.openapi.operations import Operation, operations_of
from gateway.adapters.upstream.openapi.request import Request, Unsendable, key_value, request_of
from gateway.adapters.upstream.openapi.sending import Sending, send
from gateway.adapters.upstream.openapi.source import Source
from gateway.adapters.upstream.owner import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Told
from gateway.adapters.upstream.rpc import LOST, NO_CREDENTIALS, TIMEOUT, UNAUTHORIZED, UNAVAILABLE, Fault
from gateway.adapters.upstream.spec import OpenApiSpec
from gateway.adapters.upstream.status import DRIFTED, STARTING_UP, State, UpstreamStatus, open_for, say
from gateway.adapters.upstream.turnstile import Turnstile
from gateway.core.approval import Grant
from gateway.core.call import SealedCall
from gateway.core.capability import Capability
from gateway.core.conversation import Conversation
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply

logger = logging.getLogger("sealgate.upstream")

STOP_SECONDS = 5.0
MAX_TOLD = 20
UNSENDABLE = "arguments.unsendable"


class Api:
    """Implements `one.OneUpstream`."""

    def __init__(
        self,
        spec: OpenApiSpec,
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
        self._source = Source(spec, session)
        self._turnstile = Turnstile(spec.name, spec.limits)
        self._state, self._reason = State.STARTING, STARTING_UP
        self._protocol: str | None = None
        self._operations: dict[str, Operation] | None = None
        self._sha256: str | None = None
        self._reading = asyncio.Lock()
        self._tried = asyncio.Event()
        self._went_down = asyncio.Event()
        self._owner = asyncio.create_task(self._own(), name=f"upstream {spec.name}")

    async def settled(self) -> None:
        """See `OneUpstream`."""
        await self._tried.wait()

    async def stop(self) -> None:
        """See `OneUpstream`."""
        self._owner.cancel()
        await asyncio.wait([self._owner], timeout=STOP_SECONDS)

    def status(self) -> UpstreamStatus:
        """See `OneUpstream`."""
        return UpstreamStatus(
            name=self._spec.name,
            kind="openapi",
            state=self._state,
            reason=None if self._state is State.UP else self._reason,
            protocol=self._protocol,
            tools=len(self._operations or ()),
            restarts=0,
            stderr_tail="",
            paused_seconds=self._turnstile.paused_seconds,
        )

    async def ready(self, grant: Grant) -> Reason | None:
        """See `Executor.ready`. That the arguments make a request is seen here, before anything counts as begun."""
        capability = grant.call.capability
        paused = self._turnstile.paused_seconds
        if paused is not None:
            return open_for(paused, self._spec.name)
        if capability.mode in CHECKED_MODES:
            try:
                await self._read()
            except UnusableDocument as error:
                self._is_down(error)
        operation = self._operation(capability)
        if isinstance(operation, Reason):
            return operation
        try:
            self._request(operation, grant.call)
        except Unsendable as error:
            return Reason(UNSENDABLE, f"The arguments make no request: {error}.")
        try:
            await self._credentials.headers(Party.of(grant.call.run))
        except NoCredentials:
            return say(NO_CREDENTIALS, self._spec.name)
        return await field_refusal(grant, self._spec, self._resolve)

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        """See `Executor.run`. An API says nothing in the middle of a call."""
        return await self._turnstile.passed(lambda: self._send(grant.call))

    async def unsubscribe(self, uri: str) -> None:
        """See `OneUpstream`. An API has no resources."""

    async def _send(self, call: SealedCall) -> UpstreamReply:
        name, limits = self._spec.name, self._spec.limits
        operation = self._operation(call.capability)
        if isinstance(operation, Reason):
            return NotSent(operation)
        sending = Sending(once=call.capability.mode.has_effect or not operation.is_safe)
        try:
            request = self._request(operation, call)
            async with asyncio.timeout(limits.deadline_seconds):
                shown = await self._credentials.headers(Party.of(call.run))
                request.headers.update(shown)
                answer = await send(self._session, request, sending, limits.max_result_bytes, limits.connect_seconds)
            if answer.status == 401 and self._credentials.managed:  # by RFC 9110 it was not done
                logger.warning("upstream %s refused the gateway's credentials (HTTP 401)", name)
                self._credentials.refused(shown)
                return NotSent(say(UNAUTHORIZED, name))
            if answer.status not in NO_ANSWER:
                return ToolReply(api_result(answer.status, answer.content_type, answer.body), self._protocol or "openapi")
            code = LOST
        except NoCredentials:
            return NotSent(say(NO_CREDENTIALS, name))
        except TimeoutError:
            code = TIMEOUT
        except Fault as fault:
            code = fault.code
        except Exception as error:  # noqa: BLE001 - the port promises never to raise; the text could hold values
            logger.error("a call of upstream %s failed unexpectedly: %s", name, type(error).__name__)
            code = LOST
        if not sending.sent:
            return NotSent(say(UNAVAILABLE, name))
        return NoAnswer(say(LOST if code == UNAVAILABLE else code, name))

    def _request(self, operation: Operation, call: SealedCall) -> Request:
        key = key_value(call.idempotency, call.fingerprint, call.envelope_id)
        return request_of(operation, self._spec, call.arguments, key)

    def _operation(self, capability: Capability) -> Operation | Reason:
        """The operation that was pinned, or why it cannot be called."""
        if self._operations is None:
            return say(UNAVAILABLE, self._spec.name)
        found = self._operations.get(capability.definition.digest)
        return Reason("tool.drifted", DRIFTED.format(self._spec.name)) if found is None else found

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
        """Read the document and report what it offers, if that is new. Raises `UnusableDocument`."""
        async with self._reading:
            document = await self._source.read()
            if document.sha256 != self._sha256 or self._operations is None:
                offered = await asyncio.to_thread(operations_of, document, self._spec)
                self._operations = {one.definition.digest: one for one in offered.operations}
                self._sha256 = document.sha256
                self._protocol = f"openapi-{document.version}"
                logger.info("upstream %s offers %d operations", self._spec.name, len(offered.operations))
                for label, why in list(offered.unusable.items())[:MAX_TOLD]:
                    logger.warning("upstream %s: %.200r is no tool: %s", self._spec.name, label, why)
                if len(offered.unusable) > MAX_TOLD:
                    logger.warning("upstream %s: %d more are no tools", self._spec.name, len(offered.unusable) - MAX_TOLD)
                self._told.listed(self._spec.name, [one.definition for one in offered.operations])
            self._state = State.UP
            self._tried.set()

    def _is_down(self, error: BaseException) -> None:
        said = str(error) if isinstance(error, UnusableDocument) else "Its document cannot be used."
        self._operations = None
        self._went_down.set()
        if said != self._reason:
            logger.warning("upstream %s is down: %s (%.300r)", self._spec.name, said, error.__cause__ or error)
        self._state, self._reason = State.DOWN, said
        self._tried.set()
