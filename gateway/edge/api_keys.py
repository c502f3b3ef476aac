"""API keys in a running gateway: who a key lets in, and what operators change about them.

A change counts at once: the next request with a revoked key is refused, and those that are open end. Each change has a
signed entry. A key that is made has its entry before it counts; one that is revoked counts no more before it has its entry:
better a revocation that the log does not know than a key that goes on. A key's text is made by the command, and comes here
only when it is used.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import anyio
import anyio.to_thread

from gateway.adapters.keys.api_keys import ApiKeyFile
from gateway.core.api_key import ApiKey, api_key_digest, api_key_id, read_api_key
from gateway.core.entry import Kind, Record
from gateway.core.errors import GatewayError
from gateway.core.limits import UNLIMITED, CallLimits
from gateway.core.ports import Clock
from gateway.edge import api_told as told
from gateway.edge.api_route import OPERATING, READING, ApiRoute, Asked, Nothing, SocketOnly
from gateway.edge.api_sent import StoredApiKey
from gateway.edge.auth import Caller, NotValid

MAX_KEYS = 10_000
MAKING = SocketOnly("who has a token must not make others, which would outlive it.")

Recorder = Callable[[Record], Awaitable[object]]


class ApiKeyDesk:
    """Owned by the event loop. `ended` is told which credential counts no more."""

    def __init__(
        self, file: ApiKeyFile, tenant_id: str, record: Recorder, clock: Clock, limits: CallLimits = UNLIMITED
    ) -> None:
        self._file = file
        self._tenant_id = tenant_id
        self._record = record
        self._clock = clock
        self._limits = limits
        self._keys = file.load()
        self._saving = anyio.Lock()
        self._unfinished: set[str] = set()
        self.ended: Callable[[str], None] = lambda credential: None

    def __len__(self) -> int:
        return len(self._keys)

    def authenticate(self, token: str) -> Caller | NotValid:
        """Whose key it is."""
        key_id = api_key_id(token)
        key = None if key_id is None else self._keys.get(key_id)
        if key is None or not hmac.compare_digest(key.sha256, api_key_digest(token)):
            return NotValid("unknown_key")
        state = key.state(self._clock.now())
        if state != "valid":
            return NotValid(f"{state}_key")
        until = None if key.expires_at is None else datetime.fromisoformat(key.expires_at).timestamp()
        who = (self._tenant_id, key.principal, key.actors, key.roles)
        return Caller(*who, limits=self._limits, credential=f"key:{key.id}", valid_until=until, tools=key.tools)

    def told(self) -> list[dict[str, object]]:
        """Every key with its state, without what it is checked by; in the order they were made in."""
        now = self._clock.now()
        return [{**key.told(), "state": key.state(now)} for key in self._keys.values()]

    async def add(self, key: ApiKey) -> None:
        """Let a new key count. Raises `GatewayError`."""
        if key.id in self._keys:
            raise GatewayError("there is a key with this id", hint="Make another one.", code="api_key.exists")
        if len(self._keys) >= MAX_KEYS:
            raise GatewayError(
                f"there are {MAX_KEYS} API keys, revoked ones included",
                hint="Use an issuer's tokens for so many callers.",
                code="api_key.too_many",
            )
        said = {name: value for name, value in key.told().items() if name not in ("created_at", "revoked_at")}
        await self._recorded({"event": "made", **said})
        self._keys[key.id] = key
        try:
            await self._saved()
        except GatewayError:
            del self._keys[key.id]
            raise

    async def revoke(self, key_id: str, by: str | None = None) -> ApiKey:
        """Let a key count no more, on disk and in the log when this returns. Raises `GatewayError`; then ask again: what is
        missing is made good. One that is revoked already stays as it is. `by`: the caller who wants it, over HTTP.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise GatewayError(f"there is no API key {key_id}", hint="sealgate keys api list", code="api_key.unknown")
        if key.revoked_at is None:
            key = replace(key, revoked_at=self._clock.now())
            self._keys[key_id] = key  # from now on, whatever the disk does
            self._unfinished.add(key_id)
            self.ended(f"key:{key_id}")
        if key_id in self._unfinished:  # else a key that only memory knows to be revoked would count after a restart
            await self._saved()
            who = {} if by is None else {"by": by}
            await self._recorded({"event": "revoked", "id": key_id, "principal": str(key.principal), **who})
            self._unfinished.discard(key_id)
        return key

    def routes(self) -> list[ApiRoute[Any, Any]]:
        """Below `/api/v1/keys`. What is for the socket alone has a path of its own."""
        no, errors = Nothing, (404, 409)
        listed, made, revoked = (
            "API keys of callers, revoked ones too",
            "Let a new API key count",
            "Let an API key count no more",
        )
        return [
            ApiRoute("GET", "/api/v1/keys", READING, listed, no, no, told.ApiKeys, self._list),
            ApiRoute("POST", "/api/v1/keys/new", MAKING, made, no, StoredApiKey, told.ApiKeyMade, self._add, errors),
            ApiRoute(
                "POST", "/api/v1/keys/{id}/revoke", OPERATING, revoked, no, no, told.ApiKeyRevoked, self._revoke, errors
            ),
        ]

    async def _list(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        return {"keys": self.told()}

    async def _add(self, asked: Asked[Nothing, StoredApiKey]) -> dict[str, Any]:
        try:
            key = read_api_key(asked.body.root)
        except ValueError as error:
            raise GatewayError("send an API key as it is stored", code="request.invalid") from error
        await self.add(replace(key, created_at=self._clock.now(), revoked_at=None))
        return {"id": key.id}

    async def _revoke(self, asked: Asked[Nothing, Nothing]) -> dict[str, Any]:
        revoked = await self.revoke(asked.path["id"], None if asked.caller is None else asked.by)
        return {"id": revoked.id, "revoked_at": revoked.revoked_at}

    async def _saved(self) -> None:
        async with self._saving:
            await anyio.to_thread.run_sync(self._file.save, dict(self._keys))

    async def _recorded(self, said: dict[str, object]) -> None:
        await self._record(Record(Kind.CREDENTIAL, self._clock.new_id(), self._clock.now(), {"credential": said}))
