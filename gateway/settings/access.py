"""The blocks of gateway.yaml about who is let in besides the `callers`: issuers of access tokens, and local processes."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from gateway.settings.block import Block, Number, Whole
from gateway.settings.limits import CallerLimits
from gateway.settings.people import OwnExposure, Role, VisibleTools
from gateway.settings.words import (
    ClaimName,
    DelegationScope,
    IssuerUrl,
    PrincipalName,
    PrincipalPrefix,
    PublicUrl,
    ScopeName,
    SecretUrl,
)

MAX_ID = 4_294_967_294


class Algorithm(StrEnum):
    """How a token may be signed: with a private key that only the issuer has."""

    RS256 = "RS256"
    PS256 = "PS256"
    ES256 = "ES256"
    EDDSA = "EdDSA"


class Issuer(Block):
    """An authorization server whose access tokens (JWT) are taken."""

    issuer: IssuerUrl = Field(
        description="Its issuer identifier, exactly as the claim `iss` of its tokens has it.",
        examples=["https://login.example.com"],
    )
    jwks_uri: SecretUrl | None = Field(
        default=None, description="Where its public keys are. Without it: where the issuer's own metadata says."
    )
    audience: Annotated[str, Field(min_length=1, max_length=512)] | None = Field(
        default=None, description="What the claim `aud` of its tokens must hold. Default: `auth.oauth.resource`."
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=(Algorithm.RS256, Algorithm.PS256, Algorithm.ES256, Algorithm.EDDSA),
        min_length=1,
        description="How its tokens may be signed.",
    )
    scopes: dict[ScopeName, Annotated[tuple[Role, ...], Field(min_length=1)]] = Field(
        min_length=1,
        description="What each scope of a token may be used for. A token without any of them is refused.",
        examples=[{"tools.call": ["agent"]}],
    )
    delegations: dict[ScopeName, Annotated[tuple[DelegationScope, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="What a scope delegates to who acts for the principal: tools, `server__tool`, or all of a server, "
        "`server__*`, until the token expires.",
        examples=[{"mail.send": ["mail__send"]}],
    )
    required_claims: dict[ClaimName, Annotated[str, Field(max_length=512)]] = Field(
        default_factory=dict,
        description="Claims that a token must have with this value, or with a list that holds it: its tenant, for example.",
        examples=[{"tid": "72f988bf-86f1-41af-91ab-2d7cd011db47"}],
    )
    principal_prefix: PrincipalPrefix = Field(
        default="user:",
        description="What stands before the token's `sub` in the name of the principal. Its kind comes first.",
    )
    actor_prefix: PrincipalPrefix = Field(
        default="agent:",
        description="The same, before the `sub` of each actor in `act`, or the `client_id` where there is none.",
    )
    tools: VisibleTools = None
    exposure: OwnExposure = None
    limits: CallerLimits | None = Field(default=None, description="Instead of the file's `limits`.")


class OAuth(Block):
    """The gateway as an OAuth 2.1 resource server: access tokens of these issuers let their principals in."""

    resource: PublicUrl = Field(
        description="The public address of `/mcp`, as clients know it. Tokens must be issued for it (`aud`).",
        examples=["https://gateway.example.com/mcp"],
    )
    issuers: tuple[Issuer, ...] = Field(min_length=1, max_length=32, description="Whose tokens are taken.")
    leeway_seconds: Number = Field(
        default=30, ge=0, le=300, description="How far the issuers' clocks may be off that of this machine."
    )

    @model_validator(mode="after")
    def _nobody_has_two_names(self) -> Self:
        """Two issuers must not be able to name the same principal: the one could pass for the other's."""
        seen: list[Issuer] = []
        for issuer in self.issuers:
            for other in seen:
                if issuer.issuer == other.issuer:
                    raise ValueError(f"has the issuer {issuer.issuer} twice. Write one block for it.")
                mine, theirs = issuer.principal_prefix, other.principal_prefix
                if mine.startswith(theirs) or theirs.startswith(mine):
                    raise ValueError(
                        "has two issuers that could name the same principal. Give each a principal_prefix that is not "
                        "the beginning of another's, for example: user:corp| and user:partner|"
                    )
            seen.append(issuer)
        return self


class Auth(Block):
    """Who is let in besides the `callers` and those with API keys (`sealgate keys api`)."""

    oauth: OAuth | None = Field(default=None, description="Access tokens of OAuth 2.1 and OpenID Connect issuers.")


class Peer(Block):
    """A process on this machine that connects to `listen.unix`. The first rule that fits its user and group counts."""

    uid: Whole | None = Field(default=None, ge=0, le=MAX_ID, description="The user id it runs as.")
    gid: Whole | None = Field(default=None, ge=0, le=MAX_ID, description="The group id it runs as, not a further group.")
    principal: PrincipalName = Field(description="Who is responsible for its calls.", examples=["service:billing"])
    actors: tuple[PrincipalName, ...] = Field(
        default=(), description="Who acts for the principal; the one that calls comes last."
    )
    roles: tuple[Role, ...] = Field(default=(Role.AGENT,), min_length=1, description="What it may do.")
    tools: VisibleTools = None
    exposure: OwnExposure = None
    limits: CallerLimits | None = Field(default=None, description="Instead of the file's `limits`.")

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.uid is None and self.gid is None:
            raise ValueError("names neither a user nor a group. Write uid:, gid:, or both.")
        return self
