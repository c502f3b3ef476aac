"""`upstreams.X.credentials`: what an upstream is told who we are. Secrets are named here, and stand elsewhere."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from gateway.adapters.upstream.credentials.spec import (
    ClientCredentialsSpec,
    ClientSpec,
    CredentialsSpec,
    FromEnvironment,
    FromFile,
    FromKeyring,
    SecretRef,
    StaticSpec,
    TokenExchangeSpec,
)
from gateway.settings.block import Block
from gateway.settings.words import HeaderName, PublicUrl, ScopeName, SecretUrl, Shape

SECRET_KEYS = ("secret", "client_secret", "client_key", "assertion_key")
"""The keys that name a secret."""

FILE, KEYRING = "file:", "keyring:"

SecretName = Annotated[
    str,
    Shape(
        r"\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:[^~\s].*|keyring:[^/\s]+/\S.*",
        "is not the place of a secret. Write ${VARIABLE}, file:path or keyring:service/account; never the secret itself.",
    ),
]
ClientId = Annotated[str, Shape(r"[\x20-\x7e]{1,255}", "is not a client id. Write it as the authorization server gave it.")]
Named = Annotated[str, Shape(r"[\x21-\x7e]{1,2048}", "is not a name. Write an address or another name without spaces.")]


class CredentialsKind(StrEnum):
    """How the gateway shows an upstream who it is."""

    STATIC = "static"
    CLIENT_CREDENTIALS = "client_credentials"
    TOKEN_EXCHANGE = "token_exchange"  # noqa: S105 - its name


_NEEDS = {
    CredentialsKind.STATIC: ("secret",),
    CredentialsKind.CLIENT_CREDENTIALS: ("token_url", "client_id"),
    CredentialsKind.TOKEN_EXCHANGE: ("token_url", "client_id", "issuer", "assertion_key"),
}
_CLIENT = ("token_url", "client_id", "client_secret", "client_key", "scopes", "audience", "resource")
_MAY = {
    CredentialsKind.STATIC: ("secret", "header", "scheme"),
    CredentialsKind.CLIENT_CREDENTIALS: _CLIENT,
    CredentialsKind.TOKEN_EXCHANGE: (*_CLIENT, "issuer", "assertion_key", "assertion_audience"),
}


class UpstreamCredentials(Block):
    """The gateway's own credentials for a server with `url`, or an API. A caller's are never passed on."""

    kind: CredentialsKind = Field(
        description="`static`: a secret in a header. `client_credentials`: an OAuth access token for the gateway. "
        "`token_exchange`: an access token for each caller (RFC 8693), which names principal and actors."
    )
    header: HeaderName = Field(default="Authorization", description="For `static`: the header that the secret is sent in.")
    scheme: HeaderName | None = Field(
        default=None, description="For `static`: what stands before the secret.", examples=["Bearer"]
    )
    secret: SecretName | None = Field(
        default=None,
        description="For `static`: where the secret is: `${VARIABLE}`, `file:path` (mode 0600, read again when it changes; "
        "relative to this file) or `keyring:service/account`.",
        examples=["file:crm.secret"],
    )
    token_url: SecretUrl | None = Field(
        default=None,
        description="The authorization server's token endpoint: https, or http on this machine.",
        examples=["https://login.example.com/oauth2/token"],
    )
    client_id: ClientId | None = Field(
        default=None, description="As what client the gateway is registered there.", examples=["sealgate"]
    )
    client_secret: SecretName | None = Field(
        default=None, description="Where the client's secret is, shown by HTTP Basic.", examples=["${CRM_CLIENT_SECRET}"]
    )
    client_key: SecretName | None = Field(
        default=None,
        description="Instead of a secret: where the client's private key is (`private_key_jwt`), PEM: Ed25519, P-256, RSA.",
        examples=["file:client.pem"],
    )
    scopes: tuple[ScopeName, ...] = Field(default=(), description="The scopes that are asked for.")
    audience: tuple[Named, ...] = Field(default=(), description="For whom the token is to be, as `audience`.")
    resource: tuple[PublicUrl, ...] = Field(
        default=(),
        description="For what the token is to be, as `resource` (RFC 8707).",
        examples=["https://crm.example.com/mcp"],
    )
    issuer: Named | None = Field(
        default=None,
        description="For `token_exchange`: the name under which the gateway says who calls (`iss`).",
        examples=["https://gateway.example.com"],
    )
    assertion_key: SecretName | None = Field(
        default=None,
        description="For `token_exchange`: where the private key is that this is signed with, PEM: Ed25519, P-256 or RSA.",
        examples=["file:assertion.pem"],
    )
    assertion_audience: Named | None = Field(
        default=None, description="For `token_exchange`: for whom that is (`aud`). The `token_url` by default."
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        missing = [key for key in _NEEDS[self.kind] if getattr(self, key) is None]
        if missing:
            raise ValueError(f"lacks {' and '.join(missing)}, which {self.kind} needs.")
        wrong = [key for key in self.model_fields_set - {"kind", *_MAY[self.kind]} if getattr(self, key)]
        if wrong:
            raise ValueError(f"has {' and '.join(sorted(wrong))}, which {self.kind} does not use. Remove it.")
        if self.kind is not CredentialsKind.STATIC and (self.client_secret is None) == (self.client_key is None):
            raise ValueError("has either client_secret or client_key. Write exactly one of them.")
        return self

    def spec(self, folder: Path) -> CredentialsSpec:
        """As the adapter knows them. Paths start from `folder`."""
        if self.kind is CredentialsKind.STATIC:
            return StaticSpec(self.header, self.scheme, _place(self.secret, folder))
        client = ClientSpec(
            self.token_url or "",
            self.client_id or "",
            None if self.client_secret is None else _place(self.client_secret, folder),
            None if self.client_key is None else _place(self.client_key, folder),
            self.scopes,
            self.audience,
            self.resource,
        )
        if self.kind is CredentialsKind.CLIENT_CREDENTIALS:
            return ClientCredentialsSpec(client)
        audience = self.assertion_audience or client.token_url
        return TokenExchangeSpec(client, self.issuer or "", audience, _place(self.assertion_key, folder))


def _place(name: str | None, folder: Path) -> SecretRef:
    """Where the secret of that name is. It was checked."""
    name = name or ""
    if name.startswith(FILE):
        return FromFile(str(folder / name.removeprefix(FILE)))
    if name.startswith(KEYRING):
        service, _, account = name.removeprefix(KEYRING).partition("/")
        return FromKeyring(service, account)
    return FromEnvironment(name[2:-1])


def secret_names(values: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Place and text of what names a secret in `values`, the whole file as written."""
    upstreams = values.get("upstreams")
    for upstream, block in upstreams.items() if isinstance(upstreams, dict) else ():
        told = block.get("credentials") if isinstance(block, dict) else None
        for key in SECRET_KEYS:
            if isinstance(told, dict) and isinstance(text := told.get(key), str):
                yield ("upstreams", upstream, "credentials", key), text
