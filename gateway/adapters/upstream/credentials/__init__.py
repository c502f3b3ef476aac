"""What upstreams are told who we are: credentials of the gateway's own, one kind for each upstream."""
