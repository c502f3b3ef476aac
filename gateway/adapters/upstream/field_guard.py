"""What a granted call's declared fields name, looked at right before it is sent: folders, hosts, and where they lead.

An upstream that gets a host resolves it by itself, after this. A name that then leads elsewhere (rebinding) is ruled out
only where the server has no network, or one whose proxy checks as well (docs/how-to/contain-a-server.md).
"""

import asyncio

from gateway.adapters.upstream.addresses import Addresses, PrivateAddress, Resolve
from gateway.adapters.upstream.paths import path_refusal
from gateway.adapters.upstream.spec import AgentSpec, AnySpec, StdioSpec
from gateway.core.addresses import is_local
from gateway.core.approval import Grant
from gateway.core.egress import NOT_LISTED, NOT_TOLD, PRIVATE, TOO_MANY, UNRESOLVED, permits
from gateway.core.fields import FieldRole
from gateway.core.normal_forms import host_form, split_host
from gateway.core.outcome import Reason

MAX_HOSTS = 32
"""Names that one call may have resolved."""

ANY_PORT = 443
"""Whose addresses are asked for where a host has no port: names have the same ones at any."""


async def field_refusal(grant: Grant, spec: AnySpec, resolve: Resolve) -> Reason | None:
    """Why the call may not be sent to this upstream, or None."""
    call = grant.call
    what = call.capability.classification
    hosts = list(dict.fromkeys(call.fields.get(FieldRole.HOST, ())))
    reason = _unlisted(hosts, grant.decision.obligations.egress, spec)
    if reason is not None:
        return reason
    unnamed = [host for host in hosts if not permits(what.egress, host)]
    if len(unnamed) > MAX_HOSTS:
        return TOO_MANY
    addresses = Addresses(resolve)
    for found in await asyncio.gather(*(_inward(host, addresses) for host in unnamed)):
        if found is not None:
            return found
    paths = call.fields.get(FieldRole.PATH, ())
    if not paths or not what.roots:
        return None
    cwd = (spec.cwd or "") if isinstance(spec, StdioSpec) else None
    return await asyncio.to_thread(path_refusal, paths, what.roots, cwd)  # a file system may hang


def _unlisted(hosts: list[str], listed: tuple[str, ...] | None, spec: AnySpec) -> Reason | None:
    """The obligation `egress`. A server that has no network reaches no host, whatever it is told."""
    if listed is None:
        return None
    own = [] if isinstance(spec, StdioSpec) else [host_form(spec.url)]
    own += spec.hosts if isinstance(spec, AgentSpec) else ()
    if any(host is None or not permits(listed, host) for host in (*hosts, *own)):
        return NOT_LISTED
    if hosts or own or (isinstance(spec, StdioSpec) and spec.offline):
        return None
    return NOT_TOLD


async def _inward(host: str, addresses: Addresses) -> Reason | None:
    """Why a host in the arguments may not be reached: it is, or leads to, no public address."""
    name, port = split_host(host)
    if is_local(name):
        return PRIVATE
    try:
        await addresses.of(name, port or ANY_PORT)
    except PrivateAddress:
        return PRIVATE
    except (OSError, UnicodeError):  # the second: a name that the system's resolver cannot encode
        return UNRESOLVED
    return None
