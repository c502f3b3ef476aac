"""Asking a token endpoint (RFC 6749 section 3.2): one POST, bounded, no redirect followed, the answer strictly parsed.

It is reached through the same checked addresses as upstreams are. Why it gave no token is told to the operator by the
codes of RFC 6749 and RFC 8693; its own text is not, since it might repeat what it was sent.
"""

import asyncio
import math
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp

from gateway.adapters.upstream.credentials.assertion import Signer, client_claims
from gateway.adapters.upstream.credentials.credentials import NoCredentials
from gateway.adapters.upstream.credentials.secret import Secret
from gateway.adapters.upstream.credentials.spec import ClientSpec
from gateway.core.wire import Malformed, parse

ASK_SECONDS = 10.0
MAX_ANSWER_BYTES = 65_536
UNSAID_LIFE_SECONDS = 60.0
"""How long a token counts whose answer does not say it."""

LONGEST_LIFE_SECONDS = 86_400.0
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{1,16384}={0,2}")  # RFC 6750 section 2.1
_CODES = frozenset(
    (
        *("invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"),
        *("invalid_scope", "invalid_target", "temporarily_unavailable", "server_error", "access_denied"),
    )
)

Pairs = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and for how many seconds it counts. `kind`: its `issued_token_type`, where the answer says it."""

    value: str
    seconds: float
    kind: str | None

    def __repr__(self) -> str:
        return "Token(…)"


class TokenEndpoint:
    """One client at one authorization server."""

    def __init__(self, spec: ClientSpec, http: aiohttp.ClientSession) -> None:
        self._spec = spec
        self._http = http
        self._secret = None if spec.secret is None else Secret(spec.secret)
        self._signer = None if spec.key is None else Signer(Secret(spec.key))
        if (self._secret is None) == (self._signer is None):
            raise ValueError("a client has either a secret or a key")

    @property
    def number(self) -> int:
        """Changes with what the client proves itself by."""
        return (self._secret.number if self._secret is not None else 0) + (self._signer.number if self._signer else 0)

    async def check(self) -> None:
        """Whether the client can prove itself. Raises `NoCredentials`."""
        if self._secret is not None:
            await self._secret.value()
        if self._signer is not None:
            await self._signer.check()

    async def ask(self, grant: Pairs) -> Token:
        """A token for that grant, for what the client is to have. Raises `NoCredentials`."""
        form = [*grant]
        if self._spec.scopes:
            form.append(("scope", " ".join(self._spec.scopes)))
        form += [("audience", audience) for audience in self._spec.audiences]
        form += [("resource", resource) for resource in self._spec.resources]
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/x-www-form-urlencoded",
        }
        if self._secret is not None:  # RFC 6749 section 2.3.1: both are form-encoded first
            pair = f"{quote_plus(self._spec.client_id)}:{quote_plus(await self._secret.value())}"
            headers["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        if self._signer is not None:
            form += [
                ("client_id", self._spec.client_id),
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", await self._signer.signed(client_claims(self._spec.client_id, self._spec.token_url))),
            ]
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._post(urlencode(form).encode(), headers)
        except TimeoutError:
            raise NoCredentials("the token endpoint did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            raise NoCredentials(f"the token endpoint could not be reached: {type(error).__name__}") from None

    async def _post(self, body: bytes, headers: dict[str, str]) -> Token:
        async with self._http.post(self._spec.token_url, data=body, headers=headers, allow_redirects=False) as response:
            try:
                if response.headers.get("content-encoding", "identity").lower() != "identity":
                    raise NoCredentials("the token endpoint's answer is compressed")
                document = await _document(response)
            finally:
                if not response.content.is_eof():
                    response.close()
        if response.status != 200:
            code = document.get("error") if document is not None else None
            told = f" ({code})" if isinstance(code, str) and code in _CODES else ""
            raise NoCredentials(f"the token endpoint answered with HTTP status {response.status}{told}")
        return _token(document)


async def _document(response: aiohttp.ClientResponse) -> dict[str, Any] | None:
    """The answer, if it is a JSON object. Raises `NoCredentials` where it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(MAX_ANSWER_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NoCredentials("the token endpoint's answer is too long")
    if response.content_type != "application/json":
        return None
    try:
        found = parse(bytes(body), max_bytes=MAX_ANSWER_BYTES)
    except Malformed:
        return None
    return found if isinstance(found, dict) else None


def _token(document: dict[str, Any] | None) -> Token:
    """The token in a good answer (RFC 6749 section 5.1). Raises `NoCredentials`."""
    if document is None:
        raise NoCredentials("the token endpoint's answer is not a JSON object")
    value, kind = document.get("access_token"), document.get("token_type")
    if not isinstance(value, str) or _TOKEN.fullmatch(value) is None:
        raise NoCredentials("the token endpoint's answer has no usable access_token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise NoCredentials("the token endpoint's token is not a bearer token")
    issued = document.get("issued_token_type")
    return Token(value, _life(document.get("expires_in")), issued if isinstance(issued, str) else None)


def _life(told: Any) -> float:
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told):
        return UNSAID_LIFE_SECONDS
    return min(max(float(told), 0.0), LONGEST_LIFE_SECONDS)
