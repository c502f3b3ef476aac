"""One call to one upstream: its place among others, the session it is sent on, what is said meanwhile, and its end.

A call goes on the shared session. In the handshake era it has a session to itself where the upstream may ask the client for
something, which is declared when the session is opened, and where log messages are wanted, whose level is a session's. In
2026-07-28 both go along with each request; but over stdio nothing tells which call a log message belongs to.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map

from gateway.adapters.upstream.breaker import Breaker, Pass
from gateway.adapters.upstream.credentials.credentials import Credentials, Party
from gateway.adapters.upstream.own_sessions import NoRoom, NotOpened, OwnSession, OwnSessions
from gateway.adapters.upstream.requests import Era, Said, call
from gateway.adapters.upstream.result import (
    ENDLESS,
    UNANSWERED,
    InputRequired,
    failed,
    input_required,
    result_document,
)
from gateway.adapters.upstream.rpc import LOST, NO_CREDENTIALS, TIMEOUT, UNAUTHORIZED, UNAVAILABLE, Fault, Outgoing
from gateway.adapters.upstream.session import Session
from gateway.adapters.upstream.spec import HttpSpec, UpstreamSpec
from gateway.adapters.upstream.status import BUSY, DRIFTED, NO_SESSION, UNLISTED, UNSUBSCRIBABLE, open_for, say
from gateway.adapters.upstream.subscriptions import Subscriptions
from gateway.adapters.upstream.talk import Talk, Turn
from gateway.core.call import SealedCall
from gateway.core.capability import ApprovalMode, Capability, ToolDefinition
from gateway.core.conversation import Conversation
from gateway.core.method import Method
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply

logger = logging.getLogger("sealgate.upstream")

CHECKED_MODES = frozenset({ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE})
"""Modes whose definition is listed anew right before the call."""

MAX_ROUNDS = 16
"""Times that one call may be answered with a request for input."""


class _Refused(Exception):
    """Nothing was sent, for a reason that is told."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.code)
        self.reason = reason


class Calls:
    """The calls of one upstream. Any task may run one.

    Args:
        usable: the shared session, where it lives
        suspect: the session may be gone: listing will tell
        credentials: what calls are sent with
    """

    def __init__(
        self,
        spec: UpstreamSpec,
        own: OwnSessions,
        subscriptions: Subscriptions,
        usable: Callable[[], Session | None],
        suspect: Callable[[], None],
        credentials: Credentials,
    ) -> None:
        self._spec = spec
        self._name = spec.name
        self._limits = spec.limits
        self._own = own
        self._subscriptions = subscriptions
        self._usable = usable
        self._suspect = suspect
        self._credentials = credentials
        self._places = asyncio.Semaphore(spec.limits.max_concurrent)
        self._breaker = Breaker(spec.limits.breaker_failures, spec.limits.breaker_pause_seconds)
        self._header_maps: dict[str, dict[tuple[str, ...], str]] = {}

    def refusal(self) -> Reason | None:
        """Why nothing is sent now, or None."""
        if self._usable() is None:
            return say(UNAVAILABLE, self._name)
        paused = self.paused_seconds
        return None if paused is None else open_for(paused, self._name)

    @property
    def paused_seconds(self) -> float | None:
        """For how long the breaker lets nothing through, or None."""
        return self._breaker.refused_for(time.monotonic())

    def forget_definitions(self) -> None:
        """Another list of tools is in force."""
        self._header_maps.clear()

    async def run(self, sealed: SealedCall, conversation: Conversation) -> UpstreamReply:
        """See `Executor.run`."""
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                await self._places.acquire()
        except TimeoutError:
            return NotSent(Reason(UNAVAILABLE, BUSY.format(self._name)))
        turn = Turn(self._places, self._limits.deadline_seconds)
        try:
            return await self._guarded(sealed, conversation, turn)
        finally:
            turn.end()

    async def _guarded(self, sealed: SealedCall, conversation: Conversation, turn: Turn) -> UpstreamReply:
        """Past the breaker, and back with what it is to know."""
        session = self._usable()
        if session is None:
            return NotSent(say(UNAVAILABLE, self._name))
        entered = self._breaker.enter(time.monotonic())
        if entered is None:
            return NotSent(open_for(self.paused_seconds or 0.0, self._name))
        try:
            return await self._settled(session, sealed, conversation, turn, entered)
        finally:
            self._breaker.left(entered)

    async def _settled(
        self, session: Session, sealed: SealedCall, conversation: Conversation, turn: Turn, entered: Pass
    ) -> UpstreamReply:
        """Send it, and make of every way to end a reply."""
        sent: list[Outgoing] = []
        try:
            reply = await self._sent(session, sealed, conversation, turn, sent)
            self._breaker.answered()
            return reply
        except _Refused as refused:
            return NotSent(refused.reason)
        except TimeoutError:
            code = TIMEOUT
        except Fault as fault:
            code = fault.code
        except Exception as error:  # noqa: BLE001 - the port promises never to raise; the text could hold values
            logger.error("a call of upstream %s failed unexpectedly: %s", self._name, type(error).__name__)
            code = LOST
        if code not in (NO_CREDENTIALS, UNAUTHORIZED):
            self._breaker.failed(entered, time.monotonic())
        if code not in (TIMEOUT, NO_CREDENTIALS, UNAUTHORIZED):
            self._suspect()
        if not any(outgoing.sent for outgoing in sent):
            return NotSent(say(code if code == NO_CREDENTIALS else UNAVAILABLE, self._name))
        if code == UNAUTHORIZED and len(sent) == 1:  # in a later round, who knows what the earlier ones did
            return NotSent(say(code, self._name))
        return NoAnswer(say(LOST if code in (UNAVAILABLE, NO_CREDENTIALS, UNAUTHORIZED) else code, self._name))

    async def _sent(
        self, session: Session, sealed: SealedCall, conversation: Conversation, turn: Turn, sent: list[Outgoing]
    ) -> ToolReply:
        capability, offers = sealed.capability, conversation.offers(self._name)
        if capability.method is Method.SUBSCRIBE:
            if self._credentials.per_caller:
                raise _Refused(Reason(UNAVAILABLE, UNSUBSCRIBABLE.format(self._name)))
            async with turn.timed():
                answer = await self._subscriptions.add(orjson.loads(sealed.arguments)["uri"])
                return ToolReply(result_document(Method.SUBSCRIBE, answer), session.era.version)
        said = self._said(session.era, sealed, conversation, offers)
        talk = Talk(self._name, conversation, offers, turn, self._breaker.answered)
        if not self._wants_own(session.era, said):
            async with turn.timed():
                return await self._rounds(session, sealed, talk, said, sent)
        try:
            async with self._own.lent(sealed.run, session.era, offers, said.log_level) as own, turn.timed():
                await self._check(own, capability)
                return await self._rounds(own.opened.result(), sealed, talk, said, sent)
        except NoRoom:
            raise _Refused(Reason(UNAVAILABLE, BUSY.format(self._name))) from None
        except NotOpened:  # that it takes no further session tells nothing of the shared one
            raise _Refused(Reason(UNAVAILABLE, NO_SESSION.format(self._name))) from None

    def _wants_own(self, era: Era, said: Said) -> bool:
        if era.modern:
            return said.log_level is not None and not isinstance(self._spec, HttpSpec)
        return self._credentials.per_caller or bool(said.capabilities) or said.log_level is not None

    def _said(self, era: Era, sealed: SealedCall, conversation: Conversation, offers: Mapping[str, Any]) -> Said:
        trace = {"traceparent": sealed.run.traceparent, "tracestate": sealed.run.tracestate}
        mirrored: dict[str, str] = {}
        if era.modern and isinstance(self._spec, HttpSpec) and sealed.capability.method is Method.TOOL:
            header_map = self._header_map(sealed.capability.definition)
            mirrored = mcp_param_headers(header_map, orjson.loads(sealed.arguments)) if header_map else {}
        return Said(
            trace={key: value for key, value in trace.items() if value is not None},
            capabilities=offers,
            progress=conversation.wants_progress,
            log_level=conversation.log_level,
            mirrored=mirrored,
            party=Party.of(sealed.run),
        )

    def _header_map(self, definition: ToolDefinition) -> dict[tuple[str, ...], str]:
        """Which arguments are mirrored into headers (2026-07-28, x-mcp-header); none where an annotation is invalid."""
        found = self._header_maps.get(definition.digest)
        if found is None:
            schema = definition.document.get("inputSchema")
            found = {} if find_invalid_x_mcp_header(schema) else x_mcp_header_map(schema)
            self._header_maps[definition.digest] = found
        return found

    async def _check(self, own: OwnSession, capability: Capability) -> None:
        """A session of its own may list other tools than the shared one."""
        if capability.method is not Method.TOOL:
            return
        try:
            if await own.lists(capability, anew=capability.mode in CHECKED_MODES):
                return
        except TimeoutError:
            raise _Refused(Reason(UNAVAILABLE, UNLISTED.format(self._name))) from None
        raise _Refused(Reason("tool.drifted", DRIFTED.format(self._name)))

    async def _rounds(self, session: Session, sealed: SealedCall, talk: Talk, said: Said, sent: list[Outgoing]) -> ToolReply:
        """Send it, and again with what the upstream asks for instead of answering, until it answers."""
        method, name = sealed.capability.method, sealed.capability.definition.name
        more: dict[str, Any] = {}
        for _ in range(MAX_ROUNDS):
            outgoing = call(session.era, method, name, sealed.arguments, said, talk, more)
            sent.append(outgoing)
            answer = await session.link.request(outgoing)
            asked = input_required(method, answer) if session.era.modern else None
            if asked is None:
                return ToolReply(result_document(method, answer), session.era.version)
            given = await _given(asked, talk)
            if asked.asks and not given:
                return ToolReply(failed(method, UNANSWERED), session.era.version)
            more = {"inputResponses": given} if given else {}
            if asked.state is not None:
                more["requestState"] = asked.state
        return ToolReply(failed(method, ENDLESS), session.era.version)


async def _given(asked: InputRequired, talk: Talk) -> dict[str, Any]:
    """The answers of the client, those that there are."""
    if not asked.asks:
        return {}
    answers = await talk.ask(asked.asks)
    return {key: answer for key, answer in answers.items() if key in asked.asks and isinstance(answer, dict)}
