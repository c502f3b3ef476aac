"""What contains a server."""
