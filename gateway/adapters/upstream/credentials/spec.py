"""Which credentials an upstream gets, as plain values that wiring makes from the settings. No secret is among them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """A secret in a variable of the gateway's environment. It is read once."""

    name: str

    def __str__(self) -> str:
        return f"the environment variable {self.name}"


@dataclass(frozen=True, slots=True)
class FromFile:
    """A secret in a file that only its owner may read: an absolute path. It is read again when it changed."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class FromKeyring:
    """A secret in the operating system's keyring."""

    service: str
    account: str

    def __str__(self) -> str:
        return f"the keyring's entry {self.service}/{self.account}"


SecretRef = FromEnvironment | FromFile | FromKeyring


@dataclass(frozen=True, slots=True)
class StaticSpec:
    """The secret itself in a header, after `scheme` and a space where there is one."""

    header: str
    scheme: str | None
    secret: SecretRef


@dataclass(frozen=True, slots=True)
class ClientSpec:
    """The gateway as a client of an authorization server. It has one of `secret` (HTTP Basic) and `key` (`private_key_jwt`).

    `audiences` and `resources` say what the token is for (RFC 8693, RFC 8707).
    """

    token_url: str
    client_id: str
    secret: SecretRef | None = None
    key: SecretRef | None = None
    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClientCredentialsSpec:
    """A token for the gateway itself (OAuth 2.1, client credentials grant)."""

    client: ClientSpec


@dataclass(frozen=True, slots=True)
class TokenExchangeSpec:
    """A token for each caller (RFC 8693), for what the gateway says of them: a JWT of `issuer`, signed with `key`.

    `audience`: whom that statement is for.
    """

    client: ClientSpec
    issuer: str
    audience: str
    key: SecretRef


CredentialsSpec = StaticSpec | ClientCredentialsSpec | TokenExchangeSpec
