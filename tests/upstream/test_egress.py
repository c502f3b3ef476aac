"""An HTTP upstream is connected to where its name led when it was checked, and nowhere inward unless the operator said so.
What a call's arguments name is checked as well, before the call is sent."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.adapters.upstream.addresses import Addresses, CheckedResolver, PrivateAddress
from gateway.adapters.upstream.guard import GuardedTransport
from gateway.adapters.upstream.spec import HttpSpec, Sandbox, StdioSpec
from gateway.adapters.upstream.status import State
from gateway.core.capability import ApprovalMode
from gateway.core.fields import FieldRole
from gateway.core.obligations import Obligations
from gateway.core.reply import NoAnswer, NotSent
from tests.upstream.world import QUICK, World, at, raw_stdio, running, serving

pytestmark = pytest.mark.anyio

PUBLIC, OTHER_PUBLIC = "198.41.0.4", "2606:4700::1111"
URL = {FieldRole.HOST: ("/url",)}


class Names:
    """A resolver whose answers change: each name has the answers of a list in turn, the last one for ever."""

    def __init__(self, **answers: list[tuple[str, ...]]) -> None:
        self._answers = {name.replace("_", "."): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def forget(self) -> None:
        self._answers.clear()


class Listener:
    """Counts the connections that come to it, and passes them on where it has somewhere to."""

    def __init__(self, to_port: int | None) -> None:
        self._to_port = to_port
        self.connections = 0
        self.names: list[str | None] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            if self._to_port is not None:
                their_reader, their_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
                await asyncio.gather(_pass_on(reader, their_writer), _pass_on(their_reader, writer))
        except ConnectionError:
            pass
        finally:
            writer.close()

    def name_asked_for(self, _socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self.names.append(name)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def listening(
    address: str = "127.0.0.1", *, port: int = 0, to_port: int | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Listener, int]]:
    listener = Listener(to_port)
    if tls is not None:
        tls.sni_callback = listener.name_asked_for
    server = await asyncio.start_server(listener.serve, address, port, ssl=tls)
    try:
        yield listener, server.sockets[0].getsockname()[1]
    finally:
        server.close()


def named(port: int, *, private: bool = False, scheme: str = "http") -> HttpSpec:
    return HttpSpec("web", f"{scheme}://tools.example:{port}/mcp", limits=QUICK, private_addresses=private)


# -- the gateway's own connections


@pytest.mark.parametrize("answer", [("127.0.0.1",), (PUBLIC, "127.0.0.1"), ("127.0.0.1", PUBLIC), ("::1",)])
async def test_an_upstream_whose_name_leads_inward_is_never_connected_to(answer: tuple[str, ...]) -> None:
    async with listening() as (listener, port), running(named(port), resolve=Names(tools_example=[answer])) as world:
        assert world.status("web").state is State.DOWN
        assert world.status("web").reason == (
            "Its name leads to an address that is not public. If that is meant, write private_addresses: true."
        )
        assert listener.connections == 0


async def test_it_is_connected_to_where_the_operator_said_that_it_may() -> None:
    with serving("raw_http.py") as port:
        async with running(named(port, private=True), resolve=Names(tools_example=[("127.0.0.1",)])) as world:
            await world.text("web", "echo")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_address_of_this_machine_in_the_configuration_is_the_operators_word(host: str) -> None:
    with serving("raw_http.py") as port:
        async with running(HttpSpec("web", f"http://{host}:{port}/mcp", limits=QUICK)) as world:
            await world.text("web", "echo")


async def test_each_connection_for_calls_goes_to_the_one_answer_that_was_checked_for_it() -> None:
    """The name leads to two servers in turn. Whoever asked once to check and again to connect would ask twice as often."""
    with serving("raw_http.py") as origin:
        async with (
            listening(to_port=origin) as (here, port),
            listening("127.0.0.2", port=port, to_port=origin) as (there, _),
        ):
            names = Names(tools_example=[("127.0.0.1",), ("127.0.0.2",)] * 50)
            async with running(named(port, private=True), resolve=names) as world:
                await world.run("web", "cut_before")  # the server closes the connection, after which the next is a new one
                asked, first, second = len(names.asked), here.connections, there.connections
                for _ in range(6):
                    await world.run("web", "stream_cut")
                assert len(names.asked) - asked == 6
                assert (here.connections - first, there.connections - second) == (3, 3)


async def test_a_request_of_the_negotiation_goes_to_the_one_answer_that_was_checked_for_it() -> None:
    with serving("raw_http.py") as origin:
        async with (
            listening(to_port=origin) as (here, port),
            listening("127.0.0.2", port=port, to_port=origin) as (there, _),
        ):
            names = Names(tools_example=[("127.0.0.1",), ("127.0.0.2",)])
            transport = GuardedTransport("web", 1 << 20, False, Addresses(names, [("tools.example", port)]))
            async with httpx2.AsyncClient(transport=transport) as client:
                assert (await client.get(f"http://tools.example:{port}/mcp")).status_code == 405
                assert (len(names.asked), here.connections, there.connections) == (1, 1, 0)
                assert (await client.get(f"http://tools.example:{port}/mcp")).status_code == 405
                assert (len(names.asked), here.connections, there.connections) == (2, 1, 1)


async def test_an_address_that_takes_no_connection_is_followed_by_the_next_that_was_checked() -> None:
    with serving("raw_http.py") as origin:
        names = Names(tools_example=[("127.0.0.3", "127.0.0.1")])
        async with running(named(origin, private=True), resolve=names) as world:
            await world.text("web", "echo")


async def test_what_a_client_is_told_to_connect_to_is_what_was_checked_and_the_next_answer_is_checked_anew() -> None:
    names = Names(tools_example=[(PUBLIC, OTHER_PUBLIC), ("127.0.0.1",)])
    resolver = CheckedResolver(Addresses(names))
    found = await resolver.resolve("tools.example", 443)
    assert [place["host"] for place in found] == [PUBLIC, OTHER_PUBLIC]
    assert all(place["flags"] & socket.AI_NUMERICHOST for place in found), "nobody asks for these names again"
    with pytest.raises(PrivateAddress):
        await resolver.resolve("tools.example", 443)
    assert names.asked == ["tools.example"] * 2


async def test_a_literal_address_is_checked_too_and_resolved_by_nobody() -> None:
    names = Names()
    addresses = Addresses(names, [("10.0.0.1", 80)])
    assert await addresses.of(PUBLIC, 443) == (PUBLIC,)
    assert await addresses.of("10.0.0.1", 80) == ("10.0.0.1",)
    for host, port in [("10.0.0.1", 81), ("169.254.169.254", 80), ("::1", 80)]:
        with pytest.raises(PrivateAddress):
            await addresses.of(host, port)
    assert names.asked == []


async def test_a_redirect_to_another_origin_is_not_followed() -> None:
    with serving("raw_http.py") as port:
        async with listening() as (elsewhere, other_port), running(at(port)) as world:
            for host in ("127.0.0.1", "localhost"):
                reply = await world.run("web", "redirect", {"location": f"http://{host}:{other_port}/mcp"})
                assert isinstance(reply, NoAnswer)
                assert reply.reason.code == "upstream.malformed"
            assert elsewhere.connections == 0


@pytest.mark.parametrize(("certified", "state"), [("tools.example", State.UP), ("other.example", State.DOWN)])
async def test_tls_verifies_the_name_although_an_address_is_connected_to(
    certified: str, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls = server_tls(tmp_path, certified)
    with serving("raw_http.py") as origin:
        async with listening(to_port=origin, tls=tls) as (listener, port):
            spec = named(port, private=True, scheme="https")
            async with running(spec, resolve=Names(tools_example=[("127.0.0.1",)])) as world:
                assert world.status("web").state is state
                if state is State.UP:
                    await world.text("web", "echo")
            assert set(listener.names) == {"tools.example"}


async def test_a_name_without_an_address_means_the_call_was_not_sent() -> None:
    with serving("raw_http.py") as port:
        names = Names(tools_example=[("127.0.0.1",)])
        async with running(named(port, private=True), resolve=names) as world:
            names.forget()
            await world.run("web", "cut_before")  # the server closes the connection
            reply = await world.run("web", "echo")
            assert isinstance(reply, NotSent)


# -- hosts in arguments


@asynccontextmanager
async def fetching(resolve: Callable[[str, int], Awaitable[tuple[str, ...]]]) -> AsyncIterator[World]:
    async with running(raw_stdio(), resolve=resolve) as world:
        yield world


async def why_not(
    world: World, url: object, *, egress: tuple[str, ...] = (), listed: tuple[str, ...] | None = None
) -> str | None:
    tool = world.capability("raw", "echo", ApprovalMode.NETWORK, fields=URL, egress=egress)
    reason = await world.ready_sealed(world.call("raw", "echo", {"url": url}, capability=tool), Obligations(egress=listed))
    return None if reason is None else reason.code


NAMES: dict[str, list[tuple[str, ...]]] = {
    "api_example_com": [(PUBLIC,)],
    "intranet_example": [("10.0.0.7",)],
    "both_example": [(PUBLIC, "127.0.0.1")],
    "metadata_example": [("169.254.169.254",)],
}


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://api.example.com/x", None),
        (["https://api.example.com/x", "api.example.com:8443"], None),
        (f"https://{PUBLIC}/", None),
        ("http://127.0.0.1/", "egress.private_address"),
        ("http://169.254.169.254/latest/meta-data/", "egress.private_address"),
        ("http://[::1]:8080/", "egress.private_address"),
        ("http://[fd00:ec2::254]/", "egress.private_address"),
        ("http://[64:ff9b::a9fe:a9fe]/", "egress.private_address"),
        ("http://localhost:8080/", "egress.private_address"),
        ("http://db.localhost/", "egress.private_address"),
        ("https://intranet.example/", "egress.private_address"),
        ("https://both.example/", "egress.private_address"),
        ("https://metadata.example/", "egress.private_address"),
        (["https://api.example.com/", "https://intranet.example/"], "egress.private_address"),
        ("https://nowhere.example/", "egress.unresolved"),
        ([f"h{number}.example" for number in range(40)], "egress.too_many"),
    ],
)
async def test_a_host_in_the_arguments_must_lead_out(url: object, code: str | None) -> None:
    async with fetching(Names(**NAMES)) as world:
        assert await why_not(world, url) == code


async def test_a_name_that_the_system_knows_as_this_machine_is_refused() -> None:
    async with running(raw_stdio()) as world:
        assert await why_not(world, f"http://{socket.gethostname()}.localhost/") == "egress.private_address"
        assert await why_not(world, "http://localhost/") == "egress.private_address"


@pytest.mark.parametrize(
    ("egress", "code"),
    [
        (("intranet.example",), None),
        (("intranet.example:8443",), None),
        (("intranet.example:9443",), "egress.private_address"),
        (("example",), "egress.private_address"),
    ],
)
async def test_the_operator_may_name_a_host_that_leads_inward(egress: tuple[str, ...], code: str | None) -> None:
    names = Names(**NAMES)
    async with fetching(names) as world:
        assert await why_not(world, "https://intranet.example:8443/", egress=egress) == code


@pytest.mark.parametrize(
    ("url", "listed", "code"),
    [
        ("https://api.example.com/x", ("api.example.com",), None),
        ("https://api.example.com:8443/x", ("api.example.com:8443",), None),
        ("https://api.example.com/x", ("other.example.com",), "egress.not_listed"),
        (["https://api.example.com/x", "https://evil.example/"], ("api.example.com",), "egress.not_listed"),
        ("https://api.example.com/x", (), "egress.not_listed"),
        ("https://intranet.example/", ("intranet.example",), "egress.private_address"),
        (None, ("api.example.com",), "egress.not_told"),
    ],
)
async def test_the_obligation_egress_holds_the_hosts_in_the_arguments(
    url: object, listed: tuple[str, ...], code: str | None
) -> None:
    async with fetching(Names(**NAMES)) as world:
        assert await why_not(world, url, listed=listed) == code


@pytest.mark.parametrize(("listed", "code"), [("127.0.0.1", None), ("api.example.com", "egress.not_listed")])
async def test_the_obligation_egress_holds_an_http_upstreams_own_host(listed: str, code: str | None) -> None:
    with serving("raw_http.py") as port:
        async with running(at(port)) as world:
            reason = await world.ready_sealed(world.call("web", "echo"), Obligations(egress=(listed,)))
            assert (reason and reason.code) == code
            assert await world.text("web", "redirected") == "0"


def test_a_server_without_network_reaches_no_host() -> None:
    assert StdioSpec("a", "x", sandbox=Sandbox()).offline
    assert not StdioSpec("a", "x", sandbox=Sandbox(network=True)).offline
    assert not StdioSpec("a", "x").offline


def server_tls(folder: Path, name: str) -> ssl.SSLContext:
    """A context with a certificate for `name`, and `ca.pem` in the folder, which it leads up to."""
    now = datetime.datetime.now(datetime.UTC)

    def certificate(
        subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, ca: bool
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        )
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
        return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.pem").write_bytes(certificate("test authority", "test authority", authority, authority, True))
    private = own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(private + certificate(name, "test authority", own, authority, False))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context
