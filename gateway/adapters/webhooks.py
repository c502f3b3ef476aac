"""The webhook route: each approval request is POSTed to the operator's receivers, signed as Standard Webhooks says.

A receiver answers with an approver-signed answer in its response, or later at the gateway's own port; either is checked like
anything from outside. Requests are looked for beside the calls, so no call waits for a receiver. A delivery is repeated with
growing pauses while the request waits, and after a restart, always under the same `webhook-id`. What went wrong, whatever it
was, is told in the log and in the gateway's status, and is tried again. Each receiver has its own deliveries: one that hangs
holds up no other. Of an address only scheme and host are told, since a path can be a credential, too.

Source: https://www.standardwebhooks.com, signature scheme `v1` (HMAC-SHA256).
"""

import asyncio
import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog

from gateway import __version__
from gateway.core import wire
from gateway.core.answer import SignedAnswer, request_digest
from gateway.core.approval import ApprovalRow, ApprovalState
from gateway.core.errors import ConfigError, GatewayError
from gateway.core.obligations import Route
from gateway.core.outcome import Reason
from gateway.core.ports import Clock
from gateway.core.shown import shown_request

LOOK_SECONDS = 0.5
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
MAX_TRIES = 20
MAX_AT_ONCE = 16
TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024
MIN_SECRET_BYTES = 24

_log = structlog.get_logger("sealgate.webhooks")


class Asked(Protocol):
    """Where requests are and answers go. Implementations: `adapters.store.sqlite.questions.Questions`."""

    def pending(self) -> list[str]: ...

    async def row(self, approval_id: str) -> tuple[ApprovalRow, bytes] | None: ...

    async def answer(self, approval_id: str, envelope: Mapping[str, Any], route: Route) -> SignedAnswer | Reason: ...


@dataclass
class Hook:
    """One receiver. `secret` is shared with it; the counts are since the start. `at_once` bounds deliveries under way."""

    url: str = field(repr=False)
    secret: bytes = field(repr=False)
    delivered: int = 0
    failed: int = 0
    trouble: str | None = None
    at_once: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_AT_ONCE), repr=False)

    @property
    def name(self) -> str:
        """Its address without what may be a credential."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def status(self) -> dict[str, Any]:
        """For operators."""
        return {"url": self.name, "delivered": self.delivered, "failed": self.failed, "trouble": self.trouble}


def read_secret(path: Path, text: str) -> bytes:
    """The key in a secret file: `whsec_` and base64. Raises `ConfigError`."""
    try:
        secret = b64decode(text.strip().removeprefix("whsec_"), validate=True)
    except ValueError:
        secret = b""
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"{path} holds no webhook secret: base64 of at least {MIN_SECRET_BYTES} bytes",
            hint=f'(umask 077; echo "whsec_$(openssl rand -base64 32)" > {path})',
        )
    return secret


def signed_headers(secret: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; `timestamp` in seconds since 1970."""
    covered = f"{message_id}.{timestamp}.".encode() + body
    signature = b64encode(hmac.new(secret, covered, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


class _NotTaken(Exception):
    """The receiver did not take it. The text may be told."""


class Webhooks:
    """See the module. Owned by the event loop; `run` is its life."""

    def __init__(self, hooks: tuple[Hook, ...], asked: Asked, clock: Clock) -> None:
        self.hooks = hooks
        self._asked = asked
        self._clock = clock
        self._deliveries: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Deliver until cancelled."""
        if not self.hooks:
            return
        async with _session() as session:
            try:
                while True:
                    try:
                        self._look(session)
                    except Exception as error:  # noqa: BLE001 - of the store, whatever it was: the next look may go well
                        _log.error("webhook_look_failed", cause=_cause(error))
                    await asyncio.sleep(LOOK_SECONDS)
            finally:
                for task in self._deliveries.values():
                    task.cancel()
                await asyncio.gather(*self._deliveries.values(), return_exceptions=True)

    def _look(self, session: aiohttp.ClientSession) -> None:
        """Begin a delivery for every request and receiver that has none yet; forget those of requests that ended."""
        waiting = self._asked.pending()
        for key in [key for key, task in self._deliveries.items() if key[0] not in waiting and task.done()]:
            del self._deliveries[key]
        for approval_id in waiting:
            for hook in self.hooks:
                if (approval_id, hook.url) not in self._deliveries:
                    delivery = asyncio.ensure_future(self._deliver(session, hook, approval_id))
                    self._deliveries[approval_id, hook.url] = delivery

    async def _deliver(self, session: aiohttp.ClientSession, hook: Hook, approval_id: str) -> None:
        """Try until it went well, the request ended, or it was tried often enough."""
        pause = FIRST_PAUSE_SECONDS
        for _ in range(MAX_TRIES):
            try:
                async with hook.at_once:
                    found = await self._asked.row(approval_id)
                    if found is None or found[0].state is not ApprovalState.PENDING:
                        return
                    answer = await self._post(session, hook, *found)
                hook.delivered, hook.trouble = hook.delivered + 1, None
                if answer is not None:
                    await self._take(hook, approval_id, answer)
                return
            except Exception as error:  # noqa: BLE001 - of the receiver or the store, whatever it was: the next try may go well
                hook.failed, hook.trouble = hook.failed + 1, _cause(error)
                _log.warning("webhook_failed", approval_id=approval_id, url=hook.name, cause=hook.trouble)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        _log.error("webhook_given_up", approval_id=approval_id, url=hook.name, tries=MAX_TRIES)

    async def _post(
        self, session: aiohttp.ClientSession, hook: Hook, row: ApprovalRow, arguments: bytes
    ) -> dict[str, Any] | None:
        """The signed answer in the response, if there is one. Raises `_NotTaken`."""
        now = self._clock.now()
        document = {**row.document(), "arguments": orjson.loads(arguments)}
        told = {
            **document,
            "request_digest": request_digest(row.request.document()),
            "shown": "\n".join(shown_request(document)),
        }
        body = orjson.dumps({"type": "approval.requested", "timestamp": now, "data": told})
        headers = signed_headers(hook.secret, row.request.approval_id, int(datetime.fromisoformat(now).timestamp()), body)
        headers["content-type"] = "application/json"
        async with session.post(hook.url, data=body, headers=headers, allow_redirects=False) as response:
            if not 200 <= response.status < 300:
                raise _NotTaken(f"HTTP {response.status}")
            held = bytearray()
            async for chunk in response.content.iter_any():
                held += chunk
                if len(held) > MAX_ANSWER_BYTES:
                    raise _NotTaken(f"it answers with more than {MAX_ANSWER_BYTES} bytes")
            return _answer_in(bytes(held))

    async def _take(self, hook: Hook, approval_id: str, envelope: dict[str, Any]) -> None:
        recorded = await self._asked.answer(approval_id, envelope, Route.WEBHOOK)
        if isinstance(recorded, Reason):
            hook.trouble = f"its answer does not count: {recorded.code}"
            _log.warning("webhook_answer_refused", approval_id=approval_id, url=hook.name, code=recorded.code)


def _cause(error: Exception) -> str:
    """What may be told of it: the text of others may quote the whole address."""
    if isinstance(error, _NotTaken | GatewayError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    return type(error).__name__


def _answer_in(body: bytes) -> dict[str, Any] | None:
    """`{"envelope": {...}}`; anything else means that the answer comes later, or by another."""
    try:
        document = wire.parse(body)
    except wire.Malformed:
        return None
    envelope = document.get("envelope") if isinstance(document, dict) else None
    return envelope if isinstance(envelope, dict) else None


def _session() -> aiohttp.ClientSession:
    """No cookies, no proxy of the environment, no decompression."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        headers={"user-agent": f"sealgate/{__version__}"},
    )
