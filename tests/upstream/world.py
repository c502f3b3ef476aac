"""What the tests stand on: server processes, grants made the way the gateway makes them, waiting on conditions."""

import asyncio
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from gateway.adapters.upstream.addresses import Resolve, system_resolve
from gateway.adapters.upstream.owner import Told
from gateway.adapters.upstream.spec import AnySpec, HttpSpec, Limits, StdioSpec
from gateway.adapters.upstream.status import State, UpstreamStatus
from gateway.adapters.upstream.upstreams import Upstreams
from gateway.core.approval import Grant
from gateway.core.call import SealedCall, Sealer, ToolRequest
from gateway.core.capability import ApprovalMode, Capability, Classification, IdempotencyRule, ToolDefinition, TrustLevel
from gateway.core.catalog import build_catalog
from gateway.core.commitment import CommitmentKey
from gateway.core.conversation import SILENT, Conversation
from gateway.core.decision import Effect, PolicyDecision
from gateway.core.method import Method
from gateway.core.obligations import NONE, Obligations
from gateway.core.outcome import Reason
from gateway.core.reply import ToolReply, UpstreamReply
from gateway.core.run_context import Principal, PrincipalKind, RunContext
from gateway.core.surface import Surface, standing_capability

SERVERS = Path(__file__).parent / "servers"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PATIENCE_SECONDS = 30.0
QUICK = Limits(deadline_seconds=15.0, max_result_bytes=1 << 20, breaker_failures=0)
IMPATIENT = Limits(deadline_seconds=1.0, breaker_failures=0)


def raw_stdio(*flags: str, name: str = "raw", limits: Limits = QUICK, **env: str) -> StdioSpec:
    """The raw stdio server."""
    return StdioSpec(name, sys.executable, (str(SERVERS / "raw_stdio.py"), *flags), env, limits=limits)


def talking_stdio(name: str, mode: str, asks: frozenset[Method] = frozenset()) -> StdioSpec:
    """The server that talks back, over stdio: mode `stdio` or `stdio-handshake`. `asks`: what rules let it ask."""
    return StdioSpec(name, sys.executable, (str(SERVERS / "talking_server.py"), mode), limits=QUICK, asks=asks)


def sdk_stdio(name: str = "sdk", limits: Limits = QUICK) -> StdioSpec:
    """The SDK's server over stdio."""
    return StdioSpec(name, sys.executable, (str(SERVERS / "sdk_server.py"), "stdio"), limits=limits)


@contextmanager
def serving(script: str, *arguments: str) -> Iterator[int]:
    """A server process that prints its port."""
    command = [sys.executable, str(SERVERS / script), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def at(port: int, name: str = "web", limits: Limits = QUICK, **headers: str) -> HttpSpec:
    """A server on loopback."""
    return HttpSpec(name, f"http://127.0.0.1:{port}/mcp", headers, limits)


def over_sse(port: int, name: str, limits: Limits = QUICK) -> HttpSpec:
    """A server on loopback that speaks the HTTP+SSE transport."""
    return HttpSpec(name, f"http://127.0.0.1:{port}/mcp", {}, limits, sse=True)


class World:
    """Running upstreams and what they listed."""

    def __init__(self, specs: tuple[AnySpec, ...], resolve: Resolve = system_resolve) -> None:
        self.listed: list[tuple[str, list[ToolDefinition]]] = []
        self.surfaces: dict[str, Surface] = {}
        self.announced: list[tuple[str, str]] = []
        self.updated: list[tuple[str, str]] = []
        told = Told(
            lambda name, tools: self.listed.append((name, tools)),
            self.surfaces.__setitem__,
            lambda name, kind: self.announced.append((name, kind)),
            lambda name, uri: self.updated.append((name, uri)),
        )
        self.upstreams = Upstreams(specs, told, resolve)
        self._sealer = Sealer(CommitmentKey(bytes(32)), os.urandom)

    def tools(self, name: str) -> dict[str, ToolDefinition]:
        """The newest list of that upstream."""
        return next({tool.name: tool for tool in tools} for listed, tools in reversed(self.listed) if listed == name)

    def capability(self, name: str, tool: str, mode: ApprovalMode = ApprovalMode.READ_ONLY, **declared: Any) -> Capability:
        """The tool as now listed, pinned and classified; `declared` are its egress, fields and roots."""
        definition = self.tools(name)[tool]
        what = Classification(mode, TrustLevel.UNTRUSTED, "test", IdempotencyRule.DERIVED, **declared)
        catalog = build_catalog([definition], [("*", what)], {definition.capability_id: definition.digest})
        capability = catalog.resolve(definition.capability_id)
        assert isinstance(capability, Capability), capability
        return capability

    def call(
        self,
        name: str,
        tool: str,
        arguments: dict[str, Any] | None = None,
        *,
        capability: Capability | None = None,
        user: str = "alice",
        session_id: str | None = None,
    ) -> SealedCall:
        """A sealed call. `tool`: of another method than tools/call, that method."""
        if capability is None and "/" in tool:
            capability = standing_capability(name, Method(tool), None)
        run = RunContext(
            tenant_id="t",
            principal=Principal(PrincipalKind.USER, user),
            actors=(),
            roles=frozenset(),
            trace_id=TRACEPARENT[3:35],
            traceparent=TRACEPARENT,
            tracestate="vendor=1",
            session_id=session_id,
        )
        request = ToolRequest("e", f"{name}__{tool}", arguments or {}, None, "2026-11-22T10:00:00.000Z")
        sealed = self._sealer.seal(run, capability or self.capability(name, tool), request)
        assert isinstance(sealed, SealedCall), sealed
        return sealed

    async def ready(self, capability: Capability) -> Reason | None:
        """Why a call of it cannot be sent now."""
        name, _, tool = capability.id.partition("__")
        return await self.ready_sealed(self.call(name, tool, capability=capability))

    async def ready_sealed(self, call: SealedCall, obligations: Obligations = NONE) -> Reason | None:
        """Why this call cannot be sent now, allowed under these obligations."""
        return await self.upstreams.ready(Grant(call, PolicyDecision("d", "test", "r", Effect.ALLOW, (), obligations)))

    async def run(self, name: str, tool: str, arguments: dict[str, Any] | None = None) -> UpstreamReply:
        """Seal, grant, run."""
        return await self.run_sealed(self.call(name, tool, arguments))

    async def run_sealed(self, call: SealedCall, conversation: Conversation = SILENT) -> UpstreamReply:
        """Grant and run."""
        return await self.upstreams.run(Grant(call, PolicyDecision("d", "test", "r", Effect.ALLOW, ())), conversation)

    async def document(
        self,
        name: str,
        tool: str,
        arguments: dict[str, Any] | None = None,
        conversation: Conversation = SILENT,
        *,
        user: str = "alice",
        session_id: str | None = None,
    ) -> dict[str, Any]:
        """What an answered call came back with."""
        sealed = self.call(name, tool, arguments, user=user, session_id=session_id)
        reply = await self.run_sealed(sealed, conversation)
        assert isinstance(reply, ToolReply), reply
        return reply.document

    async def text(self, name: str, tool: str, arguments: dict[str, Any] | None = None) -> str:
        """The text of an answer that must be a good one."""
        reply = await self.run(name, tool, arguments)
        assert isinstance(reply, ToolReply), reply
        assert reply.document.get("isError") is not True, reply
        return str(reply.document["content"][0]["text"])

    def status(self, name: str) -> UpstreamStatus:
        """Of one upstream."""
        return next(status for status in self.upstreams.status() if status.name == name)

    async def is_up(self, name: str, restarts: int = 0) -> None:
        """Wait until it is up after at least that many restarts."""
        await eventually(lambda: self.status(name).state is State.UP and self.status(name).restarts >= restarts)


@asynccontextmanager
async def running(*specs: AnySpec, resolve: Resolve = system_resolve) -> AsyncIterator[World]:
    """Upstreams that have settled."""
    world = World(specs, resolve)
    async with world.upstreams:
        await world.upstreams.settled(PATIENCE_SECONDS)
        yield world


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait on a condition, bounded."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        await asyncio.sleep(0.01)


EARLIER: set[int] = set()
"""Processes below this one when the test began: those of other tests' servers."""


def children() -> set[int]:
    """Processes below this one, at any depth, that the test started."""
    return all_children() - EARLIER


def all_children() -> set[int]:
    """Processes below this one, at any depth."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    while more := {pid for pid, parent in parents.items() if parent in found | {os.getpid()}} - found:
        found |= more
    return found


def peak_bytes() -> int:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
