"""One operation of `/api/v1`: what it takes, what it answers, who may use it over HTTP, and what does it.

The table of these serves both the control socket and the HTTP port, and the OpenAPI document is made of it: there is no
second list that could say something else. A route cannot be made without saying who may use it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from gateway.core import wire
from gateway.core.errors import GatewayError
from gateway.edge.auth import Caller

PREFIX = "/api/v1"
OPERATOR = "operator"
"""Who asks through the control socket: whoever operates the gateway. No caller is called so: a principal has a colon."""


class ApiRole(StrEnum):
    """The roles that open something here. `agent` is none of them: what an agent may do, it does over MCP."""

    AUDITOR = "auditor"
    APPROVER = "approver"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class For:
    """Over HTTP for callers with one of these roles."""

    roles: frozenset[ApiRole]

    def __post_init__(self) -> None:
        if not self.roles or not all(isinstance(role, ApiRole) for role in self.roles):
            raise ValueError("name the roles that may use it")


@dataclass(frozen=True, slots=True)
class AnyCaller:
    """Over HTTP for everybody with a token. For what tells nothing about this gateway."""


@dataclass(frozen=True, slots=True)
class SocketOnly:
    """Never over HTTP; `why` is told to who asks."""

    why: str


Access = For | AnyCaller | SocketOnly
READING = For(frozenset({ApiRole.AUDITOR, ApiRole.ADMIN}))
WAITING = For(frozenset(ApiRole))
ANSWERING = For(frozenset({ApiRole.APPROVER}))
OPERATING = For(frozenset({ApiRole.ADMIN}))


def caller_name(caller: Caller) -> str:
    """As entries name who asked for something: the principal, and who acts for it."""
    return " > ".join(map(str, (caller.principal, *caller.actors)))


class Document(BaseModel):
    """What is sent: every member is known and of its type, or it is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Nothing(Document):
    """A query, or a body, without members."""


class Told(BaseModel):
    """What is answered. Members may be added to it in later versions."""


Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """A request that was let in and parsed. `caller`: None on the control socket. `size`: bytes of the body."""

    caller: Caller | None
    path: Mapping[str, str]
    query: Q
    body: B
    size: int

    @property
    def by(self) -> str:
        """Who asks, as entries name it: the caller's principal and who acts for it, or `operator`."""
        return OPERATOR if self.caller is None else caller_name(self.caller)

    def named(self, given: str | None) -> str:
        """Who stands behind what is asked: on the socket who is named, over HTTP the caller. Raises `GatewayError`."""
        if self.caller is None:
            if given is None:
                raise GatewayError("`by` is missing: who says so?", code="request.invalid")
            return given
        if given is not None:
            raise GatewayError("`by` is not taken over HTTP: the caller is named", code="request.invalid")
        return caller_name(self.caller)


@dataclass(frozen=True, slots=True)
class ApiRoute(Generic[Q, B]):
    """See the module.

    Attributes:
        path: with the names of its parameters in braces
        access: over HTTP; the socket is for everything
        answers: the document that comes back, or the media type of what is none
        refusals: HTTP statuses it refuses with, besides those that any request may get
        socket_bytes: the largest body on the socket; over HTTP it is `wire.MAX_BYTES`
    """

    method: Literal["GET", "POST"]
    path: str
    access: Access
    summary: str
    query: type[Q]
    body: type[B]
    answers: type[Told] | str
    handle: Callable[[Asked[Q, B]], Awaitable[Mapping[str, Any] | Response]]
    refusals: tuple[int, ...] = ()
    socket_bytes: int = wire.MAX_BYTES

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access):
            raise TypeError(f"{self.path}: say who may use it")
        if not self.path.startswith(f"{PREFIX}/"):
            raise ValueError(f"{self.path} is not below {PREFIX}")
        if self.method == "GET" and self.body is not Nothing:
            raise ValueError(f"{self.path}: a GET has no body")
