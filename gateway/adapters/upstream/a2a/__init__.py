"""A2A agents as upstreams: each skill of an agent's card is a tool of mode `delegated`."""
