"""Access tokens of an authorization server: for the gateway itself, or for each caller by token exchange."""

import logging
from collections.abc import Mapping

import aiohttp

from gateway.adapters.upstream.credentials.assertion import Signer, subject_claims
from gateway.adapters.upstream.credentials.credentials import NoCredentials, Party
from gateway.adapters.upstream.credentials.endpoint import Token, TokenEndpoint
from gateway.adapters.upstream.credentials.secret import Secret
from gateway.adapters.upstream.credentials.spec import ClientCredentialsSpec, TokenExchangeSpec
from gateway.adapters.upstream.credentials.tokens import Tokens

logger = logging.getLogger("sealgate.upstream")

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - its name
_AUTHORIZATION = "authorization"


class Granted:
    """Implements `Credentials`.

    With token exchange, a call has a token that names its principal and actors. What the gateway asks for itself (its
    session, lists) has a token of the client credentials grant, and names nobody.
    """

    managed = True

    def __init__(self, upstream: str, spec: ClientCredentialsSpec | TokenExchangeSpec, http: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._exchange = spec if isinstance(spec, TokenExchangeSpec) else None
        self._endpoint = TokenEndpoint(spec.client, http)
        self._signer = None if self._exchange is None else Signer(Secret(self._exchange.key))
        self._tokens = Tokens(self._fetch)
        self._numbers: tuple[int, ...] = ()

    @property
    def per_caller(self) -> bool:
        """See `Credentials`."""
        return self._exchange is not None

    async def headers(self, party: Party | None) -> Mapping[str, str]:
        """See `Credentials`."""
        try:
            await self.check()
            token = await self._tokens.of(party if self.per_caller else None)
        except NoCredentials as error:
            logger.warning("no token for upstream %s: %s", self._upstream, error)
            raise
        return {_AUTHORIZATION: f"Bearer {token}"}

    def refused(self, headers: Mapping[str, str]) -> None:
        """See `Credentials`. The next request has a new token."""
        self._tokens.drop(headers.get(_AUTHORIZATION, "").removeprefix("Bearer "))

    async def check(self) -> None:
        """See `Credentials`. A secret that is another one now takes along the tokens that it got."""
        await self._endpoint.check()
        if self._signer is not None:
            await self._signer.check()
        numbers = (self._endpoint.number, self._signer.number if self._signer is not None else 0)
        if numbers != self._numbers:
            self._numbers = numbers
            self._tokens.drop_all()

    async def close(self) -> None:
        """See `Credentials`."""
        await self._tokens.close()

    async def _fetch(self, party: Party | None) -> Token:
        if party is None or self._exchange is None or self._signer is None:
            return await self._endpoint.ask([("grant_type", "client_credentials")])
        statement = await self._signer.signed(subject_claims(self._exchange.issuer, self._exchange.audience, party))
        token = await self._endpoint.ask(
            [
                ("grant_type", EXCHANGE),
                ("subject_token", statement),
                ("subject_token_type", JWT_TYPE),
                ("requested_token_type", ACCESS_TOKEN_TYPE),
            ]
        )
        if token.kind not in (ACCESS_TOKEN_TYPE, JWT_TYPE):
            raise NoCredentials("the token endpoint exchanged for another type of token than was asked for")
        return token
