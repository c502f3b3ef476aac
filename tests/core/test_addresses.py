"""What counts as out on the internet."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.addresses import is_local, is_public

INWARD = [
    *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "168.63.129.16"),  # noqa: S104
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
    *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "::7f00:1", "::808:808", "fc00::1", "fd00:ec2::254", "fe80::1"),
    *("fe80::1%lo", "fec0::1", "ff02::1", "100::1", "2001:db8::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    *("3fff::1", "5f00::1", "64:ff9b:1::1", "4000::1", "2606:4700::1111%lo"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::1", "2002:a9fe:a9fe::1", "2002:c0a8:101::"),
    *("", "localhost", "example.com", "127.1", "2130706433"),
]
OUTWARD = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", INWARD)
def test_an_address_of_this_machine_its_networks_or_its_cloud_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTWARD)
def test_an_address_on_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6), st.ip_addresses(network="2000::/4")))
def test_nothing_is_public_that_the_standard_library_calls_private(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(str(address)):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved or address in ipaddress.ip_network("64:ff9b::/96")


@pytest.mark.parametrize("host", ["localhost", "db.localhost", "127.0.0.1", "::1", "10.0.0.1"])
def test_a_host_may_say_itself_that_it_is_local(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "notlocalhost", "8.8.8.8"])
def test_another_host_does_not(host: str) -> None:
    assert not is_local(host)
