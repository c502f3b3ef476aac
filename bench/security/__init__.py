"""What a hijacked agent can do through the gateway: `make bench-security`. See docs/reference/security-benchmark.md."""
