"""The caller while its call runs, as far as an upstream may talk with it.

Above stands the edge, which knows the client; below the adapters, which hear the upstream. Progress and log messages are
told and forgotten. What an upstream asks for (input of a person, a message of the client's model, its folders) is a governed
call of its own, decided and recorded like one of a tool, whose executor is the client.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.core.method import Method


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of an upstream to the client. `method` is one that asks the client; `params` are as on the wire."""

    method: Method
    params: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """There is no answer, and why: the JSON-RPC error to give the upstream."""

    code: int
    message: str


AskAnswer = dict[str, Any] | NotAnswered
"""The result object of the client, as on the wire."""


class Conversation(Protocol):
    """Implementations: `Silent`, and those of `edge/conversation.py`."""

    def offers(self, upstream: str) -> Mapping[str, Any]:
        """What this upstream may ask of the client, as members of an MCP ClientCapabilities object; empty for nothing."""

    @property
    def wants_progress(self) -> bool:
        """Whether the client asked to be told of progress."""

    @property
    def log_level(self) -> str | None:
        """The least level of `notifications/message` that the client asked for; None: it asked for none."""

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """Pass a notification on: `notifications/progress`, without its token, or `notifications/message`.

        Never waits and never fails. What is too much, too large or not wanted is dropped.
        """

    async def let_go(self) -> None:
        """The call may last. A client that can come back for its answer need not hold its stream open. Never fails."""

    async def ask(self, upstream: str, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        """Put these to the client at once, each decided first, and wait. Never raises but for cancellation.

        An ask that is not in what is returned was left out by the client.
        """

    async def answer(self, ask: Ask) -> AskAnswer:
        """The client's own answer: what runs, where the call that runs is an ask."""


class Silent:
    """A caller that nobody can talk with."""

    def offers(self, upstream: str) -> Mapping[str, Any]:
        return {}

    @property
    def wants_progress(self) -> bool:
        return False

    @property
    def log_level(self) -> str | None:
        return None

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        pass

    async def let_go(self) -> None:
        pass

    async def ask(self, upstream: str, asks: Mapping[str, Ask]) -> Mapping[str, AskAnswer]:
        return dict.fromkeys(asks, NOBODY)

    async def answer(self, ask: Ask) -> AskAnswer:
        return NOBODY


METHOD_NOT_FOUND = -32601
NOBODY = NotAnswered(METHOD_NOT_FOUND, "This client does not offer that.")
SILENT = Silent()
