"""A connection is read against a deadline and within bounds, and what two readers could take differently is refused."""

import json
import time
from collections.abc import Iterator

import pytest

from gateway.edge.connections import MAX_BODY, MAX_FIELDS, MAX_HEAD, MAX_PIPELINED, MAX_TARGET
from tests.running import until
from tests.wire.ports import PATIENCE, QUICK, Peer, Port, port, request

CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def opened() -> Iterator[Port]:
    """One port for the tests that leave it as it was."""
    with port() as running:
        yield running


def refusal(opened: Port, data: bytes) -> int:
    """The status of the answer, after which the connection must be closed; 0 where there is none."""
    with Peer(opened.number) as peer:
        peer.send(data)
        answers = peer.read(2)
        assert len(answers) <= 1, answers
        assert peer.closed()
        return answers[0][0] if answers else 0


@pytest.mark.parametrize(
    ("first", "drip", "status"),
    [
        (b"", b"", 0),
        (b"", b"\r\n", 0),
        (b"POST /", b"a", 408),
        (b"POST / HTTP/1.1\r\nX: ", b"a", 408),
        (request(length=100), b"", 408),
        (request(length=100), b"a", 408),
        (CHUNKED, b"1\r\na\r\n", 408),
        (CHUNKED + b"1;", b"a", 408),
    ],
    ids=["silence", "empty lines", "first line", "field", "no body", "slow body", "slow chunks", "slow chunk size"],
)
def test_a_request_that_does_not_come_to_an_end_is_ended(opened: Port, first: bytes, drip: bytes, status: int) -> None:
    longest = QUICK.head_seconds + QUICK.body_seconds
    with Peer(opened.number) as peer:
        peer.send(first)
        peer.socket.settimeout(0.05)
        began, came = time.monotonic(), b""
        while time.monotonic() - began < PATIENCE:
            peer.send(drip)
            try:
                chunk = peer.socket.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not chunk:
                break
            came += chunk
        assert time.monotonic() - began < longest + 3
        assert (int(came.split()[1]) if came else 0) == status


def test_a_call_that_takes_long_is_waited_for() -> None:
    with port() as opened, Peer(opened.number) as peer:
        peer.send(request("/wait"))
        for _ in range(2):  # what is due in the time of a head and a body is over for others meanwhile
            assert refusal(opened, request(length=100)) == 408
        opened.go.set()
        assert peer.read() == [(200, b"")]


def test_a_client_that_does_not_read_its_answer_is_left() -> None:
    with port() as opened, Peer(opened.number, small=True) as peer:
        peer.send(request("/large"))
        until(lambda: opened.ended == ["/large"], what="the end of the answer")
        came = 0
        try:
            while chunk := peer.socket.recv(1 << 20):
                came += len(chunk)
        except ConnectionError:
            pass
        assert came < 32 << 20


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"POST /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * MAX_TARGET), 414),
        (request("/", *[b"X-%d: a" % number for number in range(MAX_FIELDS)]), 431),
        (request("/", b"X: " + b"a" * MAX_HEAD), 431),
        (b"POST / HTTP/1.1\r\nX: " + b"a" * (2 << 20), 431),
        (b"\r\n" * MAX_HEAD, 0),
        (request("/wait", length=1 << 30) + b"a" * (MAX_BODY + (1 << 20)), 413),
    ],
    ids=["target", "fields", "field", "field without an end", "empty lines", "body"],
)
def test_a_request_is_no_larger_than_the_bounds(opened: Port, data: bytes, status: int) -> None:
    assert refusal(opened, data) in ({431, 0} if status == 0 else {status})


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("/", b"Host: b"), 400),
        (request("/", b"Authorization: a", b"authorization: b"), 400),
        (request("http://b/"), 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (request("/", b"Content-Encoding: gzip"), 415),
        (CHUNKED.replace(b"chunked", b"gzip, chunked") + b"0\r\n\r\n", 501),
        (CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n", 400),
        (request("/", b"Transfer-Encoding: chunked"), 400),
        (request("/", b"X: a\r\n b"), 400),
        (request("/").replace(b"\r\n", b"\n"), 400),
        (b"\x16\x03\x01\x02\x00", 400),
    ],
    ids=["host", "token", "other host", "*", "CONNECT", "gzip", "coding", "1.0", "both", "fold", "LF", "TLS"],
)
def test_what_can_be_read_in_two_ways_is_refused(opened: Port, data: bytes, status: int) -> None:
    assert refusal(opened, data) == status


def test_an_upgrade_is_passed_over_and_the_request_is_served(opened: Port) -> None:
    upgrade = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    with Peer(opened.number) as peer:
        data = request("/", *upgrade, body=b"first")
        peer.send(data[:-2])
        peer.send(data[-2:] + request("/", body=b"second"))
        assert peer.read(2) == [(200, b"first"), (200, b"second")]


def test_the_fields_of_a_trailer_are_none_of_the_head(opened: Port) -> None:
    with Peer(opened.number) as peer:
        peer.send(CHUNKED.replace(b"POST /", b"POST /headers") + b"1\r\na\r\n0\r\nAuthorization: x\r\n\r\n")
        ((_, names),) = peer.read()
        assert json.loads(names) == ["host", "transfer-encoding"]


def test_a_pipeline_is_answered_in_order_and_holds_few_requests() -> None:
    with port() as opened:
        with Peer(opened.number) as peer:
            peer.send(b"".join(request("/", body=b"%d" % number) for number in range(MAX_PIPELINED)))
            assert peer.read(MAX_PIPELINED) == [(200, b"%d" % number) for number in range(MAX_PIPELINED)]
        with Peer(opened.number) as peer:
            peer.send(request("/wait") + request("/never") * (MAX_PIPELINED + 1))
            assert peer.read() == []
            until(lambda: opened.left == ["/wait"], what="the end of what ran")
        assert "/never" not in opened.served


def test_garbage_behind_a_request_is_no_answer_to_it() -> None:
    with port() as opened, Peer(opened.number) as peer:
        peer.send(request("/wait") + b"\x00garbage\r\n\r\n")
        assert peer.read() == []
        until(lambda: opened.left == ["/wait"], what="the end of what ran")


def test_a_client_that_leaves_ends_what_runs_and_what_waits() -> None:
    with port() as opened:
        with Peer(opened.number) as peer:
            peer.send(request("/wait") + request("/next"))
            until(lambda: opened.served, what="the first request")
        until(lambda: opened.left == ["/wait"], what="the end of what ran")
        assert opened.served == ["/wait"]


def test_a_new_connection_takes_the_place_of_one_that_never_asked_before_one_that_did() -> None:
    with port(most=3) as opened, Peer(opened.number) as known, Peer(opened.number) as first, Peer(opened.number) as second:
        known.send(request("/", body=b"known"))
        assert known.read() == [(200, b"known")]
        with Peer(opened.number) as third:
            third.send(request("/wait"))
            assert first.closed()
            known.send(request("/", body=b"still"))
            assert known.read() == [(200, b"still")]
            with Peer(opened.number) as fourth:
                assert second.closed()
                fourth.send(request("/", body=b"fourth"))
                assert fourth.read() == [(200, b"fourth")]
                opened.go.set()
                assert third.read() == [(200, b"")]


def test_where_every_connection_is_being_served_a_new_one_is_told_to_come_again() -> None:
    with port(most=2) as opened, Peer(opened.number) as first, Peer(opened.number) as second:
        for peer in (first, second):
            peer.send(request("/wait"))
        until(lambda: len(opened.served) == 2, what="both requests")
        with Peer(opened.number) as third:
            ((status, _),) = third.read()
            assert status == 503
            assert third.closed()
        opened.go.set()
        assert first.read() == second.read() == [(200, b"")]


def test_a_request_that_is_only_begun_holds_no_place() -> None:
    with port(most=2) as opened, Peer(opened.number) as first, Peer(opened.number) as second:
        for peer in (first, second):
            peer.send(request("/", length=100))
        until(lambda: len(opened.served) == 2, what="both heads")
        with Peer(opened.number) as third:
            third.send(request("/", body=b"third"))
            assert third.read() == [(200, b"third")]
        assert first.closed()


def test_a_connection_that_was_closed_leaves_its_place() -> None:
    with port(most=1) as opened:
        for _ in range(5):
            with Peer(opened.number) as peer:
                peer.send(request("/wait"))
                until(lambda: opened.served, what="the request")
            until(lambda: opened.left, what="the end of it")
            opened.served.clear()
            opened.left.clear()
        with Peer(opened.number) as peer:
            peer.send(request("/", body=b"x"))
            assert peer.read() == [(200, b"x")]
