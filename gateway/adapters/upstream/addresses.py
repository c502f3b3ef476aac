"""From a name to the addresses that may be connected to. A name is resolved once: what was checked is what is connected to.

`Resolve` is asked by the HTTP clients for their own connections, and by the egress guard for hosts in arguments.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Collection

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.core.addresses import is_address, is_public

RESOLVE_SECONDS = 5.0

Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""The addresses of a host, best first. Raises `OSError` where there are none."""

Place = tuple[str, int]
"""A host and a port."""


class PrivateAddress(OSError):
    """A name leads to an address that is not out on the internet, and nobody said that it may."""


async def system_resolve(host: str, port: int) -> tuple[str, ...]:
    """What the system's resolver says, within `RESOLVE_SECONDS`."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_SECONDS):  # TimeoutError is an OSError
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = tuple(dict.fromkeys(str(place[0]) for *_, place in found))
    if not addresses:
        raise OSError("no address")
    return addresses


class Addresses:
    """The addresses of hosts, refused where one of them is not public and the place is not among `private`."""

    def __init__(self, resolve: Resolve, private: Collection[Place] = ()) -> None:
        self._resolve = resolve
        self._private = frozenset(private)

    async def of(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses to connect to. Raises `PrivateAddress`, and `OSError` where there are none."""
        addresses = (host,) if is_address(host) else await self._resolve(host, port)
        if (host, port) not in self._private and not all(map(is_public, addresses)):
            raise PrivateAddress("it leads to an address that is not public")
        return addresses


class CheckedResolver(AbstractResolver):
    """`Addresses` for aiohttp, which connects to what it is told and asks no one else. Literal addresses don't come here."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._addresses.of(host, port)
        ]

    async def close(self) -> None:
        pass
