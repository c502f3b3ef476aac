"""Tool providers behind the gateway: MCP over stdio and streamable HTTP, of both eras."""

from gateway.adapters.upstream.spec import HttpSpec, Limits, StdioSpec, UpstreamSpec
from gateway.adapters.upstream.status import State, UpstreamStatus
from gateway.adapters.upstream.upstreams import Upstreams

__all__ = ["HttpSpec", "Limits", "State", "StdioSpec", "UpstreamSpec", "UpstreamStatus", "Upstreams"]
