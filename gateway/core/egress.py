"""Where a call may go, as far as hosts tell: hosts in their form (`normal_forms.host_form`) against lists of such.

A listed host without a port is that host at any port; one with a port is that port only.
"""

from collections.abc import Iterable

from gateway.core.normal_forms import split_host
from gateway.core.outcome import Reason

NOT_LISTED = Reason(
    "egress.not_listed", "Policy lets this call reach certain hosts only, and it would reach another. Nothing was sent."
)
NOT_TOLD = Reason(
    "egress.not_told",
    "Policy lets this call reach certain hosts only, and none of its arguments is declared to name a host, so that cannot "
    "be held. Ask the operator to declare one, or to run the server in a sandbox without network.",
)
PRIVATE = Reason(
    "egress.private_address",
    "A host in the arguments is an address of this machine, its networks or its cloud, or leads to one. If that is meant, "
    "the operator names the host in the tool's egress.",
)
UNRESOLVED = Reason(
    "egress.unresolved", "A host in the arguments has no address now, so where it leads cannot be checked. Nothing was sent."
)
TOO_MANY = Reason("egress.too_many", "The arguments name more hosts than can be checked. Make several calls.")


def permits(listed: Iterable[str], host: str) -> bool:
    """Whether a list names this host."""
    name, _ = split_host(host)
    return any(item == host or split_host(item) == (name, None) for item in listed)
