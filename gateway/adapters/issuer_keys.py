"""The public keys of a token issuer (RFC 7517), fetched from its `jwks_uri` and kept for a while.

One fetch at a time, however many wait for it. A set is looked at again after `REFRESH_SECONDS`, beside the calls, and
counts for `MAX_AGE_SECONDS`; then, or where there is none, a token cannot be judged until a fetch goes well. A key that the
set does not have makes it be fetched anew, at most once in `UNKNOWN_PAUSE_SECONDS`, since anybody can send such a token. No
redirect is followed, no proxy of the environment used, TLS is verified; answers are bounded in size and time.

Without a `jwks_uri` it is taken from the issuer's metadata (RFC 8414, OpenID Connect Discovery), which must name the issuer.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog

from gateway import __version__
from gateway.core.addresses import is_loopback_host
from gateway.core.errors import Unreachable

FETCH_SECONDS = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 64
REFRESH_SECONDS = 300.0
MAX_AGE_SECONDS = 3600.0
UNKNOWN_PAUSE_SECONDS = 30.0
FAILED_PAUSE_SECONDS = 5.0

KEY_FORMS = {"RS256": ("RSA", None), "PS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
"""The key type and curve of each algorithm that may be allowed (RFC 7518, RFC 8037)."""

_log = structlog.get_logger("sealgate.issuers")


@dataclass(frozen=True, eq=False, slots=True)
class IssuerKey:
    """One key of the set: its document, fit for `algorithm`."""

    kid: str | None
    document: dict[str, Any]

    def fits(self, algorithm: str) -> bool:
        """Whether the key may verify signatures of this algorithm."""
        form = (self.document.get("kty"), self.document.get("crv"))
        return form == KEY_FORMS[algorithm] and self.document.get("alg", algorithm) == algorithm


class KeysUnavailable(Unreachable):
    """The issuer's keys cannot be had now. `retry_after`: seconds until it is tried again."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def issuer_session() -> aiohttp.ClientSession:
    """The HTTP session of all issuers. Made on the running loop, closed by its owner."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS),
        headers={"user-agent": f"sealgate/{__version__}", "accept": "application/json", "accept-encoding": "identity"},
    )


class IssuerKeys:
    """The keys of one issuer. Owned by the event loop."""

    def __init__(
        self,
        issuer: str,
        jwks_uri: str | None,
        session: aiohttp.ClientSession,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._jwks_uri = jwks_uri
        self._session = session
        self._monotonic = monotonic
        self._keys: tuple[IssuerKey, ...] = ()
        self._fetched = -math.inf
        self._tried = -math.inf
        self._fetch: asyncio.Task[None] | None = None

    async def key(self, kid: str | None, algorithm: str) -> IssuerKey | None:
        """The key with this id that fits; without an id, the only one that fits. Raises `KeysUnavailable`."""
        now = self._monotonic()
        if now - self._fetched > MAX_AGE_SECONDS:
            await self._fetched_anew(now)
        elif now - self._fetched > REFRESH_SECONDS and now - self._tried > UNKNOWN_PAUSE_SECONDS:
            self._begun()  # whoever comes next has the result
        found = self._found(kid, algorithm)
        if found is None and now - self._tried > UNKNOWN_PAUSE_SECONDS:
            await self._fetched_anew(now)
            found = self._found(kid, algorithm)
        return found

    async def algorithms(self) -> frozenset[str]:
        """Those of `KEY_FORMS` that its keys fit. Raises `KeysUnavailable`."""
        now = self._monotonic()
        if now - self._fetched > MAX_AGE_SECONDS:
            await self._fetched_anew(now)
        return frozenset(name for name in KEY_FORMS if any(key.fits(name) for key in self._keys))

    def holds(self, key: IssuerKey) -> bool:
        """Whether the set still has the key, and still counts. Begins a look at the issuer's where that is due."""
        now = self._monotonic()
        if now - self._fetched > REFRESH_SECONDS and now - self._tried > UNKNOWN_PAUSE_SECONDS:
            self._begun()
        return now - self._fetched <= MAX_AGE_SECONDS and key in self._keys

    async def close(self) -> None:
        """End a fetch that is under way."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    def _found(self, kid: str | None, algorithm: str) -> IssuerKey | None:
        fit = [key for key in self._keys if key.fits(algorithm) and (kid is None or key.kid == kid)]
        return fit[0] if len(fit) == 1 else None  # two keys under one id are no key

    async def _fetched_anew(self, now: float) -> None:
        if self._fetch is None and now - self._tried < FAILED_PAUSE_SECONDS:
            raise KeysUnavailable(
                f"the keys of {self._issuer} could not be fetched just now",
                math.ceil(FAILED_PAUSE_SECONDS - (now - self._tried)),
            )
        await asyncio.shield(self._begun())  # a caller that goes away takes the fetch of the others not with it

    def _begun(self) -> "asyncio.Task[None]":
        if self._fetch is None:
            self._fetch = asyncio.create_task(self._fetched_now())
            self._fetch.add_done_callback(self._ended)
        return self._fetch

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._fetch = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.warning("issuer_keys_unavailable", issuer=self._issuer, cause=str(error))

    async def _fetched_now(self) -> None:
        self._tried = self._monotonic()
        try:
            uri = self._jwks_uri or await self._discovered()
            keys = [(_form(key), key) for key in _usable(await self._document(uri))]
        except (aiohttp.ClientError, OSError, ValueError, TypeError) as error:
            # a time-out is an OSError; what is too deep to be written again, a TypeError
            reason = str(error) or type(error).__name__
            raise KeysUnavailable(f"no keys from {self._issuer}: {reason}", math.ceil(FAILED_PAUSE_SECONDS)) from error
        if not keys:
            raise KeysUnavailable(f"{self._issuer} has no usable key", math.ceil(FAILED_PAUSE_SECONDS))
        known = {_form(key): key for key in self._keys}
        # the same key stays the same object: tokens checked with it count on
        self._keys = tuple(known.get(form, key) for form, key in keys)
        self._fetched = self._monotonic()

    async def _discovered(self) -> str:
        """The `jwks_uri` in the issuer's metadata. Raises ValueError where there is none that counts."""
        for address in metadata_addresses(self._issuer):
            document = await self._document(address, missing_ok=True)
            if document is None:
                continue
            if document.get("issuer") != self._issuer:
                raise ValueError(f"the metadata at {address} is of another issuer")
            uri = document.get("jwks_uri")
            if not isinstance(uri, str) or not _is_safe(uri, self._issuer):
                raise ValueError(f"the metadata at {address} names no jwks_uri with https")
            return uri
        raise ValueError("it has no metadata; configure its jwks_uri")

    async def _document(self, uri: str, *, missing_ok: bool = False) -> dict[str, Any] | None:
        async with self._session.get(uri, allow_redirects=False) as response:
            if response.status == 404 and missing_ok:
                return None
            if response.status != 200:
                raise ValueError(f"{uri} answers {response.status}")
            held = bytearray()
            async for chunk in response.content.iter_any():
                held += chunk
                if len(held) > MAX_BYTES:
                    raise ValueError(f"{uri} answers with more than {MAX_BYTES} bytes")
        document = orjson.loads(bytes(held))
        if not isinstance(document, dict):
            raise ValueError(f"{uri} answers with no JSON object")
        return document


def metadata_addresses(issuer: str) -> tuple[str, ...]:
    """Where an issuer's metadata may lie, in the order that MCP's authorization page gives."""
    parts = urlsplit(issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    places = (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
    return tuple(dict.fromkeys(places))


def _is_safe(uri: str, issuer: str) -> bool:
    """https; or http on this machine, for an issuer that is there itself."""
    parts = urlsplit(uri)
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and urlsplit(issuer).scheme == "http" and is_loopback_host(parts.hostname or "")


def _usable(document: dict[str, Any] | None) -> tuple[IssuerKey, ...]:
    """Public signing keys of the forms in `KEY_FORMS`; others are passed over. Raises ValueError where it is no set."""
    listed = None if document is None else document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise ValueError(f"that is no key set of at most {MAX_KEYS} keys")
    return tuple(IssuerKey(key.get("kid"), key) for key in listed if isinstance(key, dict) and _may_verify(key))


def _may_verify(key: dict[str, Any]) -> bool:
    operations = key.get("key_ops", ["verify"])
    return (
        (key.get("kty"), key.get("crv")) in KEY_FORMS.values()
        and key.get("use", "sig") == "sig"
        and isinstance(operations, list)
        and "verify" in operations
        and isinstance(key.get("kid"), str | None)
        and "d" not in key  # a private key that was published signs for anybody
    )


def _form(key: IssuerKey) -> bytes:
    return orjson.dumps(key.document, option=orjson.OPT_SORT_KEYS)
