"""One upstream and the task that owns its session: connect, list, watch, start anew.

Only the owner task enters and leaves sessions; calls come from any task and use the session of the moment. A session that
ends takes its running calls with it and is opened again after a pause that doubles from 0.5 s to 30 s, with jitter.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable

import orjson
from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map

from gateway.adapters.upstream.child import StderrTail
from gateway.adapters.upstream.field_guard import field_refusal
from gateway.adapters.upstream.listing import ListingRefused, list_tools
from gateway.adapters.upstream.result import call_result
from gateway.adapters.upstream.rpc import LOST, TIMEOUT, UNAVAILABLE, Fault, Outgoing, tools_call
from gateway.adapters.upstream.session import Session, Wire, open_session
from gateway.adapters.upstream.spec import HttpSpec, StdioSpec, UpstreamSpec
from gateway.adapters.upstream.status import (
    BUSY,
    DRIFTED,
    ENDED,
    STARTING_UP,
    UNLISTED,
    State,
    UpstreamStatus,
    leaf,
    say,
    why_down,
)
from gateway.core.approval import Grant
from gateway.core.call import SealedCall
from gateway.core.capability import ApprovalMode, Capability, ToolDefinition
from gateway.core.conversation import Conversation
from gateway.core.outcome import Reason
from gateway.core.reply import NoAnswer, NotSent, ToolReply, UpstreamReply

logger = logging.getLogger("sealgate.upstream")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 60.0
DEBOUNCE_SECONDS = 0.05
RELIST_GAP_SECONDS = 1.0
STOP_SECONDS = 5.0

CHECKED_MODES = frozenset({ApprovalMode.DELEGATED, ApprovalMode.DESTRUCTIVE})
"""Modes whose definition is listed anew right before the call."""

OnListed = Callable[[str, list[ToolDefinition]], None]


class Upstream:
    """See the module."""

    def __init__(self, spec: UpstreamSpec, wire: Wire, on_listed: OnListed) -> None:
        self._spec = spec
        self._name = spec.name
        self._limits = spec.limits
        self._wire = wire
        self._on_listed = on_listed
        self._slots = asyncio.Semaphore(spec.limits.max_concurrent)
        self._state, self._reason = State.STARTING, STARTING_UP
        self._session: Session | None = None
        self._tools: list[ToolDefinition] | None = None
        self._header_maps: dict[str, dict[tuple[str, ...], str]] = {}
        self._restarts = 0
        self._tail = StderrTail()
        self._tried = asyncio.Event()
        self._listing = asyncio.Lock()
        self._listed_at = 0.0
        self._wake = asyncio.Event()
        self._changed = False
        self._stopping = False
        self._owner = asyncio.create_task(self._own(), name=f"upstream {spec.name}")

    async def settled(self) -> None:
        """Returns when it is up or its first attempt failed."""
        await self._tried.wait()

    async def stop(self) -> None:
        """Leave the session and end the process, within seconds."""
        self._stopping = True
        for _ in range(2):  # the second time breaks a farewell that hangs
            self._owner.cancel()
            await asyncio.wait([self._owner], timeout=STOP_SECONDS)

    def status(self) -> UpstreamStatus:
        """As it is now."""
        session = self._session
        return UpstreamStatus(
            name=self._name,
            kind="stdio" if isinstance(self._spec, StdioSpec) else "http",
            state=self._state,
            reason=None if self._state is State.UP else self._reason,
            protocol=session.era.version if session is not None else None,
            tools=len(self._tools or ()),
            restarts=self._restarts,
            stderr_tail=self._tail.text(),
            sandbox="bubblewrap" if isinstance(self._spec, StdioSpec) and self._spec.sandbox is not None else None,
        )

    # -- calls, from any task

    async def ready(self, grant: Grant) -> Reason | None:
        """See `Executor.ready`. The fields are looked at last, as shortly before the call as can be."""
        session = self._usable()
        if session is None:
            return say(UNAVAILABLE, self._name)
        drifted = await self._drifted(session, grant.call.capability)
        return drifted or await field_refusal(grant, self._spec, self._wire.resolve)

    async def _drifted(self, session: Session, capability: Capability) -> Reason | None:
        if capability.mode not in CHECKED_MODES:
            return None
        try:
            async with asyncio.timeout(self._limits.deadline_seconds):
                listed = await self._list(session)
        except (Fault, ListingRefused, TimeoutError) as error:
            self._suspect()
            logger.warning("upstream %s could not be listed before a call: %r", self._name, error)
            return Reason(UNAVAILABLE, UNLISTED.format(self._name))
        digests = [tool.digest for tool in listed if tool.name == capability.definition.name]
        if digests != [capability.definition.digest]:
            return Reason("tool.drifted", DRIFTED.format(self._name))
        return None

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        """See `Executor.run`."""
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                await self._slots.acquire()
        except TimeoutError:
            return NotSent(Reason(UNAVAILABLE, BUSY.format(self._name)))
        try:
            return await self._send(grant.call)
        finally:
            self._slots.release()

    async def _send(self, call: SealedCall) -> UpstreamReply:
        session = self._usable()
        if session is None:
            return NotSent(say(UNAVAILABLE, self._name))
        outgoing: Outgoing | None = None
        try:
            outgoing = self._outgoing(session, call)
            async with asyncio.timeout(self._limits.deadline_seconds):
                answer = await session.link.request(outgoing)
            return ToolReply(call_result(answer), session.era.version)
        except TimeoutError:
            code = TIMEOUT
        except Fault as fault:
            code = fault.code
        except Exception as error:  # noqa: BLE001 - the port promises never to raise; the text could hold values
            logger.error("a call of upstream %s failed unexpectedly: %s", self._name, type(error).__name__)
            code = LOST
        if code != TIMEOUT:
            self._suspect()
        if outgoing is None or not outgoing.sent:
            return NotSent(say(UNAVAILABLE, self._name))
        return NoAnswer(say(LOST if code == UNAVAILABLE else code, self._name))

    def _outgoing(self, session: Session, call: SealedCall) -> Outgoing:
        definition = call.capability.definition
        trace = {"traceparent": call.run.traceparent, "tracestate": call.run.tracestate}
        present = {key: value for key, value in trace.items() if value is not None}
        mirrored: dict[str, str] = {}
        if session.era.modern and isinstance(self._spec, HttpSpec):
            header_map = self._header_map(definition)
            mirrored = mcp_param_headers(header_map, orjson.loads(call.arguments)) if header_map else {}
        return tools_call(session.era, definition.name, call.arguments, present, mirrored)

    def _header_map(self, definition: ToolDefinition) -> dict[tuple[str, ...], str]:
        """Which arguments are mirrored into headers (2026-07-28, x-mcp-header); none where an annotation is invalid."""
        found = self._header_maps.get(definition.digest)
        if found is None:
            schema = definition.document.get("inputSchema")
            found = {} if find_invalid_x_mcp_header(schema) else x_mcp_header_map(schema)
            self._header_maps[definition.digest] = found
        return found

    def _usable(self) -> Session | None:
        session = self._session
        return session if session is not None and session.link.ended is None else None

    # -- the owner task

    async def _own(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping:
            began = time.monotonic()
            ended_by: BaseException = Fault(LOST)
            try:
                await self._one_session()
            except (Exception, BaseExceptionGroup, asyncio.CancelledError) as error:
                if self._owner.cancelling():
                    raise
                ended_by = error  # whatever it was: an upstream must never end its owner
            self._is_down(ended_by)
            if time.monotonic() - began >= STABLE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if not self._stopping:
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _one_session(self) -> None:
        """Open, list, be up, until it ends."""
        async with open_session(self._spec, self._wire, self._tail, self._suspect, self._wake.set) as session:
            self._session = session
            try:
                async with asyncio.timeout(self._limits.deadline_seconds):
                    await self._list(session)
                self._is_up(session)
                await self._watch(session)
            finally:
                self._session = None
                self._restarts += self._state is State.UP
                self._state, self._reason = State.DOWN, ENDED[LOST]

    async def _watch(self, session: Session) -> None:
        """Until the session ends: list anew when told to, when in doubt, and every `refresh_seconds`."""
        while True:
            try:
                async with asyncio.timeout(self._limits.refresh_seconds):
                    await self._wake.wait()
            except TimeoutError:
                self._changed = True
            self._wake.clear()
            if session.link.ended is not None:
                raise Fault(session.link.ended)
            if self._changed:
                gap = self._listed_at + RELIST_GAP_SECONDS - time.monotonic()
                await asyncio.sleep(max(DEBOUNCE_SECONDS, gap))
                await self._refresh(session)

    async def _refresh(self, session: Session) -> None:
        self._changed = False
        try:
            async with asyncio.timeout(self._limits.deadline_seconds):
                await self._list(session)
        except (Fault, ListingRefused, TimeoutError) as error:
            if isinstance(error, Fault) and error.code in (LOST, UNAVAILABLE):
                raise
            logger.warning("upstream %s could not be listed again: %r", self._name, error)

    async def _list(self, session: Session) -> list[ToolDefinition]:
        """List now and report a list that differs from the last. One at a time, so that the newest is reported last."""
        async with self._listing:
            listed: list[ToolDefinition] = []
            dropped = 0
            if session.offers_tools:
                listed, dropped = await list_tools(session.link, session.era, self._name)
            self._listed_at = time.monotonic()
            if self._tools is None or [tool.digest for tool in listed] != [tool.digest for tool in self._tools]:
                self._tools = listed
                self._header_maps.clear()
                logger.info("upstream %s lists %d tools (%d unreadable)", self._name, len(listed), dropped)
                self._on_listed(self._name, listed)
            return listed

    def _suspect(self) -> None:
        """The tools may have changed, or the session may be gone: listing will tell."""
        self._changed = True
        self._wake.set()

    def _is_up(self, session: Session) -> None:
        self._state = State.UP
        self._tried.set()
        logger.info("upstream %s is up, protocol %s", self._name, session.era.version)

    def _is_down(self, error: BaseException) -> None:
        self._state, self._reason = State.DOWN, why_down(error)
        self._wake.clear()
        self._changed = False
        self._tried.set()
        if not self._stopping:
            logger.warning("upstream %s is down: %s (%.300r)", self._name, self._reason, leaf(error))
