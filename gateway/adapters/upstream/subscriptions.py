"""Which resources of an upstream somebody wants to hear of, and keeping the upstream told of it, across sessions.

In the handshake era each resource is subscribed to by a request, anew in every session. In 2026-07-28 one stream names them
all, and the lists as well: where the set changes a second stream is opened before the first is left, so that nothing is
missed in between. After a new session every subscriber is told once: something may have changed meanwhile.
"""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mcp import Client
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND

from gateway.adapters.upstream.requests import Era, plain
from gateway.adapters.upstream.rpc import Answer, Fault, Link, RpcError

logger = logging.getLogger("sealgate.upstream")

MAX_RESOURCES = 1_000
LISTEN_AGAIN_SECONDS = 5.0
GOODBYE_SECONDS = 5.0

TOO_MANY = RpcError(-32000, "Too many resources of this server are subscribed to.")
NOT_HONOURED = RpcError(-32000, "The server does not tell of changes of this resource.")


class Subscriptions:
    """See the module. `on_updated(uri)` is called in the event loop for resources that are subscribed to."""

    def __init__(self, upstream: str, on_updated: Callable[[str], None]) -> None:
        self._upstream = upstream
        self._on_updated = on_updated
        self._wanted: Counter[str] = Counter()
        self._kept: _Handshake | _Modern | None = None
        self._turn = asyncio.Lock()
        self._goodbyes: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._wanted)

    async def add(self, uri: str) -> Answer:
        """One more wants to hear of it. An error where the upstream does not take it: then nobody was added.

        Raises:
            Fault: no usable answer.
        """
        async with self._turn:
            if uri not in self._wanted:
                if len(self._wanted) >= MAX_RESOURCES:
                    return TOO_MANY
                if self._kept is None:
                    raise Fault("upstream.unavailable")
                answer = await self._kept.subscribe(uri)
                if not isinstance(answer, dict):
                    return answer
            self._wanted[uri] += 1
            return {}

    async def remove(self, uri: str) -> None:
        """One that was added wants to hear of it no more."""
        async with self._turn:
            if self._wanted[uri] > 1:
                self._wanted[uri] -= 1
                return
            known = self._wanted.pop(uri, 0)
            if known and self._kept is not None:
                self._aside(self._kept.unsubscribe(uri))

    def updated(self, params: Mapping[str, Any]) -> None:
        """The upstream says that a resource changed: one of those, or one below it."""
        uri = params.get("uri")
        if isinstance(uri, str) and (uri in self._wanted or any(uri.startswith(_below(one)) for one in self._wanted)):
            self._on_updated(uri)

    @asynccontextmanager
    async def kept(self, era: Era, link: Link, client: Client | None, on_suspect: Callable[[], None]) -> AsyncIterator[None]:
        """Keep the upstream of this session told. `client`: the SDK's. `on_suspect`: something may have been missed."""
        listens = client is not None and era.modern
        kept = _Modern(client, self._wanted, on_suspect) if listens and client is not None else _Handshake(link, era)
        async with kept.running():
            again = asyncio.create_task(self._again(kept))
            self._kept = kept
            try:
                yield
            finally:
                self._kept = None
                again.cancel()
                await asyncio.gather(again, *self._goodbyes, return_exceptions=True)

    async def _again(self, kept: "_Handshake | _Modern") -> None:
        """Subscribe anew to what an earlier session had."""
        for uri in list(self._wanted):
            try:
                if not isinstance(await kept.subscribe(uri), dict):
                    logger.warning("upstream %s does not take a subscription any more that it had taken", self._upstream)
            except Fault:
                return  # the session is gone again
            self._on_updated(uri)

    def _aside(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(_bounded(what))
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)


class _Handshake:
    """A request for each."""

    def __init__(self, link: Link, era: Era) -> None:
        self._link = link
        self._era = era

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        yield

    async def subscribe(self, uri: str) -> Answer:
        return await self._link.request(plain(self._era, "resources/subscribe", {"uri": uri}))

    async def unsubscribe(self, uri: str) -> None:
        await self._link.request(plain(self._era, "resources/unsubscribe", {"uri": uri}))


class _Modern:
    """One stream for all. The SDK keeps it; what comes on it is taken out on the way (see `screen`)."""

    def __init__(self, client: Client, wanted: Iterable[str], on_suspect: Callable[[], None]) -> None:
        self._client = client
        self._on_suspect = on_suspect
        self._uris = set(wanted)
        self._honoured: frozenset[str] = frozenset()
        self._asked: dict[str, asyncio.Future[None]] = {}
        self._change = asyncio.Event()
        self._over = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def subscribe(self, uri: str) -> Answer:
        if uri not in self._honoured and not self._over:
            self._uris.add(uri)
            self._change.set()
            await asyncio.shield(self._asked.setdefault(uri, asyncio.get_running_loop().create_future()))
        if uri in self._honoured:
            return {}
        self._uris.discard(uri)
        return NOT_HONOURED

    async def unsubscribe(self, uri: str) -> None:
        self._uris.discard(uri)
        self._change.set()

    async def _keep(self) -> None:
        """Keep a stream open that names what is wanted now, as long as the server knows such streams."""
        stream: _Stream | None = None
        try:
            while True:
                self._change.clear()
                if not self._uris and not any(_lists(self._client).values()):
                    await self._change.wait()
                    continue
                earlier, stream = stream, _Stream(self._client, self._uris)
                honoured = await stream.acknowledged
                if earlier is not None:
                    await earlier.close()
                self._settle(honoured, stream.uris)
                await _first(stream.task, self._change)
                if stream.task.done():
                    if not stream.task.result():
                        return
                    self._honoured, stream = frozenset(), None
                    self._on_suspect()  # whatever was missed, or a server that is gone
                    await asyncio.sleep(LISTEN_AGAIN_SECONDS)
        finally:
            self._over = True
            self._settle(frozenset(), frozenset(self._asked))
            if stream is not None:
                await stream.close()

    def _settle(self, honoured: frozenset[str], uris: frozenset[str]) -> None:
        self._honoured = honoured
        for uri in uris & self._asked.keys():
            self._asked.pop(uri).set_result(None)


class _Stream:
    """One `subscriptions/listen`. `acknowledged`: the URIs that the server tells of; none where it ended before that."""

    def __init__(self, client: Client, uris: Iterable[str]) -> None:
        self.uris = frozenset(uris)
        self.acknowledged: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()
        self.task = asyncio.create_task(self._run(client))

    async def close(self) -> None:
        """End it."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def _run(self, client: Client) -> bool:
        """Until it ends. Whether the server knows such streams at all."""
        try:
            async with client.listen(**_lists(client), resource_subscriptions=sorted(self.uris)) as subscription:
                self.acknowledged.set_result(frozenset(subscription.honored.resource_subscriptions or ()))
                async for _ in subscription:
                    pass
        except MCPError as error:
            return error.code != METHOD_NOT_FOUND
        except SubscriptionLost:
            pass
        finally:
            if not self.acknowledged.done():
                self.acknowledged.set_result(frozenset())
        return True


def _lists(client: Client) -> dict[str, bool]:
    """Of which lists the server says that it tells when they change."""
    declared = client.server_capabilities
    return {
        f"{name}_list_changed": bool(capability is not None and capability.list_changed)
        for name, capability in (
            ("tools", declared.tools),
            ("resources", declared.resources),
            ("prompts", declared.prompts),
        )
    }


def _below(uri: str) -> str:
    """How the URIs begin that are below this one: a server may tell of a part of what was subscribed to (2026-07-28)."""
    return uri if uri.endswith("/") else f"{uri}/"


async def _first(task: "asyncio.Task[bool]", event: asyncio.Event) -> None:
    """Returns when the task is done or the event set."""
    waits = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((task, waits), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waits.cancel()


async def _bounded(what: Coroutine[Any, Any, None]) -> None:
    """A farewell: it may fail, and take some seconds."""
    with contextlib.suppress(Fault, TimeoutError):
        async with asyncio.timeout(GOODBYE_SECONDS):
            await what
