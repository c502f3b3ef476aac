"""The block of gateway.yaml about how much a caller may ask."""

from pydantic import Field

from gateway.core.limits import CallLimits
from gateway.settings.block import Block, Whole

_MOST = 1_000_000_000


class CallerLimits(Block):
    """Counted for each principal, over all its tokens and actors, in memory. What is left out has no limit."""

    requests_per_minute: Whole | None = Field(
        default=None, ge=1, le=1_000_000, description="MCP requests in a minute. They may all come at once."
    )
    concurrent: Whole | None = Field(
        default=None, ge=1, le=65_536, description="Requests that are being served at the same time."
    )
    calls_per_day: Whole | None = Field(
        default=None, ge=1, le=_MOST, description="Tool calls in a day of UTC. A restart of the gateway begins anew."
    )

    def limits(self) -> CallLimits:
        """As the core knows them."""
        return CallLimits(self.requests_per_minute, self.concurrent, self.calls_per_day)
