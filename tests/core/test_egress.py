"""Lists of hosts: what they name, and what policy may bind a call to."""

from typing import Any

import pytest

from gateway.core.decision import Effect, read_verdict
from gateway.core.egress import permits
from gateway.core.normal_forms import host_form
from gateway.core.obligations import Obligations


@pytest.mark.parametrize(
    ("listed", "host", "permitted"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "https://api.example.com:8443/x", True),
        ("api.example.com:8443", "https://api.example.com:8443/x", True),
        ("api.example.com:8443", "https://api.example.com/x", False),
        ("api.example.com:8443", "api.example.com:9443", False),
        ("api.example.com", "evil-api.example.com", False),
        ("api.example.com", "api.example.com.evil.example", False),
        ("example.com", "api.example.com", False),
        ("[2001:db8::1]", "https://[2001:db8::1]:8443/", True),
        ("[2001:db8::1]:8443", "https://[2001:db8::1]/", False),
    ],
)
def test_a_list_names_hosts_whole_and_ports_where_it_has_them(listed: str, host: str, permitted: bool) -> None:
    form = host_form(host)
    assert form is not None
    assert permits([listed], form) is permitted
    assert not permits([], form)


def verdict(hosts: Any) -> Any:
    return read_verdict({"effect": "allow", "reasons": [], "obligations": {"egress": hosts}}, str)


def test_the_obligation_holds_hosts_in_their_form() -> None:
    told = verdict(["API.example.com", "[2001:db8::1]:8443", "192.0.2.1"])
    assert told.effect is Effect.ALLOW
    assert told.obligations == Obligations(egress=("api.example.com", "[2001:db8::1]:8443", "192.0.2.1"))
    assert verdict([]).obligations == Obligations(egress=()), "no host at all"


@pytest.mark.parametrize(
    "hosts",
    [
        *("api.example.com", None, 5, {"host": "api.example.com"}),
        *(["*.example.com"], ["https://api.example.com"], ["api.example.com/x"], ["127.1"], ["a.example", 5], [""], [None]),
        [f"h{number}.example" for number in range(65)],
    ],
)
def test_another_list_is_no_decision(hosts: Any) -> None:
    told = verdict(hosts)
    assert told.effect is Effect.DENY
    assert [reason.code for reason in told.reasons] == ["policy.error"]
