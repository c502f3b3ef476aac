"""Bytes in, bytes out: HTTP, stdio, authentication, the MCP server, the operator's socket."""
