"""One upstream and the task that owns its session: connect, list, watch, start anew.

Only the owner task enters and leaves the shared session; calls come from any task and use the session of the moment. A
session that ends takes its running calls with it and is opened again after a pause that doubles from 0.5 s to 30 s, with
jitter.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.adapters.upstream.calls import CHECKED_MODES, Calls
from gateway.adapters.upstream.child import StderrTail
from gateway.adapters.upstream.credentials.credentials import NoCredentials, Party
from gateway.adapters.upstream.field_guard import field_refusal
from gateway.adapters.upstream.listing import ListingRefused, list_surface, list_tools
from gateway.adapters.upstream.own_sessions import OwnSessions
from gateway.adapters.upstream.rpc import LOST, NO_CREDENTIALS, UNAVAILABLE, Fault
from gateway.adapters.upstream.screen import LISTS
from gateway.adapters.upstream.session import Events, Session, Wire, open_session
from gateway.adapters.upstream.spec import StdioSpec, UpstreamSpec
from gateway.adapters.upstream.status import (
    DRIFTED,
    ENDED,
    STARTING_UP,
    UNLISTED,
    State,
    UpstreamStatus,
    leaf,
    paused_for,
    say,
    why_down,
)
from gateway.adapters.upstream.subscriptions import Subscriptions
from gateway.core.approval import Grant
from gateway.core.capability import Capability, ToolDefinition
from gateway.core.conversation import Conversation
from gateway.core.method import Method
from gateway.core.outcome import Reason
from gateway.core.reply import UpstreamReply
from gateway.core.surface import NOTHING, Surface

logger = logging.getLogger("sealgate.upstream")

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
STABLE_SECONDS = 60.0
DEBOUNCE_SECONDS = 0.05
RELIST_GAP_SECONDS = 1.0
STOP_SECONDS = 5.0

KINDS = frozenset(LISTS.values())
"""What an upstream lists: `tools`, `resources` (templates as well) and `prompts`."""


def _kind(spec: UpstreamSpec) -> str:
    return "stdio" if isinstance(spec, StdioSpec) else "sse" if spec.sse else "http"


def _nobody(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of an upstream, by its name, in the event loop.

    Attributes:
        listed: the first list of its tools, and each that differs from the one before
        offered: what it offers beside its tools, likewise
        announced: it said that one of its lists changed (`tools`, `resources`, `prompts`), and was listed since
        updated: it said that the resource of this URI changed, which is subscribed to
    """

    listed: Callable[[str, list[ToolDefinition]], None] = _nobody
    offered: Callable[[str, Surface], None] = _nobody
    announced: Callable[[str, str], None] = _nobody
    updated: Callable[[str, str], None] = _nobody


class Upstream:
    """See the module."""

    def __init__(self, spec: UpstreamSpec, wire: Wire, told: Told) -> None:
        self._spec = spec
        self._name = spec.name
        self._limits = spec.limits
        self._wire = wire
        self._told = told
        self._state, self._reason = State.STARTING, STARTING_UP
        self._session: Session | None = None
        self._tools: list[ToolDefinition] | None = None
        self._surface = NOTHING
        self._restarts = 0
        self._tail = StderrTail()
        self._tried = asyncio.Event()
        self._listing = asyncio.Lock()
        self._listed_at = 0.0
        self._wake = asyncio.Event()
        self._stale: set[str] = set()
        self._announced: set[str] = set()
        self._stopping = False
        self._subscriptions = Subscriptions(spec.name, self._updated)
        self._own = OwnSessions(spec, wire, self._tail)
        self._credentials = wire.credentials_of(spec.name)
        own, subscriptions, credentials = self._own, self._subscriptions, self._credentials
        self._calls = Calls(spec, own, subscriptions, self._usable, self._suspect, credentials)
        self._owner = asyncio.create_task(self._own_session(), name=f"upstream {spec.name}")

    async def settled(self) -> None:
        """Returns when it is up or its first attempt failed."""
        await self._tried.wait()

    async def stop(self) -> None:
        """Leave the session and end the process, within seconds."""
        self._stopping = True
        for _ in range(2):  # the second time breaks a farewell that hangs
            self._owner.cancel()
            await asyncio.wait([self._owner], timeout=STOP_SECONDS)
        await self._own.stop()

    def status(self) -> UpstreamStatus:
        """As it is now."""
        session, paused = self._session, self._calls.paused_seconds
        up = None if paused is None else paused_for(paused)
        return UpstreamStatus(
            name=self._name,
            kind=_kind(self._spec),
            state=self._state,
            reason=up if self._state is State.UP else self._reason,
            protocol=session.era.version if session is not None else None,
            tools=len(self._tools or ()),
            restarts=self._restarts,
            stderr_tail=self._tail.text(),
            sandbox="bubblewrap" if isinstance(self._spec, StdioSpec) and self._spec.sandbox is not None else None,
            own_sessions=len(self._own),
            subscriptions=len(self._subscriptions),
            paused_seconds=paused,
        )

    # -- calls, from any task

    async def ready(self, grant: Grant) -> Reason | None:
        """See `Executor.ready`. The fields are looked at last, as shortly before the call as can be."""
        session, refusal = self._usable(), self._calls.refusal()
        if session is None or refusal is not None:
            return refusal
        try:
            await self._credentials.headers(Party.of(grant.call.run))
        except NoCredentials:
            return say(NO_CREDENTIALS, self._name)
        drifted = await self._drifted(session, grant.call.capability)
        return drifted or await field_refusal(grant, self._spec, self._wire.resolve)

    async def _drifted(self, session: Session, capability: Capability) -> Reason | None:
        if capability.mode not in CHECKED_MODES or capability.method is not Method.TOOL:
            return None
        try:
            async with asyncio.timeout(self._limits.deadline_seconds):
                listed = await self._list_tools(session)
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
        return await self._calls.run(grant.call, conversation)

    async def unsubscribe(self, uri: str) -> None:
        """One call that subscribed to this resource is not to be told any more."""
        await self._subscriptions.remove(uri)

    def _usable(self) -> Session | None:
        session = self._session
        return session if session is not None and session.link.ended is None else None

    # -- the owner task

    async def _own_session(self) -> None:
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
        events = Events(self._noticed, self._suspect, self._wake.set)
        async with open_session(self._spec, self._wire, self._tail, events, self._subscriptions) as session:
            self._session = session
            try:
                async with asyncio.timeout(self._limits.deadline_seconds):
                    await self._list(session, KINDS)
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
                self._stale |= KINDS
            self._wake.clear()
            if session.link.ended is not None:
                raise Fault(session.link.ended)
            if self._stale:
                gap = self._listed_at + RELIST_GAP_SECONDS - time.monotonic()
                await asyncio.sleep(max(DEBOUNCE_SECONDS, gap))
                await self._refresh(session)

    async def _refresh(self, session: Session) -> None:
        stale, announced = frozenset(self._stale), frozenset(self._announced)
        self._stale.clear()
        self._announced.clear()
        try:
            async with asyncio.timeout(self._limits.deadline_seconds):
                await self._list(session, stale)
        except (Fault, ListingRefused, TimeoutError) as error:
            if isinstance(error, Fault) and error.code in (LOST, UNAVAILABLE):
                raise
            logger.warning("upstream %s could not be listed again: %r", self._name, error)
        for kind in sorted(announced):
            self._told.announced(self._name, kind)

    async def _list(self, session: Session, kinds: frozenset[str]) -> None:
        if "tools" in kinds:
            await self._list_tools(session)
        if kinds - {"tools"}:
            await self._list_surface(session)
        self._listed_at = time.monotonic()

    async def _list_tools(self, session: Session) -> list[ToolDefinition]:
        """List now and report a list that differs from the last. One at a time, so that the newest is reported last."""
        async with self._listing:
            listed: list[ToolDefinition] = []
            dropped = 0
            if session.offers_tools:
                listed, dropped = await list_tools(session, self._name)
            self._listed_at = time.monotonic()
            if self._tools is None or [tool.digest for tool in listed] != [tool.digest for tool in self._tools]:
                self._tools = listed
                self._calls.forget_definitions()
                logger.info("upstream %s lists %d tools (%d unreadable)", self._name, len(listed), dropped)
                self._told.listed(self._name, listed)
            return listed

    async def _list_surface(self, session: Session) -> None:
        async with self._listing:
            surface = await list_surface(session)
            if surface != self._surface:
                self._surface = surface
                self._told.offered(self._name, surface)

    def _suspect(self) -> None:
        """Something may have changed, or the session may be gone: listing will tell."""
        self._stale |= KINDS
        self._wake.set()

    def _noticed(self, method: str, params: Mapping[str, Any]) -> None:
        """A notification that concerns no call."""
        kind = LISTS.get(method)
        if kind is None:
            self._subscriptions.updated(params)
            return
        self._stale.add(kind)
        self._announced.add(kind)
        self._wake.set()

    def _updated(self, uri: str) -> None:
        self._told.updated(self._name, uri)

    def _is_up(self, session: Session) -> None:
        self._state = State.UP
        self._tried.set()
        logger.info("upstream %s is up, protocol %s", self._name, session.era.version)

    def _is_down(self, error: BaseException) -> None:
        self._state, self._reason = State.DOWN, why_down(error)
        self._wake.clear()
        self._stale.clear()
        self._announced.clear()
        self._tried.set()
        if not self._stopping:
            logger.warning("upstream %s is down: %s (%.300r)", self._name, self._reason, leaf(error))
