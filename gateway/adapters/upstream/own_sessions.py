"""Sessions of an upstream that one call at a time has to itself: where the upstream may talk back, and nothing else
tells about which call.

A session is opened with the capabilities of the client declared, and used again only by the same caller in the same front
session with the same capabilities: what the upstream keeps of it reaches nobody else. Each has a task that opens and leaves
it. At most `own_sessions` per upstream, a quarter of them for one caller; one that is not used for `IDLE_SECONDS`, whose
call did not end well, or whose place another caller needs, is left.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gateway.adapters.upstream.child import StderrTail
from gateway.adapters.upstream.credentials.credentials import Party
from gateway.adapters.upstream.listing import ListingRefused, list_tools
from gateway.adapters.upstream.requests import Era
from gateway.adapters.upstream.rpc import Fault
from gateway.adapters.upstream.screen import LISTS
from gateway.adapters.upstream.session import Events, Session, Wire, open_own
from gateway.adapters.upstream.spec import UpstreamSpec
from gateway.adapters.upstream.status import leaf
from gateway.core.canonical import canonical
from gateway.core.capability import Capability, ToolDefinition
from gateway.core.run_context import RunContext

logger = logging.getLogger("sealgate.upstream")

IDLE_SECONDS = 60.0
LEAVE_SECONDS = 5.0
SHARES = 4
"""One caller may use so many sessions at once as there would be for each of that many callers."""


class NotOpened(Exception):
    """The session could not be opened, or could not list its tools: nothing was sent."""


class NoRoom(Exception):
    """All sessions there may be are in use, for longer than a call waits."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may use a session: the same caller, in the same front session, who can do the same for the upstream."""

    tenant: str
    chain: tuple[str, ...]
    session_id: str | None
    capabilities: bytes
    log_level: str | None

    @classmethod
    def of(cls, run: RunContext, capabilities: Mapping[str, Any], log_level: str | None) -> "Owner":
        """The owner of the session that this call needs."""
        chain = tuple(run.principal_chain)
        return cls(run.tenant_id, chain, run.session_id, canonical(dict(capabilities)), log_level)

    @property
    def party(self) -> Party:
        """In whose name what is sent on it goes."""
        return Party(self.tenant, self.chain)


class OwnSession:
    """One of them. `opened` has the session, or the exception that there is none."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self.opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None
        self._tools: list[ToolDefinition] | None = None

    @property
    def usable(self) -> bool:
        """Whether a call may have it now."""
        return not self._leave.is_set() and self.opened.done() and self.opened.result().link.ended is None

    def leave(self) -> None:
        """Its task is to leave it."""
        self._leave.set()

    def rest(self) -> None:
        """No call has it. It leaves itself in a while."""
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self.leave)

    def rise(self) -> None:
        """A call has it."""
        if self._idle is not None:
            self._idle.cancel()

    async def live(
        self, spec: UpstreamSpec, wire: Wire, tail: StderrTail, era: Era, capabilities: Mapping[str, Any]
    ) -> None:
        """Open it, until it is to be left."""
        events = Events(self._noticed, self.leave, self.leave)
        try:
            told = (events, era, capabilities, self.owner.log_level, self.owner.party)
            async with open_own(spec, wire, tail, *told) as session:
                self.opened.set_result(session)
                await self._leave.wait()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it was: it ends this session alone
            if self.opened.done():
                logger.info("an own session of upstream %s ended with %r", spec.name, leaf(error))
            else:
                logger.warning("an own session of upstream %s could not be opened: %.300r", spec.name, leaf(error))
                self.opened.set_exception(NotOpened())
        finally:
            if not self.opened.done():  # it was cancelled; whoever waits was not
                self.opened.set_exception(NotOpened())
            self.opened.exception()  # whoever waited may be gone

    async def lists(self, capability: Capability, *, anew: bool) -> bool:
        """Whether this session lists the tool as it was approved. Raises `NotOpened` where it lists nothing."""
        session = self.opened.result()
        if self._tools is None or anew:
            try:
                self._tools, _ = await list_tools(session, capability.upstream)
            except (Fault, ListingRefused) as error:
                raise NotOpened from error
        digests = [tool.digest for tool in self._tools if tool.name == capability.definition.name]
        return digests == [capability.definition.digest]

    def _noticed(self, method: str, params: Mapping[str, Any]) -> None:
        if LISTS.get(method) == "tools":
            self._tools = None


class OwnSessions:
    """The own sessions of one upstream."""

    def __init__(self, spec: UpstreamSpec, wire: Wire, tail: StderrTail) -> None:
        self._spec = spec
        self._wire = wire
        self._tail = tail
        self._sessions: dict[asyncio.Task[None], OwnSession] = {}
        self._resting: list[OwnSession] = []
        self._room = asyncio.Event()
        self._stopping = False

    def __len__(self) -> int:
        return len(self._sessions)

    @asynccontextmanager
    async def lent(
        self, run: RunContext, era: Era, capabilities: Mapping[str, Any], log_level: str | None
    ) -> AsyncIterator[OwnSession]:
        """An open session that this call has to itself. Where the call is cancelled or raises, nobody has it again.

        Raises:
            NotOpened: see there.
            NoRoom: there was none within `queue_seconds`.
        """
        owner = Owner.of(run, capabilities, log_level)
        try:
            async with asyncio.timeout(self._spec.limits.queue_seconds):
                own = await self._take(owner, era, capabilities)
        except TimeoutError:
            raise NoRoom from None
        try:
            await asyncio.shield(own.opened)
            yield own
        except BaseException:
            own.leave()
            raise
        if own.usable and not self._stopping:
            own.rest()
            self._resting.append(own)
        else:
            own.leave()
        self._room.set()

    async def stop(self) -> None:
        """Leave them all, within seconds."""
        self._stopping = True
        for own in self._sessions.values():
            own.leave()
        tasks = list(self._sessions)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=LEAVE_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, owner: Owner, era: Era, capabilities: Mapping[str, Any]) -> OwnSession:
        while True:
            self._room.clear()
            self._resting = [own for own in self._resting if own.usable]
            mine = next((own for own in reversed(self._resting) if own.owner == owner), None)
            if mine is not None:
                self._resting.remove(mine)
                mine.rise()
                return mine
            if self._stopping:
                raise NotOpened
            if self._used_by(owner) >= max(1, self._spec.limits.own_sessions // SHARES):
                await self._room.wait()
                continue
            if len(self._sessions) < self._spec.limits.own_sessions:
                return self._open(owner, era, capabilities)
            if self._resting:
                self._resting.pop(0).leave()
            await self._room.wait()

    def _used_by(self, owner: Owner) -> int:
        """How many that caller uses now, in whatever front session."""
        used = (own.owner for own in self._sessions.values() if own not in self._resting)
        return sum((one.tenant, one.chain) == (owner.tenant, owner.chain) for one in used)

    def _open(self, owner: Owner, era: Era, capabilities: Mapping[str, Any]) -> OwnSession:
        own = OwnSession(owner)
        living = own.live(self._spec, self._wire, self._tail, era, capabilities)
        task = asyncio.create_task(living, name=f"own session of upstream {self._spec.name}")
        self._sessions[task] = own
        task.add_done_callback(self._gone)
        return own

    def _gone(self, task: asyncio.Task[None]) -> None:
        del self._sessions[task]
        self._room.set()
