"""A real OPA server beside the gateway, asked through `opa-python-client`; the operator runs `opa run --server policies/`.

Every failure is a deny: undefined, an error in a builtin (`strict-builtin-errors`), a time-out, an HTTP error, a stopped
server. Nothing is tried twice, so nothing outlives the deadline.

Which policies decided: a digest over the server's modules and `data.sealgate.settings`, read again every few seconds in the
background, and before the first answer over a new connection counts (the server may have come back with other policies).
The server's bundles name their revision in each answer, and that stands before the digest: a name that anyone can give twice
must not make other policies look the same, and the digest is a few seconds late.

Another revision than before is told (`changed`) before an answer under it counts, and also where no call comes.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog
from opa_client import AsyncOpaClient

from gateway.adapters.policy.decided import MAX_CAUSE_CHARS, decided
from gateway.core.call import SealedCall
from gateway.core.canonical import NotCanonical, digest
from gateway.core.circumstances import Circumstances
from gateway.core.decision import (
    ENTRY_POINT,
    PolicyDecision,
    Verdict,
    failed_verdict,
    policy_input,
    read_verdict,
)
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.ports import Clock

ENGINE = "opa"
UNKNOWN_REVISION = "unknown"
PACKAGE, _, RULE = ENTRY_POINT.removeprefix("data.").rpartition(".")
QUERY = {"provenance": "true", "strict-builtin-errors": "true"}
SETTINGS_PATH = "sealgate/settings"
REVISION_SECONDS = 5.0
REVISION_TIMEOUT_SECONDS = 2.0
FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError, AttributeError)  # the last two: its answer

Changed = Callable[[str, str], Awaitable[None]]
"""Told the revision that decides from now on, and by whose doing it was seen: operator or change."""

_log = structlog.get_logger("sealgate.policy")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the server told, and after how many connections."""

    connections: int
    names: tuple[str, ...]
    digest: str

    @property
    def revision(self) -> str:
        return _revision(self.names, self.digest)


class OpaEngine:
    """Use as `async with OpaEngine("http://127.0.0.1:8181", clock, dev=False) as engine`. `ports.PolicyEngine`.

    `tls` must name the authority that signed the server's certificate; `token` is OPA's own bearer token. While `changed`
    raises a `GatewayError` for a revision, every call is denied that it would decide.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        dev: bool,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        deadline_seconds: float = 0.25,
        changed: Changed | None = None,
    ) -> None:
        self._server = _Server(url, token, tls)
        self._clock = clock
        self._dev = dev
        self._deadline_seconds = deadline_seconds
        self._known: _Known | None = None
        self._reading = asyncio.Lock()
        self._changed = changed
        self._told = UNKNOWN_REVISION  # the revision that was told last; the one at the start is for others to tell
        self._telling = asyncio.Lock()
        self._tellers: set[asyncio.Task[None]] = set()
        self._watching: asyncio.Task[None] | None = None

    @property
    def revision(self) -> str:
        """Which policies the server had when it was last asked."""
        return self._known.revision if self._known else UNKNOWN_REVISION

    @property
    def ready(self) -> bool:
        """Whether the server told its policies when it was last asked."""
        return self._known is not None

    async def decide(self, call: SealedCall, around: Circumstances) -> PolicyDecision:
        """See `ports.PolicyEngine`."""
        document = policy_input(call, around, dev=self._dev, now=self._clock.now())
        decision_id, revision = self._clock.new_id(), self.revision
        try:
            async with asyncio.timeout(self._deadline_seconds):
                answer = await self._server.query_rule(orjson.Fragment(document), PACKAGE, RULE, QUERY)
                revision = _revision(_bundle_revisions(answer), await self._current_digest())
                decision_id = str(answer.get("decision_id", decision_id))
                await self._tell(revision, "change")
                verdict = _verdict(answer, call)
        except TimeoutError:
            verdict = failed_verdict(f"OPA did not answer within {self._deadline_seconds} s")
        except (aiohttp.ClientError, OSError) as error:
            verdict = failed_verdict(f"OPA: {type(error).__name__}: {error}")
        except GatewayError as error:
            verdict = failed_verdict(f"the log does not take that other policies decide: {error.code}")
        except FAULTS as error:  # its answer, which their text may quote
            verdict = failed_verdict(f"OPA's answer is of no known form: {type(error).__name__}")
        return decided(verdict, call, document, engine=ENGINE, revision=revision, decision_id=decision_id)

    async def reload(self, by: str = "change") -> None:
        """The server loads its policies itself: read again which ones it has.

        Raises `ConfigError` where it cannot tell, and what `changed` raises.
        """
        try:
            async with asyncio.timeout(REVISION_TIMEOUT_SECONDS):
                await self._read_revision()
        except FAULTS as error:
            self._known = None
            raise ConfigError(
                f"OPA at {self._server.root_url} does not tell its policies: {type(error).__name__} {error}".rstrip(),
                hint="Start it with: opa run --server policies/",
            ) from error
        await self._tell(self.revision, by)

    async def __aenter__(self) -> Self:
        """Connects; a server that is not there yet denies every call until it is."""
        await self._server.__aenter__()
        with contextlib.suppress(*FAULTS):
            async with asyncio.timeout(REVISION_TIMEOUT_SECONDS):
                await self._read_revision()
        self._told = self.revision
        self._watching = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        await asyncio.gather(*self._tellers, return_exceptions=True)
        await self._server.close_connection()

    async def _current_digest(self) -> str:
        known = self._known
        if known is None or known.connections != self._server.connections:
            async with self._reading:
                known = self._known
                if known is None or known.connections != self._server.connections:
                    known = await self._read_revision()
        return known.digest

    async def _read_revision(self) -> _Known:
        connections = self._server.connections
        known = self._known = _Known(connections, *await self._server.revision())
        return known

    async def _tell(self, revision: str, by: str) -> None:
        """Returns once it was told that `revision` decides. Who is told is not left halfway: nothing is told twice."""
        if revision == self._told or self._changed is None:
            return
        telling = asyncio.get_running_loop().create_task(self._tell_in_turn(self._changed, revision, by))
        self._tellers.add(telling)
        telling.add_done_callback(self._has_told)
        await asyncio.shield(telling)

    async def _tell_in_turn(self, changed: Changed, revision: str, by: str) -> None:
        async with self._telling:
            if revision != self._told:
                await changed(revision, by)
                self._told = revision
                _log.info("policy_loaded", engine=ENGINE, revision=revision)

    def _has_told(self, telling: asyncio.Task[None]) -> None:
        self._tellers.discard(telling)
        error = None if telling.cancelled() else telling.exception()
        if error is not None:
            _log.error("policy_change_not_recorded", engine=ENGINE, cause=str(error)[:MAX_CAUSE_CHARS])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(REVISION_SECONDS)
            with contextlib.suppress(GatewayError):  # it does not answer, or is told anew at the next look
                await self.reload()


class _Server(AsyncOpaClient):  # type: ignore[misc]  # the library has no types
    """The library's client, on a session that counts the connections its queries open and writes bytes as they are."""

    def __init__(self, url: str, token: str | None, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ConfigError(f"{url} is not the address of an OPA server", hint="Write it like http://127.0.0.1:8181")
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 8181)
        super().__init__(host=parts.hostname, port=port, ssl=secure, token=token, retries=0)
        self._tls = tls
        self.connections = 0

    async def _init_session(self) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._request_started)
        trace.on_connection_create_end.append(self._connected)
        self._connector = aiohttp.TCPConnector(ssl=self._tls or True)
        self._session = aiohttp.ClientSession(
            headers=self.headers,
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=REVISION_TIMEOUT_SECONDS),
            json_serialize=_json_text,
            trace_configs=[trace],
        )

    async def revision(self) -> tuple[tuple[str, ...], str]:
        """What the bundles that the server has now call themselves, and the digest of all of it. Raises one of `FAULTS`."""
        async with self._request("GET", f"{self.root_url}/policies") as response:
            response.raise_for_status()
            policies = orjson.loads(await response.read())
        async with self._request("GET", f"{self.root_url}/data/{SETTINGS_PATH}?provenance=true") as response:
            response.raise_for_status()
            settings = orjson.loads(await response.read())
        try:
            modules = {policy["id"]: policy["raw"] for policy in policies["result"]}
            return _bundle_revisions(settings), digest({"modules": modules, "settings": settings.get("result")})
        except (KeyError, NotCanonical) as error:
            raise ValueError(f"its answer is not a list of policies: {error!r}") from error

    async def _request_started(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceRequestStartParams
    ) -> None:
        context.is_query = params.method == "POST"

    async def _connected(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, params: aiohttp.TraceConnectionCreateEndParams
    ) -> None:
        self.connections += context.is_query


def _json_text(document: Any) -> str:
    return orjson.dumps(document).decode()


def _verdict(answer: Mapping[str, Any], call: SealedCall) -> Verdict:
    if "result" not in answer:
        return failed_verdict("the policy is undefined for this call")
    return read_verdict(answer["result"], call.told)


def _revision(names: tuple[str, ...], known: str) -> str:
    return ",".join((*names, known))


def _bundle_revisions(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The revisions of the server's bundles as `name@revision`, of those that have one."""
    bundles = answer.get("provenance", {}).get("bundles") or {}
    return tuple(f"{name}@{bundle['revision']}" for name, bundle in sorted(bundles.items()) if bundle.get("revision"))
