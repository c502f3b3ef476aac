"""What `Upstreams` needs of each upstream, whatever kind it is."""

from typing import Protocol

from gateway.adapters.upstream.status import UpstreamStatus
from gateway.core.approval import Grant
from gateway.core.conversation import Conversation
from gateway.core.outcome import Reason
from gateway.core.reply import UpstreamReply


class OneUpstream(Protocol):
    """Implementations: `owner.Upstream` (MCP), `documented.Documented` (HTTP APIs and A2A agents).

    It begins when it is made, and goes on until `stop`.
    """

    async def settled(self) -> None:
        """Returns when it is up or its first attempt failed."""

    async def stop(self) -> None:
        """End it, within seconds."""

    def status(self) -> UpstreamStatus:
        """As it is now."""

    async def ready(self, grant: Grant) -> Reason | None:
        """See `Executor.ready`."""

    async def run(self, grant: Grant, conversation: Conversation) -> UpstreamReply:
        """See `Executor.run`."""

    async def unsubscribe(self, uri: str) -> None:
        """One call that subscribed to this resource is not to be told any more."""
