"""Which gateway a command asks, with which token, and what it does where whoever answers is none or means harm."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gateway.adapters.daemon import MAX_ANSWER_BYTES, DaemonClient, DaemonLog, RemoteGateway
from gateway.adapters.keys import write_private_text
from gateway.core.errors import ConfigError
from gateway.core.gateway_url import gateway_url
from gateway.edge.auth import token_digest
from tests.api.office import Office
from tests.api.tls import TlsProxy
from tests.running import ModernClient, RunningGateway, Said, free_port, run_cli, until
from tests.store.filled import fill

HEAD = ("log", "list", "--json")
TOKEN = "some-token"


def asked(url: str, *command: str, token: str | None = TOKEN, **more: str) -> Said:
    environment = {"SEALGATE_URL": url, **({} if token is None else {"SEALGATE_TOKEN": token}), **more}
    return run_cli(*command, environment=environment)


@pytest.mark.parametrize(
    "url",
    [
        "http://gateway.example.com:8750",
        "http://10.0.0.1:8750",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://[::2]:1",
        "http://0.0.0.0:8750",
        "ftp://127.0.0.1",
        "127.0.0.1:8750",
        "https://",
        "https://user:pass@gateway.example.com",
        "https://gateway.example.com/?a=b",
        "https://gateway.example.com/#a",
        "https://gateway.example.com:99999",
        "https://gateway.example.com/ x",
        "",
    ],
)
def test_a_token_is_not_sent_in_clear_or_to_what_is_no_url(url: str) -> None:
    with pytest.raises(ConfigError):
        gateway_url(url)
    said = run_cli("status", "--url", url, environment={"SEALGATE_TOKEN": "some-token"})
    assert said.code == 2, said


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("https://gateway.example.com", "https://gateway.example.com"),
        ("https://gateway.example.com:8750/", "https://gateway.example.com:8750"),
        ("https://example.com/sealgate/", "https://example.com/sealgate"),
        ("http://localhost:8750", "http://localhost:8750"),
        ("http://127.8.9.1:8750", "http://127.8.9.1:8750"),
        ("http://[::1]:8750", "http://[::1]:8750"),
    ],
)
def test_https_is_for_everywhere_and_http_for_this_machine(url: str, meant: str) -> None:
    assert gateway_url(url) == meant


def test_without_a_token_or_with_a_wrong_one_the_exit_code_is_3(office: Office, tmp_path: Path) -> None:
    assert asked(office.url, "status", token=None).code == 3
    said = asked(office.url, "status", token="wrong")
    assert (said.code, "error[login.needed]" in said.stderr, "--token-file" in said.stderr) == (3, True, True)
    assert asked(office.url, "status", token="two words").code == 2


def test_the_token_may_be_in_a_file_that_nobody_else_reads(office: Office, tmp_path: Path) -> None:
    file = tmp_path / "token"
    write_private_text(file, "auditor-token\n")
    assert run_cli("status", "--url", office.url, "--token-file", str(file)).code == 0
    file.chmod(0o644)
    said = run_cli("status", "--url", office.url, "--token-file", str(file))
    assert (said.code, "chmod 600" in said.stderr) == (1, True)
    assert run_cli("status", "--token-file", str(file)).code == 2


def test_two_gateways_at_once_are_none(office: Office) -> None:
    said = run_cli("status", "--url", office.url, "--state", str(office.gateway.state))
    assert (said.code, "two gateways" in said.stderr) == (2, True)


def test_where_nobody_answers_the_exit_code_is_4() -> None:
    said = asked(f"http://127.0.0.1:{free_port()}", "status")
    assert (said.code, "error[unreachable]" in said.stderr) == (4, True)


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def stranger(answer: Answer) -> Iterator[str]:
    """The URL of something that listens where a gateway was meant."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def saying(status: int, body: bytes, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def error(**told: object) -> bytes:
    return json.dumps({"error": {"code": "x", "message": "m", "hint": "", "exit_code": 1, **told}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<html>", 1),
        (200, b"[]", 1),
        (200, b"{}", 1),
        (404, b"Not Found", 1),
        (502, b"<html>Bad Gateway", 4),
        (503, b"", 4),
        (409, error(exit_code=0), 1),
        (409, error(exit_code=300), 1),
        (409, error(exit_code="0"), 1),
        (409, error(exit_code=6), 6),
        (200, error(), 1),
        (200, b'{"size": "many", "root": "zz"}', 1),
        (401, error(exit_code=3), 3),
    ],
)
def test_what_no_gateway_says_is_an_error_and_never_a_success(status: int, body: bytes, code: int) -> None:
    with stranger(saying(status, body)) as url:
        said = asked(url, *HEAD)
    assert (said.code, "error[" in said.stderr) == (code, True), said


def test_no_other_place_gets_the_token() -> None:
    got: list[str | None] = []

    def note(handler: BaseHTTPRequestHandler) -> None:
        got.append(handler.headers["Authorization"])
        saying(200, b'{"size": 0, "root": ""}')(handler)

    with stranger(note) as other, stranger(saying(307, b"", Location=f"{other}/api/v1/log/head")) as url:
        assert asked(url, *HEAD).code == 1
        assert asked(url, *HEAD, HTTP_PROXY=other, http_proxy=other, ALL_PROXY=other).code == 1
    assert got == []


def test_what_is_answered_acts_on_no_terminal() -> None:
    with stranger(saying(409, error(message="\x1b]0;owned\x07", hint="\u202egpj"))) as url:
        said = asked(url, "status")
    assert "\x1b" not in said.stderr
    assert "\u202e" not in said.stderr


def test_an_answer_without_an_end_is_not_held() -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        sent = 0
        try:
            while sent < 2 * MAX_ANSWER_BYTES:
                sent += handler.wfile.write(b" " * (1 << 20))
        except OSError:
            pass  # it was not read to its end

    with stranger(endless) as url:
        said = asked(url, "status")
    assert (said.code, "has no end" in said.stderr) == (1, True)


@pytest.mark.parametrize("following", [0, -1, "1", True, 1.5])
def test_pages_that_lead_nowhere_end_the_command(following: object) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        head = {"size": 5, "root": "00" * 32}
        page = {"entries": [], "next": following}
        told = head if handler.path.endswith("head") else page
        saying(200, json.dumps(told).encode())(handler)

    with stranger(answer) as url:
        said = asked(url, *HEAD)
    assert (said.code, "not of its form" in said.stderr) == (1, True), said


def test_checkpoints_go_no_further_than_the_log_did_when_they_were_begun() -> None:
    """One that is made while a log is read may be of more entries than were read: it is no sign of a cut."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        head = {"size": 5, "root": "00" * 32}
        page = {"checkpoints": [{"size": size, "note": ""} for size in (3, 5, 9)], "next": None}
        saying(200, json.dumps(head if handler.path.endswith("head") else page).encode())(handler)

    with stranger(answer) as url, DaemonClient(RemoteGateway(url, TOKEN)) as client:
        assert [size for size, _ in DaemonLog(client).checkpoints()] == [3, 5]


def test_over_tls_the_certificate_is_checked(office: Office, tmp_path: Path) -> None:
    with TlsProxy.before(office.gateway.port, office.tls_port, tmp_path) as proxy:
        url = f"https://localhost:{office.tls_port}"
        assert asked(url, "status", token="auditor-token").code == 4
        told = asked(url, "status", "--json", token="auditor-token", SSL_CERT_FILE=str(proxy.certificate))
        assert (told.code, json.loads(told.stdout)["log_origin"]) == (0, "sealgate.local/default")


def test_a_log_of_many_pages_is_verified_while_it_grows(tmp_path: Path) -> None:
    """Two pages of entries; while they are read, the gateway adds more, and their checkpoints."""
    gateway = RunningGateway(tmp_path, verb="serve")
    fill(gateway.state, 1200)
    callers = (
        f'callers:\n  - {{principal: "user:ann", roles: [auditor, agent], token_sha256: {token_digest("ann-token")}}}\n'
    )
    gateway.configure(f"log: {{origin: test.example/log}}\nmcpServers: {{}}\n{callers}")
    url, verify = f"http://127.0.0.1:{gateway.port}", ("log", "verify", "--json")
    with gateway:
        ended = threading.Event()
        grown: list[bool] = []

        def grow() -> None:
            with ModernClient(gateway, token="ann-token") as client:
                while not ended.is_set():
                    grown.append("error" in client.call("no__tool", {}))  # which is recorded

        growing = threading.Thread(target=grow)
        growing.start()
        try:
            until(lambda: grown, what="an entry while it is read")
            before = len(grown)
            said = asked(url, *verify, "--keys", str(gateway.state / "keys" / "public.json"), token="ann-token")
            until(lambda: len(grown) > before, what="another entry")
        finally:
            ended.set()
            growing.join()
    assert all(grown)
    report = json.loads(said.stdout)
    assert (said.code, report["ok"], report["problems"]) == (0, True, [])
    assert report["entries"] > 1200
