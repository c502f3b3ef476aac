"""The blocks of gateway.yaml about people: who approves and how they are asked, and who calls."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from gateway.core.visible import Exposure
from gateway.settings.block import Block, Flag, Whole
from gateway.settings.limits import CallerLimits
from gateway.settings.words import (
    DelegationScope,
    Ed25519Base64,
    HookUrl,
    PathText,
    PrincipalName,
    Sha256Hex,
    SshPublicKey,
    ToolGlob,
    UtcTime,
)

VisibleTools = Annotated[
    tuple[ToolGlob, ...] | None,
    Field(
        description="Globs over what they may know of and call; policy may allow less. Tools (`server__*`), and with a "
        "slash other things of servers (`server__resources/*`). All else is not there for them. Default: everything.",
        examples=[["notes__*", "notes__resources/*"]],
    ),
]
OwnExposure = Annotated[Exposure | None, Field(description="What their tools/list shows, instead of `listen.exposure`.")]


class Role(StrEnum):
    """What a caller may do."""

    AGENT = "agent"
    APPROVER = "approver"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Webhook(Block):
    """A receiver may answer in its response, or later at `/approvals/<id>/answer` with the token of an approver."""

    url: HookUrl = Field(
        description="Where each request is POSTed, with its arguments: https, or http on this machine. Only scheme and "
        "host are ever told.",
        examples=["https://approvals.example.com/sealgate"],
    )
    secret_file: PathText = Field(
        description="File (mode 0600) with the secret that the receiver knows, too: `whsec_` and base64 of 24 bytes or "
        "more. Relative to this file.",
        examples=["webhook.secret"],
    )


class Approvals(Block):
    """How people are asked, and how long they have to answer."""

    ttl_seconds: Whole = Field(
        default=900, ge=1, le=7 * 86400, description="After this time an unanswered request is denied."
    )
    elicitation: Flag = Field(
        default=False,
        description="Ask the person at the client, too, where it offers MCP elicitation: for calls up to mode `network`. "
        "The answer is the client's word, and the client may be the agent itself.",
    )
    webhooks: tuple[Webhook, ...] = Field(
        default=(), max_length=16, description="Receivers that each request is sent to, signed as Standard Webhooks says."
    )


class ApproverKey(Block):
    """An answer counts if it is signed by the key of an approver who does not act in the call. Each has one of two keys."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["public_key"]}, {"required": ["ssh_key"]}]})

    principal: PrincipalName = Field(description="Who approves.", examples=["user:alice"])
    public_key: Ed25519Base64 | None = Field(
        default=None,
        description="Base64 of the 32 raw bytes of the Ed25519 public key that `sealgate keys approver` made.",
        examples=["lF0DWjKSW7HHG1FIVgdYoiJrLt3X4CidVbchiWRv/Cs="],
    )
    ssh_key: SshPublicKey | None = Field(
        default=None,
        description="The line of their SSH key's .pub file: Ed25519 or ECDSA P-256, with or without hardware (`sk-`).",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDT5ItX1Bd+lhXTVUb/JkeUlhOoDYF59r1UIUuCMrq89 alice@laptop"],
    )

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if (self.public_key is None) == (self.ssh_key is None):
            raise ValueError("has either public_key or ssh_key. Write exactly one of them; a second key is a second entry.")
        return self


class DelegationRule(Block):
    """The principal's own word that whoever has this token may act in their name. Each `delegated` call asks them again."""

    scopes: tuple[DelegationScope, ...] = Field(
        min_length=1, description="Tools, `server__tool`, or all tools of a server, `server__*`.", examples=[["mail__send"]]
    )
    expires_at: UtcTime = Field(description="Until when, in UTC.", examples=["2027-01-01T00:00:00Z"])


class Caller(Block):
    """Each has a token of their own. Others are let in by `auth`, by `listen.peers`, or with an API key."""

    principal: PrincipalName = Field(description="Who is responsible for the calls.", examples=["user:alice"])
    actors: tuple[PrincipalName, ...] = Field(
        default=(), description="Who acts for the principal; the one that calls comes last."
    )
    roles: tuple[Role, ...] = Field(default=(Role.AGENT,), min_length=1, description="What this token may be used for.")
    delegation: DelegationRule | None = Field(
        default=None, description="What the principal delegated to the actors. Without it: no tool of mode `delegated`."
    )
    tools: VisibleTools = None
    exposure: OwnExposure = None
    token_sha256: Sha256Hex = Field(
        description='SHA-256 of the token in hex: `printf %s "$TOKEN" | sha256sum`. The token itself is stored nowhere.',
        examples=["000ff819e676cbeca536711c18fd37fa57a7d7153d9433a3aaf827f8453d00ce"],
    )
    limits: CallerLimits | None = Field(default=None, description="Instead of the file's `limits`.")
