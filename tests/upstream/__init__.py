"""Upstreams, against real servers in their own processes."""
