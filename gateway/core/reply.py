"""What came of a call that was sent upstream: a closed set of values. Adapters raise nothing else."""

from dataclasses import dataclass
from typing import Any

from gateway.core.outcome import Reason


@dataclass(frozen=True, slots=True)
class ToolReply:
    """The upstream answered with an MCP CallToolResult document (strictly parsed). `protocol` is its MCP version.

    A JSON-RPC error is such an answer too, turned into a result with `isError`: it does not prove that nothing happened.
    """

    document: dict[str, Any]
    protocol: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the call reached the upstream, or HTTP says that it was not applied (401): certainly no effect."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """It was sent, or may have been, and no usable answer came: deadline, lost connection, a flood, a dead process."""

    reason: Reason


UpstreamReply = ToolReply | NotSent | NoAnswer
