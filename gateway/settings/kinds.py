"""Upstreams that are no MCP servers: modules of Python functions, HTTP APIs with an OpenAPI document, and A2A agents.

Their tools say themselves what they are, by a decorator or by their HTTP method; a rule under `tools` goes before that.
Agents are `delegated`, and no rule makes them less.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.settings.block import Block, Flag
from gateway.settings.words import (
    EgressHost,
    HeaderName,
    HeaderValue,
    ModuleName,
    OperationGlob,
    OwnerName,
    PathText,
    ServerUrl,
    Sha256OfFile,
    VariableName,
    is_http_url,
)


class FunctionModule(Block):
    """A module whose functions marked with `@tool` are tools. It runs in a process of its own."""

    module: ModuleName = Field(
        description="A file that ends in .py, relative to this file, or the name of a module that the Python has installed.",
        examples=["shop_tools.py"],
    )
    python: PathText | None = Field(
        default=None,
        description="The Python that runs it, relative to this file; Sealgate must be installed there, too. By default: the "
        "gateway's own.",
    )
    env: dict[VariableName, str] = Field(
        default_factory=dict, description="All the environment it gets, besides PATH, HOME and locale."
    )


class Operations(Block):
    """Which operations of a document are tools. A glob is over a tool's name, or method and path: `DELETE /users/*`."""

    include: tuple[OperationGlob, ...] = Field(default=("*",), description="Those that one of these matches.")
    exclude: tuple[OperationGlob, ...] = Field(default=(), description="But for those that one of these matches.")


def _base(url: str) -> str:
    if "?" in url:
        raise ValueError("has a query. Put parameters that every request carries into query.")
    return url.rstrip("/")


class OpenApiDocument(Block):
    """An HTTP API whose OpenAPI 3.0 or 3.1 document says which tools there are."""

    document: PathText = Field(
        description="The document: a JSON or YAML file, relative to this file, or a URL.", examples=["petshop.yaml"]
    )
    sha256: Sha256OfFile | None = Field(
        default=None, description="The SHA-256 that the document must have. One at a URL needs it."
    )
    base_url: Annotated[ServerUrl, AfterValidator(_base)] = Field(
        description="Where the API is. The servers that the document names are never called.",
        examples=["https://api.example.com/v1"],
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, description="Headers of every request: the gateway's own credentials, never a caller's."
    )
    query: dict[str, str] = Field(
        default_factory=dict, description="Query parameters of every request, for APIs that take their key there."
    )
    operations: Operations = Field(default=Operations(), description="Which operations are tools.")
    owner: OwnerName = Field(default="unowned", description="Who answers for the tools and for what they return.")
    idempotency_header: HeaderName | None = Field(
        default=None,
        description="A header that is sent with every effect and stays the same when a call is made again under its key. "
        "`Idempotency-Key` is sent anyway where the document declares it.",
        examples=["Idempotency-Key"],
    )
    encoded_slashes: Flag = Field(
        default=False,
        description="Arguments that become a part of the path may hold a slash, sent as %2F. Many servers take that for a "
        "slash, and so for the path of another operation: say true only of one that does not.",
    )

    @model_validator(mode="after")
    def _a_url_is_pinned(self) -> Self:
        if is_http_url(self.document) and self.sha256 is None:
            raise ValueError("fetches its document from a URL, which needs sha256: of what was looked at.")
        return self


class A2aAgent(Block):
    """An agent that speaks A2A 1.x over JSON-RPC. Each skill of its card is a tool of mode `delegated`."""

    card: ServerUrl = Field(
        description="Where its agent card is. Calls go to the interface that the card names, at this scheme, host and port.",
        examples=["https://travel.example.com/.well-known/agent-card.json"],
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default_factory=dict, description="Headers of every request: the gateway's own credentials, never a caller's."
    )
    hosts: tuple[EgressHost, ...] = Field(
        default=(),
        description="Other hosts that the card may have calls sent to, with these headers.",
    )
    owner: OwnerName = Field(default="unowned", description="Who answers for the agent and for what it returns.")
