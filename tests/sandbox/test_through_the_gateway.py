"""Fields, roots, hosts and sandbox of one server, as a client of a real gateway meets them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import ModernClient, RunningGateway, outcome, running, text
from tests.sandbox.conftest import PROBES, Machine

pytestmark = pytest.mark.bwrap


@pytest.fixture(scope="module")
def gateway(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    link = machine.given / "shortcut"
    link.symlink_to("file")
    config = f"""
mcpServers:
  probes: {{command: {machine.python}, args: [{PROBES}], cwd: {machine.given}}}
upstreams:
  probes: {{sandbox: {{kind: bubblewrap, read: [{machine.given}]}}}}
tools:
  - {{match: probes__read_file, mode: read_only, fields: {{path: /path}}, roots: [{machine.given}]}}
  - {{match: probes__connect, mode: read_only, fields: {{host: /host}}, egress: [192.168.7.7]}}
"""
    with running(tmp_path_factory.mktemp("gateway"), config) as gateway:
        yield gateway
    link.unlink()


@pytest.fixture(scope="module")
def client(gateway: RunningGateway) -> Iterator[ModernClient]:
    with ModernClient(gateway) as client:
        yield client


def test_a_path_in_the_roots_is_read(client: ModernClient, machine: Machine) -> None:
    for path in (f"{machine.given}/file", "file", "./file"):
        assert text(client.call("probes__read_file", {"path": path})).startswith("escaped: read 9 bytes")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/etc/passwd", "path.outside"),
        ("shortcut", "path.link"),
        ("../outside/file", "arguments.path"),
        ("%2e%2e/outside/file", "arguments.path"),
        ("//server/share", "arguments.path"),
    ],
)
def test_another_path_is_denied_with_its_code_and_not_quoted(client: ModernClient, path: str, code: str) -> None:
    response = client.call("probes__read_file", {"path": path})
    told = outcome(response)
    assert told["outcome"] == "denied"
    assert told["reasons"] == [code]
    assert path not in text(response)


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", "egress.private_address"),
        ("169.254.169.254", "egress.private_address"),
        ("localhost", "egress.private_address"),
        ("[::1]", "egress.private_address"),
        ("127.1", "arguments.host"),
        ("http://0x7f000001/", "arguments.host"),
    ],
)
def test_a_host_that_leads_inward_is_denied_with_its_code(client: ModernClient, host: str, code: str) -> None:
    told = outcome(client.call("probes__connect", {"host": host, "port": 80}))
    assert told["outcome"] == "denied"
    assert told["reasons"] == [code]


def test_a_host_that_the_operator_named_is_tried_and_the_sandbox_has_no_way_to_it(client: ModernClient) -> None:
    assert text(client.call("probes__connect", {"host": "192.168.7.7", "port": 80})).startswith("held: OSError")


def test_each_denial_is_in_the_log_without_the_value(
    gateway: RunningGateway, client: ModernClient, machine: Machine
) -> None:
    response = client.call("probes__read_file", {"path": f"{machine.outside}/file"})
    envelope_id = response["result"]["_meta"]["dev.sealgate/receipt"]["envelope_id"]
    shown = gateway.run("log", "show", envelope_id).stdout
    assert "path.outside" in shown
    assert str(machine.outside) not in shown


def test_the_operator_sees_what_contains_the_server(gateway: RunningGateway) -> None:
    (upstream,) = gateway.json("status", "--json")["upstreams"]
    assert upstream["sandbox"] == "bubblewrap"


PINNED = """package sealgate.authz

decision := {
	"effect": "allow",
	"reasons": [{"code": "test.pinned", "message": "To one host only."}],
	"obligations": {"egress": ["[2606:4700::1111]:443"]},
}
"""


def test_a_call_that_policy_binds_to_hosts_reaches_no_other(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "pinned.rego").write_text(PINNED)
    config = f"""
policy: {{path: policies}}
mcpServers:
  probes: {{command: {machine.python}, args: [{PROBES}]}}
upstreams:
  probes: {{sandbox: bubblewrap}}
tools:
  - {{match: probes__connect, mode: read_only, fields: {{host: /host}}}}
"""
    with running(tmp_path, config) as gateway, ModernClient(gateway) as client:
        to_it = client.call("probes__connect", {"host": "[2606:4700::1111]:443", "port": 443})
        assert text(to_it).startswith("held: "), "it was sent, and the sandbox has no way"
        for host in ("[2606:4700::1111]", "[2606:4700::1111]:8443", "1.1.1.1:443", "api.example.com:443"):
            told = outcome(client.call("probes__connect", {"host": host, "port": 443}))
            assert (told["outcome"], told["reasons"]) == ("denied", ["egress.not_listed"])
