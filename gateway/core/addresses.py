"""Which IP addresses are out on the internet, and which are this machine, its networks or its cloud's own services.

Sources: the IANA IPv4 and IPv6 special-purpose address registries; RFC 6052 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo).
An address that carries another one in it is as public as that one.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NOT_PUBLIC = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; 0.0.0.0 connects to this machine
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier NAT; 100.100.100.200 are a cloud's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's agent, on each of its machines
            "169.254.0.0/16",  # link-local; 169.254.169.254 are metadata of most clouds
            "172.16.0.0/12",
            "192.0.0.0/24",  # 192.0.0.192 are metadata, too
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GLOBAL_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))  # Teredo is within the first
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


def is_public(address: str) -> bool:
    """Whether it is out on the internet. False also of what is no address."""
    try:
        read = ip_address(address)
    except ValueError:
        return False
    return _public4(read) if isinstance(read, IPv4Address) else _public6(read)


def is_address(host: str) -> bool:
    """Whether a host in its form is a literal address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback_host(host: str) -> bool:
    """Whether the host is this machine: `localhost`, or a loopback address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_local(host: str) -> bool:
    """Whether the host itself says that it is not out on the internet: such an address, or a name of RFC 6761."""
    return not is_public(host) if is_address(host) else host == "localhost" or host.endswith(".localhost")


def _public4(address: IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC)


def _public6(address: IPv6Address) -> bool:
    if address.scope_id is not None:
        return False
    number = int(address)
    if address in _NAT64:
        return _public4(IPv4Address(number & 0xFFFFFFFF))
    if address in _SIX_TO_FOUR:
        return _public4(IPv4Address(number >> 80 & 0xFFFFFFFF))
    return address in _GLOBAL_UNICAST and not any(address in network for network in _NOT_PUBLIC_6)
