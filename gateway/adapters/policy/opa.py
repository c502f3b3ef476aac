"""A real OPA server beside the gateway, asked through `opa-python-client`; the operator runs `opa run --server policies/`.

Every failure is a deny: undefined, an error in a builtin (`strict-builtin-errors`), a time-out, an HTTP error, a stopped
server. Nothing is tried twice, so nothing outlives the deadline.

Which policies decided: a digest over the server's modules and `data.sealgate.settings`, read again every few seconds in the
background, and before the first answer over a new connection counts (the server may have come back with other policies).
The server's bundles name their revision in each answer, and that stands before the digest: a name that anyone can give twice
must not make other policies look the same, and the digest is a few seconds late.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Mapping
from types import SimpleNamespace, TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog
from opa_client import AsyncOpaClient

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
    shown_input,
)
from gateway.core.errors import ConfigError
from gateway.core.ports import Clock

MAX_CAUSE_CHARS = 300
ENGINE = "opa"
UNKNOWN_REVISION = "unknown"
PACKAGE, _, RULE = ENTRY_POINT.removeprefix("data.").rpartition(".")
QUERY = {"provenance": "true", "strict-builtin-errors": "true"}
SETTINGS_PATH = "sealgate/settings"
REVISION_SECONDS = 5.0
REVISION_TIMEOUT_SECONDS = 2.0
FAULTS = (aiohttp.ClientError, OSError, TimeoutError, ValueError, TypeError, AttributeError)  # the last two: its answer

_log = structlog.get_logger("sealgate.policy")


class OpaEngine:
    """Use as `async with OpaEngine("http://127.0.0.1:8181", clock, dev=False) as engine`. `ports.PolicyEngine`.

    `tls` must name the authority that signed the server's certificate; `token` is OPA's own bearer token.
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
    ) -> None:
        self._server = _Server(url, token, tls)
        self._clock = clock
        self._dev = dev
        self._deadline_seconds = deadline_seconds
        self._known: tuple[int, str] | None = None  # the connection count it was read under, and the revision
        self._reading = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None

    @property
    def revision(self) -> str:
        """Which policies the server had when it was last asked."""
        return self._known[1] if self._known else UNKNOWN_REVISION

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
                revision = ",".join((*_bundle_revisions(answer), await self._current_revision()))
                decision_id = str(answer.get("decision_id", decision_id))
                verdict = _verdict(answer, call)
        except TimeoutError:
            verdict = failed_verdict(f"OPA did not answer within {self._deadline_seconds} s")
        except (aiohttp.ClientError, OSError) as error:
            verdict = failed_verdict(f"OPA: {type(error).__name__}: {error}")
        except FAULTS as error:  # its answer, which their text may quote
            verdict = failed_verdict(f"OPA's answer is of no known form: {type(error).__name__}")
        if verdict.cause is not None:
            _log.warning("policy_failed", engine=ENGINE, cause=verdict.cause[:MAX_CAUSE_CHARS], decision_id=decision_id)
        return PolicyDecision(
            decision_id,
            ENGINE,
            revision,
            verdict.effect,
            verdict.reasons,
            verdict.obligations,
            verdict.cause,
            shown_input(call, document),
        )

    async def reload(self, bundle: object = None) -> None:
        """The server loads its policies itself: read again which ones it has. Raises `ConfigError` where it cannot tell."""
        try:
            async with asyncio.timeout(REVISION_TIMEOUT_SECONDS):
                await self._read_revision()
        except FAULTS as error:
            self._known = None
            raise ConfigError(
                f"OPA at {self._server.root_url} does not tell its policies: {type(error).__name__} {error}".rstrip(),
                hint="Start it with: opa run --server policies/",
            ) from error

    async def __aenter__(self) -> Self:
        """Connects; a server that is not there yet denies every call until it is."""
        await self._server.__aenter__()
        with contextlib.suppress(ConfigError):
            await self.reload()
        self._watching = asyncio.get_running_loop().create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait((self._watching,))
        await self._server.close_connection()

    async def _current_revision(self) -> str:
        if self._known is None or self._known[0] != self._server.connections:
            async with self._reading:
                if self._known is None or self._known[0] != self._server.connections:
                    await self._read_revision()
        return self.revision

    async def _read_revision(self) -> None:
        connections = self._server.connections
        self._known = connections, await self._server.revision()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(REVISION_SECONDS)
            with contextlib.suppress(ConfigError):
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

    async def revision(self) -> str:
        """The digest of what the server has now. Raises one of `FAULTS`."""
        async with self._request("GET", f"{self.root_url}/policies") as response:
            response.raise_for_status()
            policies = orjson.loads(await response.read())
        async with self._request("GET", f"{self.root_url}/data/{SETTINGS_PATH}") as response:
            response.raise_for_status()
            settings = orjson.loads(await response.read())
        try:
            modules = {policy["id"]: policy["raw"] for policy in policies["result"]}
            return digest({"modules": modules, "settings": settings.get("result")})
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


def _bundle_revisions(answer: Mapping[str, Any]) -> Iterator[str]:
    """The revisions of the server's bundles as `name@revision`, of those that have one."""
    for name, bundle in sorted((answer.get("provenance", {}).get("bundles") or {}).items()):
        if bundle.get("revision"):
            yield f"{name}@{bundle['revision']}"
