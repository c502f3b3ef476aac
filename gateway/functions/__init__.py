"""Python functions as an MCP server over stdio: what `functions` in gateway.yaml starts, one process for each module.

It is an upstream like any other: its process has no keys of the gateway, may have a sandbox, and can be killed.
"""
