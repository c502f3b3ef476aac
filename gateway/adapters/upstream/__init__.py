"""Tool providers behind the gateway: MCP over stdio and streamable HTTP, of both eras."""
