"""One A2A agent behind the gateway: reads its card, lists its skills, and sends calls to it.

There is no session: it is up as long as its card can be used. What runs is what was pinned: a call goes to the skill and
the URL that stand in the very definition of the call's capability, and nowhere where the card says another thing now.
"""

import asyncio
import hashlib
import logging
import random
from collections.abc import Coroutine
from typing import Any

import aiohttp

from gateway.adapters.upstream.a2a.card import MAX_BYTES, Offered, SkillTool, UnusableCard, offered
from gateway.adapters.upstream.a2a.exchange import CANCEL_SECONDS, exchange
from gateway.adapters.upstream.a2a.talk import JSON, VERSION, Talk
from gateway.adapters.upstream.addresses import Resolve
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, NoCredentials, Party
from gateway.adapters.upstream.field_guard import field_refusal
from gateway.adapters.upstream.openapi.request import Request
from gateway.adapters.upstream.openapi.sending import Sending, send
from gateway.adapters.upstream.owner import FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, Told
from gateway.adapters.upstream.rpc import LOST, MALFORMED, NO_CREDENTIALS, TIMEOUT, UNAUTHORIZED, UNAVAILABLE, Fault
from gateway.adapters.upstream.spec import AgentSpec
from gateway.adapters.upstream.status import DRIFTED, STARTING_UP, State, UpstreamStatus, open_for, say
from gateway.adapters.upstream.turnstile import Turnstile
from gateway.core.approval import Grant
from gateway.core.call import SealedCall
from gateway.core.capability import Capability
from gateway.core.conversation import Conversation
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply

logger = logging.getLogger("sealgate.upstream")

PROTOCOL = f"a2a-{VERSION}"
STOP_SECONDS = CANCEL_SECONDS + 1.0
UNFETCHED = "Its card cannot be fetched."
_SENTENCES = {
    LOST: "Agent {} did not tell how the call ended.",
    MALFORMED: "Agent {} answered with something that is no acceptable A2A answer.",
}


class Agent:
    """Implements `one.OneUpstream`."""

    def __init__(
        self,
        spec: AgentSpec,
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
        self._offered: Offered | None = None
        self._sha256: str | None = None
        self._reading = asyncio.Lock()
        self._tried = asyncio.Event()
        self._went_down = asyncio.Event()
        self._beside: set[asyncio.Task[None]] = set()
        self._owner = asyncio.create_task(self._own(), name=f"upstream {spec.name}")

    async def settled(self) -> None:
        """See `OneUpstream`."""
        await self._tried.wait()

    async def stop(self) -> None:
        """See `OneUpstream`."""
        self._owner.cancel()
        await asyncio.wait([self._owner, *self._beside], timeout=STOP_SECONDS)

    def status(self) -> UpstreamStatus:
        """See `OneUpstream`."""
        return UpstreamStatus(
            name=self._spec.name,
            kind="agent",
            state=self._state,
            reason=None if self._state is State.UP else self._reason,
            protocol=PROTOCOL if self._offered is not None else None,
            tools=len(self._offered.tools) if self._offered is not None else 0,
            restarts=0,
            stderr_tail="",
            paused_seconds=self._turnstile.paused_seconds,
        )

    async def ready(self, grant: Grant) -> Reason | None:
        """See `Executor.ready`. The card is read anew before each call: all of them are `delegated` or more."""
        paused = self._turnstile.paused_seconds
        if paused is not None:
            return open_for(paused, self._spec.name)
        try:
            await self._read()
        except UnusableCard as error:
            self._is_down(error)
        found = self._found(grant.call.capability)
        if isinstance(found, Reason):
            return found
        try:
            await self._credentials.headers(Party.of(grant.call.run))
        except NoCredentials:
            return say(NO_CREDENTIALS, self._spec.name)
        return await field_refusal(grant, self._spec, self._resolve)

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        """See `Executor.run`. An agent that asks something ends the call with that question."""
        return await self._turnstile.passed(lambda: self._send(grant.call))

    async def unsubscribe(self, uri: str) -> None:
        """See `OneUpstream`. An agent has no resources."""

    async def _send(self, call: SealedCall) -> UpstreamReply:
        name, limits = self._spec.name, self._spec.limits
        found = self._found(call.capability)
        if isinstance(found, Reason):
            return NotSent(found)
        offer, tool = found
        trace = {"traceparent": call.run.traceparent, "tracestate": call.run.tracestate}
        headers = {header: value for header, value in trace.items() if value is not None}
        party, sending = Party.of(call.run), Sending(once=True)
        talk = Talk(self._spec, self._session, offer.interface, headers, self._credentials, party)
        try:
            async with asyncio.timeout(limits.deadline_seconds):
                return ToolReply(await exchange(talk, call, tool.skill_id, sending, self._run_beside), PROTOCOL)
        except TimeoutError:
            code = TIMEOUT
        except Fault as fault:
            code = fault.code
        except Exception as error:  # noqa: BLE001 - the port promises never to raise; the text could hold values
            logger.error("a call of upstream %s failed unexpectedly: %s", name, type(error).__name__)
            code = LOST
        if code == UNAUTHORIZED:
            logger.warning("upstream %s refused the gateway's credentials (HTTP 401)", name)
        if not sending.sent or code == UNAUTHORIZED:
            return NotSent(say(code if code in (NO_CREDENTIALS, UNAUTHORIZED) else UNAVAILABLE, name))
        code = LOST if code == UNAVAILABLE else code
        return NoAnswer(Reason(code, _SENTENCES[code].format(name)) if code in _SENTENCES else say(code, name))

    def _run_beside(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(what)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

    def _found(self, capability: Capability) -> tuple[Offered, SkillTool] | Reason:
        """The skill that was pinned and the card that has it, or why it cannot be called."""
        offer = self._offered
        if offer is None:
            return say(UNAVAILABLE, self._spec.name)
        digest = capability.definition.digest
        tool = next((tool for tool in offer.tools if tool.definition.digest == digest), None)
        return Reason("tool.drifted", DRIFTED.format(self._spec.name)) if tool is None else (offer, tool)

    # -- the task that reads the card

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
        """Read the card and report what it offers, if that is new. Raises `UnusableCard`."""
        async with self._reading:
            data = await self._fetched()
            sha256 = hashlib.sha256(data).hexdigest()
            if sha256 != self._sha256 or self._offered is None:
                self._offered = offer = await asyncio.to_thread(offered, data, self._spec)
                self._sha256 = sha256
                logger.info("upstream %s offers %d skills", self._spec.name, len(offer.tools))
                if offer.unusable:
                    logger.warning("upstream %s: %d skills are no tools", self._spec.name, offer.unusable)
                self._told.listed(self._spec.name, [tool.definition for tool in offer.tools])
            self._state = State.UP
            self._tried.set()

    async def _fetched(self) -> bytes:
        headers = {name.lower(): value for name, value in self._spec.headers.items()}
        try:
            shown = await self._credentials.headers(None)
        except NoCredentials as error:
            raise UnusableCard(UNFETCHED) from error
        headers |= {"a2a-version": VERSION, "accept": JSON, "accept-encoding": "identity", **shown}
        request, limits = Request("GET", self._spec.url, headers, None), self._spec.limits
        try:
            async with asyncio.timeout(limits.connect_seconds):
                answer = await send(self._session, request, Sending(once=False), MAX_BYTES, limits.connect_seconds)
        except (Fault, TimeoutError) as error:
            raise UnusableCard(UNFETCHED) from error
        if answer.status == 401:
            self._credentials.refused(shown)
        if answer.status != 200:
            raise UnusableCard(UNFETCHED)
        return answer.body

    def _is_down(self, error: BaseException) -> None:
        said = str(error) if isinstance(error, UnusableCard) else "Its card cannot be used."
        self._offered = None
        self._went_down.set()
        if said != self._reason:
            logger.warning("upstream %s is down: %s (%.300r)", self._spec.name, said, error.__cause__ or error)
        self._state, self._reason = State.DOWN, said
        self._tried.set()
