"""All upstreams: the Executor of the pipeline. One owner task each; none waits for, or falls with, another."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import aiohttp

from gateway.adapters.upstream.addresses import Addresses, Resolve, system_resolve
from gateway.adapters.upstream.asking import answered_by_client
from gateway.adapters.upstream.credentials.credentials import NOTHING, Credentials, NoCredentials
from gateway.adapters.upstream.credentials.made import credentials_of
from gateway.adapters.upstream.credentials.spec import StaticSpec
from gateway.adapters.upstream.http import http_session
from gateway.adapters.upstream.one import OneUpstream
from gateway.adapters.upstream.owner import Told, Upstream
from gateway.adapters.upstream.rpc import UNAVAILABLE
from gateway.adapters.upstream.sandbox import pinned, probe
from gateway.adapters.upstream.session import Wire
from gateway.adapters.upstream.spec import AgentSpec, AnySpec, HttpSpec, OpenApiSpec, StdioSpec, place_of
from gateway.adapters.upstream.status import UpstreamStatus, say
from gateway.core.addresses import is_local
from gateway.core.approval import Grant
from gateway.core.conversation import Conversation
from gateway.core.errors import ConfigError
from gateway.core.outcome import Reason
from gateway.core.reply import NotSent, UpstreamReply


class Upstreams:
    """Entering starts every upstream and waits for none; leaving stops them all and ends their processes.

    `told` is told of each in the event loop. Raises `ConfigError` where two upstreams have one name, and on entering where a
    sandbox that is asked for cannot be made: no server is started without it.
    """

    def __init__(self, specs: Sequence[AnySpec], told: Told, resolve: Resolve = system_resolve) -> None:
        names = [spec.name for spec in specs]
        if len(set(names)) != len(names):
            raise ConfigError("two upstreams have the same name", hint="give each upstream its own name")
        self._specs = tuple(specs)
        self._told = told
        self._resolve = resolve
        self._upstreams: dict[str, OneUpstream] = {}
        self._sessions: list[aiohttp.ClientSession] = []
        self._credentials: dict[str, Credentials] = {}

    async def __aenter__(self) -> Self:
        self._specs = tuple(pinned(spec) if isinstance(spec, StdioSpec) else spec for spec in self._specs)
        probes = (probe(spec) for spec in self._specs if isinstance(spec, StdioSpec))
        for failed in await asyncio.gather(*probes, return_exceptions=True):
            if failed is not None:
                raise failed
        apis = [spec for spec in self._specs if isinstance(spec, OpenApiSpec)]
        remote = [spec for spec in self._specs if isinstance(spec, HttpSpec | OpenApiSpec | AgentSpec)]
        fetched = [spec for spec in apis if spec.fetched]
        secure = any(url.startswith("https") for url in (spec.url for spec in remote))
        secure = secure or any(spec.document.startswith("https") for spec in fetched)
        asked = [(url, spec.private_addresses) for spec in remote if (url := _token_url(spec)) is not None]
        secure = secure or any(url.startswith("https") for url, _ in asked)
        tls: ssl.SSLContext | bool = ssl.create_default_context() if secure else True
        private = [spec.place for spec in remote if spec.may_be_private]
        documents = [(spec.document, spec.private_addresses) for spec in fetched]
        others = [(place_of(url), may_be) for url, may_be in documents + asked]
        agents = [spec for spec in self._specs if isinstance(spec, AgentSpec)]
        others += [(place, spec.private_addresses) for spec in agents for place in spec.places]
        private += [place for place, may_be in others if may_be or is_local(place[0])]
        addresses = Addresses(self._resolve, private)
        http = http_session(tls, addresses)
        self._sessions.append(http)
        self._credentials = {
            spec.name: credentials_of(spec.name, spec.credentials, http) for spec in remote if spec.credentials is not None
        }
        for name, credentials in self._credentials.items():
            try:
                await credentials.check()
            except NoCredentials as error:
                await self._close()
                hint = f"See upstreams.{name}.credentials in gateway.yaml."
                raise ConfigError(f"no credentials for upstream {name}: {error}", hint=hint) from None
        wire = Wire(http, tls if secure else False, addresses, self._resolve, self._credentials)
        make = self._maker(tls, addresses) if apis or agents else None
        for spec in self._specs:  # in their order
            if isinstance(spec, StdioSpec | HttpSpec):
                self._upstreams[spec.name] = Upstream(spec, wire, self._told)
            elif make is not None:
                self._upstreams[spec.name] = make(spec)
        return self

    def _maker(self, tls: ssl.SSLContext | bool, addresses: Addresses) -> Callable[[OpenApiSpec | AgentSpec], OneUpstream]:
        from gateway.adapters.upstream.a2a.agent import Agent  # only here: they take a while to load
        from gateway.adapters.upstream.openapi.api import Api
        from gateway.adapters.upstream.openapi.sending import api_session

        session = api_session(tls, addresses)
        self._sessions.append(session)

        def make(spec: OpenApiSpec | AgentSpec) -> OneUpstream:
            credentials = self._credentials.get(spec.name, NOTHING)
            if isinstance(spec, AgentSpec):
                return Agent(spec, session, self._resolve, self._told, credentials)
            return Api(spec, session, self._resolve, self._told, credentials)

        return make

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await asyncio.gather(*(upstream.stop() for upstream in self._upstreams.values()))
        await self._close()

    async def _close(self) -> None:
        for credentials in self._credentials.values():
            await credentials.close()
        for session in self._sessions:
            await session.close()

    async def settled(self, seconds: float) -> None:
        """Wait until each upstream is up or failed its first attempt, at most that long."""
        waits = [asyncio.create_task(upstream.settled()) for upstream in self._upstreams.values()]
        if waits:
            _, late = await asyncio.wait(waits, timeout=seconds)
            for wait in late:
                wait.cancel()

    def status(self) -> list[UpstreamStatus]:
        """Each upstream as it is now, in the order of the specs."""
        return [upstream.status() for upstream in self._upstreams.values()]

    async def ready(self, grant: Grant) -> Reason | None:
        """See `Executor`."""
        if grant.call.capability.method.asks_client:
            return None
        name = grant.call.capability.upstream
        upstream = self._upstreams.get(name)
        return await upstream.ready(grant) if upstream is not None else say(UNAVAILABLE, name)

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        """See `Executor`."""
        capability = grant.call.capability
        if capability.method.asks_client:
            return await answered_by_client(grant.call, conversation)
        upstream = self._upstreams.get(capability.upstream)
        if upstream is None:
            return NotSent(say(UNAVAILABLE, capability.upstream))
        return await upstream.run(grant, conversation)

    async def unsubscribe(self, upstream: str, uri: str) -> None:
        """Undo one governed call that subscribed to this resource."""
        found = self._upstreams.get(upstream)
        if found is not None:
            await found.unsubscribe(uri)


def _token_url(spec: HttpSpec | OpenApiSpec | AgentSpec) -> str | None:
    """Where its tokens come from, if they do."""
    told = spec.credentials
    return None if told is None or isinstance(told, StaticSpec) else told.client.token_url
