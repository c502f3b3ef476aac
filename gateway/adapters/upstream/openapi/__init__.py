"""HTTP APIs as upstreams: an OpenAPI document says which operations there are, and each becomes a tool."""
